import numpy as np
import pytest

from tinyface import Tensor, backend, nn, no_grad, ops


@pytest.fixture(autouse=True)
def same_random_numbers():
    state = backend.get_random_state()
    backend.seed(0)
    yield
    backend.set_random_state(state)


X = np.random.default_rng(0).standard_normal((2, 3, 6, 5)).astype(np.float32)

# layer, its parameters' shapes, the op it stands for
LAYERS = {
    "conv2d": (
        lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1),
        {"weight": (4, 3, 3, 3), "bias": (4,)},
        lambda layer, x: ops.conv2d(x, layer.weight, layer.bias, 2, 1),
    ),
    "conv2d without bias": (
        lambda: nn.Conv2d(3, 4, 1, bias=False),
        {"weight": (4, 3, 1, 1)},
        lambda layer, x: ops.conv2d(x, layer.weight),
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
        {"weight": (3, 4, 3, 3), "bias": (4,)},
        lambda layer, x: ops.conv_transpose2d(x, layer.weight, layer.bias, 2, 1, 1),
    ),
    "conv_transpose2d without bias": (
        lambda: nn.ConvTranspose2d(3, 4, 2, bias=False),
        {"weight": (3, 4, 2, 2)},
        lambda layer, x: ops.conv_transpose2d(x, layer.weight),
    ),
    "batch_norm": (
        lambda: nn.BatchNorm2d(3, eps=0.1),
        {"gamma": (3,), "beta": (3,)},
        lambda layer, x: ops.batch_norm(x, layer.gamma, layer.beta, np.zeros(3), np.ones(3), True, eps=0.1),
    ),
    "prelu": (lambda: nn.PReLU(3), {"slope": (3,)}, lambda layer, x: ops.prelu(x, layer.slope)),
    "relu": (nn.ReLU, {}, lambda layer, x: ops.relu(x)),
    "linear": (
        lambda: nn.Linear(5, 4),
        {"weight": (4, 5), "bias": (4,)},
        lambda layer, x: ops.linear(x, layer.weight, layer.bias),
    ),
    "max_pool2d": (
        lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        {},
        lambda layer, x: ops.max_pool2d(x, 3, 2, 1, True),
    ),
    "avg_pool2d": (lambda: nn.AvgPool2d(2), {}, lambda layer, x: ops.avg_pool2d(x, 2)),
    "global_avg_pool2d": (nn.GlobalAvgPool2d, {}, lambda layer, x: ops.global_avg_pool2d(x)),
    "dropout of nothing": (lambda: nn.Dropout(0), {}, lambda layer, x: x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_op_with_its_own_parameters(name):
    make, shapes, op = LAYERS[name]
    layer, x = make(), Tensor(X)
    assert {name: p.shape for name, p in layer.named_parameters()} == shapes
    assert all(p.dtype == np.float32 for p in layer.parameters())
    y = layer(x)
    np.testing.assert_array_equal(y.numpy(), op(layer, x).numpy())
    if shapes:
        y.sum().backward()
        assert all(p.grad.shape == p.shape for p in layer.parameters())


def test_upsample_nearest():
    y = nn.UpsampleNearest()(X, (11, 10))
    np.testing.assert_array_equal(y.numpy(), ops.upsample_nearest(X, (11, 10)).numpy())


def test_where_parameters_start():
    norm, prelu = nn.BatchNorm2d(3), nn.PReLU(3)
    assert norm.gamma.numpy().tolist() == [1, 1, 1] and norm.beta.numpy().tolist() == [0, 0, 0]
    assert norm.running_mean.tolist() == [0, 0, 0] and norm.running_var.tolist() == [1, 1, 1]
    assert prelu.slope.numpy().tolist() == [0.25] * 3 and nn.PReLU(1, 0.1).slope.item() == np.float32(0.1)
    for layer in (nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(2, 3, 3), nn.Linear(2, 3)):
        assert layer.bias.numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "layer, x",
    [
        (lambda: nn.Conv2d(64, 64, 3), (2, 64, 16, 16)),
        (lambda: nn.Conv2d(16, 64, 5, stride=2), (2, 16, 35, 35)),
        (lambda: nn.ConvTranspose2d(64, 64, 3), (2, 64, 16, 16)),
        (lambda: nn.ConvTranspose2d(64, 32, 4, stride=2), (2, 64, 12, 12)),
    ],
)
def test_he_initialisation_keeps_the_variance(layer, x):
    """Through a convolution and the PReLU behind it (away from the edges)."""
    x = np.random.default_rng(0).standard_normal(x).astype(np.float32)
    y = layer()(x)
    y = nn.PReLU(y.shape[1])(y).numpy()
    second_moment = np.square(y[:, :, 4:-4, 4:-4]).mean()
    assert second_moment == pytest.approx(np.square(x).mean(), rel=0.1)


def test_he_initialisation_of_linear_keeps_the_variance():
    x = np.random.default_rng(0).standard_normal((500, 300)).astype(np.float32)
    assert nn.Linear(300, 200)(x).numpy().var() == pytest.approx(1, rel=0.05)


def test_a_seed_fixes_the_weights():
    def weights(seed):
        backend.seed(seed)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(3, 2)).state_dict()

    a, b, other = weights(1), weights(1), weights(2)
    assert all((a[name] == b[name]).all() for name in a)
    assert (a["layers.0.weight"] != other["layers.0.weight"]).any()
    assert (a["layers.1.weight"] != other["layers.1.weight"]).any()


def test_batch_norm_moves_its_statistics_in_training_only():
    norm = nn.BatchNorm2d(3, momentum=0.5)
    norm(X)
    mean, var = X.mean(axis=(0, 2, 3)), X.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(norm.running_mean, mean / 2, rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, 0.5 + var / 2, rtol=1e-5)
    before = norm.state_dict()
    y = norm.eval()(X).numpy()
    assert all((before[name] == array).all() for name, array in norm.state_dict().items())
    scale = 1 / np.sqrt(norm.running_var + 1e-5)
    expected = (X - norm.running_mean[:, None, None]) * scale[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_dropout_works_in_training_only():
    layer, x = nn.Dropout(0.5), Tensor(X)
    assert (layer(x).numpy() == 0).any()
    assert layer.eval()(x) is x


@pytest.mark.reference
def test_a_small_network_learns_as_in_pytorch(torch):
    """Three steps of gradient descent through every layer with parameters, weight by weight."""
    ours = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.PReLU(4),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.ConvTranspose2d(4, 5, 3, padding=1),
        nn.ReLU(),
        nn.GlobalAvgPool2d(),
        nn.Linear(5, 2),
    ).to(np.float64)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.PReLU(4),
        torch.nn.MaxPool2d(2, ceil_mode=True),
        torch.nn.ConvTranspose2d(4, 5, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(5, 2),
    ).double()
    with torch.no_grad():
        for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
            reference.copy_(torch.tensor(parameter.data))
    labels = np.array([0, 1])
    for _ in range(3):
        ours.zero_grad()
        theirs.zero_grad()
        ops.softmax_cross_entropy(ours(X.astype(np.float64)), labels).backward()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(X).double()), torch.tensor(labels)).backward()
        with torch.no_grad():
            for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
                np.testing.assert_allclose(parameter.grad, reference.grad.numpy(), rtol=1e-9, atol=1e-11)
                parameter.data -= parameter.grad
                reference -= reference.grad
    with no_grad(), torch.no_grad():
        got, wanted = ours.eval()(X.astype(np.float64)), theirs.eval()(torch.tensor(X).double())
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-9)
