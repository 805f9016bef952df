import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, models, no_grad, ops
from tinyface.kernels.algorithms import force

WAYS = {"cpu": ["im2col", "winograd4", "winograd6"], "cuda": ["im2col", "winograd"]}


def arrays(normal, size, o, transposed):
    """x, w, gamma, beta, slope, running mean, running variance; slopes on both sides of 1."""
    c = size[1]
    w = normal((c, o, 3, 3) if transposed else (o, c, 3, 3), 1)
    per_channel = [normal(o, seed) for seed in (2, 3, 4, 5)]
    return normal(size), w, *per_channel, np.exp(normal(o, 6))


@pytest.mark.parametrize("transposed", [False, True])
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(3, 11), st.integers(3, 11)),
    o=st.sampled_from([1, 3, 40, 130]),
    padding=st.integers(1, 2),
    choice=st.integers(0, 5),
)
def test_equals_the_three_ops(put, normal, device, transposed, size, o, padding, choice):
    x, w, gamma, beta, slope, mean, variance = map(put, arrays(normal, size, o, transposed))
    with force(WAYS[device][choice % len(WAYS[device])]):
        y = ops.conv_norm_prelu(
            x, w, gamma, beta, slope, mean, variance, eps=0.1, padding=padding, transposed=transposed
        )
        conv = ops.conv_transpose2d if transposed else ops.conv2d
        wanted = conv(x, w, padding=padding)
    wanted = ops.batch_norm_prelu(wanted, gamma, beta, slope, mean, variance, training=False, eps=0.1)
    np.testing.assert_allclose(
        y.numpy(), wanted.numpy(), rtol=0, atol=1e-11 * max(abs(wanted.numpy()).max(), 1)
    )
    assert y.dtype == wanted.dtype


def test_by_hand(put):
    """The image doubled by the convolution is 2, -4; the first channel halves it, the second one turns its sign."""
    x, w = put(np.array([[[[1.0, -2.0]]]])), put(np.full((2, 1, 1, 1), 2.0))
    others = [[2.0, -1.0], [0.5, 1.0], [0.1, 3.0], [1.0, 0.0], [15.9, 0.9]]  # γ, β, slope, μ, σ²
    y = ops.conv_norm_prelu(x, w, *(put(np.array(a)) for a in others), eps=0.1)
    np.testing.assert_allclose(y.numpy(), [[[[1.0, -0.2]], [[-3.0, 5.0]]]], rtol=1e-13)


def test_planes_of_every_size(put, normal):
    """Against NumPy, with fewer pixels than a block takes, and with more."""
    for size in ((1, 1), (3, 7), (33, 32), (50, 70)):
        x, w, *others = arrays(normal, (2, 3, *size), 4, False)
        y = ops.conv_norm_prelu(*map(put, (x, w, *others)), eps=0.1, padding=1).numpy()
        gamma, beta, slope, mean, variance = (a[:, None, None] for a in others)
        z = gamma * (ops.conv2d(x, w, padding=1).numpy() - mean) / np.sqrt(variance + 0.1) + beta
        np.testing.assert_allclose(y, np.where(z > 0, z, slope * z), rtol=0, atol=1e-11)


def test_types_are_kept(put, normal):
    inputs = [put(a.astype(np.float32)) for a in arrays(normal, (2, 3, 5, 4), 4, False)]
    assert ops.conv_norm_prelu(*inputs, padding=1).dtype == np.float32


def test_there_is_no_gradient(put, normal):
    x, *others = map(put, arrays(normal, (1, 2, 4, 4), 3, False))
    y = ops.conv_norm_prelu(Tensor(x, requires_grad=True), *others)
    with pytest.raises(RuntimeError, match="has no gradient; use conv2d"):
        y.sum().backward()


def test_shapes_are_checked(put, normal):
    x, w, *others = map(put, arrays(normal, (1, 2, 4, 4), 3, False))
    with pytest.raises(ValueError, match=r"conv_norm_prelu: x of shape .* has 2 channels"):
        ops.conv_norm_prelu(x, w[:, :1], *others)


def test_the_same_bits_for_every_number_of_threads(threads, normal):
    inputs = [a.astype(np.float32) for a in arrays(normal, (3, 40, 23, 17), 40, False)]
    bits = set()
    for count in (1, 2, 3):
        threads(count)
        bits.add(ops.conv_norm_prelu(*inputs, padding=1).numpy().tobytes())
    assert len(bits) == 1


@pytest.mark.parametrize("network", [models.AttributeNet, models.SegmentationNet])
def test_networks_evaluate_alike_with_and_without_history(network, normal):
    """Without it they take the fused op, with it the three."""
    net = network(width=4, size=(21, 19)).eval()
    for name, array in net.named_buffers():
        array[...] = normal(array.shape, len(name)) ** 2 + 0.5
    x = Tensor(normal((2, 3, 21, 19)).astype(np.float32))
    with_history = net(x)
    with no_grad():
        without = net(x)
    pairs = (
        zip(with_history, without, strict=True) if isinstance(without, list) else [(with_history, without)]
    )
    for a, b in pairs:
        assert a.creator is not None and b.creator is None
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-5 * abs(a.numpy()).max())
