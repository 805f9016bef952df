import numpy as np
import pytest

from tinyface import Parameter, Tensor, nn


class Block(nn.Module):
    """A parameter, a layer, a buffer and another parameter, in this order."""

    def __init__(self, size):
        self.scale = Parameter(np.ones(size, np.float32))
        self.norm = nn.BatchNorm2d(size)
        self.steps = np.zeros(1, np.float32)
        self.shift = Parameter(np.zeros(size, np.float32))
        self.name, self.size, self.nothing = "block", size, None


class Net(nn.Module):
    def __init__(self):
        self.blocks = [Block(1), Block(2)]
        self.head = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.PReLU(3))
        self.grid = [[nn.PReLU(1)], (nn.PReLU(2), [nn.PReLU(3)])]


NAMES = [
    "blocks.0.scale",
    "blocks.0.shift",
    "blocks.0.norm.gamma",
    "blocks.0.norm.beta",
    "blocks.1.scale",
    "blocks.1.shift",
    "blocks.1.norm.gamma",
    "blocks.1.norm.beta",
    "head.layers.0.weight",
    "head.layers.0.bias",
    "head.layers.2.slope",
    "grid.0.0.slope",
    "grid.1.0.slope",
    "grid.1.1.0.slope",
]
BUFFERS = [
    f"blocks.{i}.{name}" for i in range(2) for name in ("steps", "norm.running_mean", "norm.running_var")
]


def test_parameters_in_order_of_definition():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert net.parameters() == [parameter for _, parameter in net.named_parameters()]
    assert net.parameters()[0] is net.blocks[0].scale
    assert net.parameters()[-1] is net.grid[1][1][0].slope


def test_buffers_in_order_of_definition():
    net = Net()
    assert [name for name, _ in net.named_buffers()] == BUFFERS
    assert net.buffers()[1] is net.blocks[0].norm.running_mean


class Twins(nn.Module):
    """Two blocks with one norm."""

    def __init__(self):
        self.first, self.second = Block(2), Block(2)
        self.second.norm = self.first.norm


def test_a_shared_module_is_named_once_where_it_comes_first():
    net = Twins()
    names = [name for name, _ in net.named_parameters()]
    assert names == [
        "first.scale", "first.shift", "first.norm.gamma", "first.norm.beta", "second.scale", "second.shift"
    ]  # fmt: skip
    assert [name for name, _ in net.named_buffers()] == [
        "first.steps", "first.norm.running_mean", "first.norm.running_var", "second.steps"
    ]  # fmt: skip
    assert [name for name, _ in net.second.named_modules()] == ["", "norm"]  # by itself it is whole
    net.to(np.float64).eval()
    assert net.second.norm.running_mean.dtype == net.second.norm.gamma.dtype == np.float64
    assert not net.second.norm.training
    net.second.norm.gamma.data[...] = 3
    other = Twins()
    other.load_state_dict(net.state_dict())
    assert (other.first.norm.gamma.data == 3).all() and other.second.norm is other.first.norm


def test_modules_parents_first():
    names = [name for name, _ in nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU()).named_modules()]
    assert names == ["", "layers.0", "layers.0.layers.0", "layers.1"]


def test_what_is_neither_parameter_nor_buffer():
    net = Block(2)
    before = list(net.state_dict())
    net.last_output = Tensor(np.ones(3))
    net.rate = np.float64(0.5)
    assert list(net.state_dict()) == before
    assert net.to(np.float64).rate == 0.5


def test_a_replaced_layer_keeps_its_place():
    net = nn.Sequential(nn.PReLU(1), nn.PReLU(2))
    net.layers[0] = nn.PReLU(5)
    assert [p.shape for p in net.parameters()] == [(5,), (2,)]


# ---------------------------------------------------------------- state


def filled(seed):
    net, rng = Net(), np.random.default_rng(seed)
    for array in (*(p.data for p in net.parameters()), *net.buffers()):
        array[...] = rng.standard_normal(array.shape)
    return net


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_state_goes_from_network_to_network():
    net, other = filled(1), filled(2)
    state = net.state_dict()
    assert list(state) == [*NAMES, *BUFFERS]
    assert not same(state, other.state_dict())
    own = [p.data for p in other.parameters()]
    other.load_state_dict(state)
    assert same(state, other.state_dict())
    assert all(p.data is array for p, array in zip(other.parameters(), own, strict=True))  # in place


def test_state_is_a_copy():
    net, other = filled(1), filled(2)
    state = net.state_dict()
    other.load_state_dict(state)
    for array in (*(p.data for p in net.parameters()), *other.buffers()):
        array += 1
    assert same(state, filled(1).state_dict())


def test_state_is_taken_over_in_the_networks_own_type():
    net = filled(1)
    net.load_state_dict({name: array.astype(np.float64) for name, array in filled(2).state_dict().items()})
    assert {array.dtype for array in net.state_dict().values()} == {np.dtype(np.float32)}
    assert same(net.state_dict(), filled(2).state_dict())


def missing(state):
    del state["head.layers.0.bias"]


def extra(state):
    state["head.layers.9.bias"] = np.zeros(3)


def misshapen(state):
    state["blocks.1.norm.running_var"] = np.zeros(7)


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (missing, KeyError, r"missing \['head.layers.0.bias'\], unexpected nothing"),
        (extra, KeyError, r"missing nothing, unexpected \['head.layers.9.bias'\]"),
        (misshapen, ValueError, r"blocks.1.norm.running_var has shape \(7,\), expected \(2,\)"),
    ],
)
def test_a_state_of_another_network_changes_nothing(spoil, error, message):
    net, state = filled(1), filled(2).state_dict()
    before = net.state_dict()
    spoil(state)
    with pytest.raises(error, match=f"state of another network: {message}"):
        net.load_state_dict(state)
    assert same(before, net.state_dict())


# ---------------------------------------------------------------- modes, gradients, types


def test_training_and_evaluation_reach_every_module():
    net = Net()
    modules = [module for _, module in net.named_modules()]
    assert len(modules) == 12 and all(module.training for module in modules)
    assert net.eval() is net and not any(module.training for module in modules)
    assert net.blocks[0].norm.train() is net.blocks[0].norm
    assert net.blocks[0].norm.training and not net.blocks[1].norm.training
    assert net.train() is net and all(module.training for module in modules)


def test_zero_grad_forgets_all_gradients():
    net = nn.Sequential(nn.Linear(2, 3), nn.PReLU(3))
    net(np.ones((4, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_another_type():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 5))
    net(x.astype(np.float32)).sum().backward()
    parameters, before = net.parameters(), net.state_dict()
    assert net.to(np.float64) is net
    assert net.parameters() == parameters  # the same objects: an optimizer keeps its hold on them
    for name, array in net.state_dict().items():
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, before[name])
    assert all(p.grad.dtype == np.float64 for p in parameters)
    assert net(x).dtype == np.float64
    assert {a.dtype for a in net.to(np.float32).state_dict().values()} == {np.dtype(np.float32)}


def test_to_the_device_it_is_on():
    net = Net()
    arrays = [p.data for p in net.parameters()] + net.buffers()
    assert net.to("cpu") is net
    assert all(
        a is b for a, b in zip(arrays, [p.data for p in net.parameters()] + net.buffers(), strict=True)
    )


@pytest.mark.gpu
def test_to_a_gpu_and_back():
    net = filled(1)
    before = net.state_dict()
    net.to("cuda")
    assert {p.device for p in net.parameters()} == {"cuda"}
    assert same(before, net.state_dict())
    net.load_state_dict(filled(2).state_dict())
    assert same(net.to("cpu").state_dict(), filled(2).state_dict())


@pytest.mark.gpu
def test_kernels_lie_on_each_device_as_it_wants_them():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(5, 4, 3), nn.Linear(4, 2))
    parameters, before = net.parameters(), net.state_dict()
    for parameter in parameters:
        parameter.grad = 2 * parameter.data

    def kernels():
        return [a for p in parameters if p.ndim == 4 for a in (p.data, p.grad)]

    assert len(kernels()) == 4
    for _ in range(2):
        net.to("cuda")
        assert net.parameters() == parameters  # the same objects: an optimizer keeps its hold on them
        assert all(a.flags.c_contiguous for p in parameters for a in (p.data, p.grad))
        arrays = [a for p in parameters for a in (p.data, p.grad)]
        net.to("cuda")
        assert all(
            a is b for a, b in zip(arrays, (a for p in parameters for a in (p.data, p.grad)), strict=True)
        )
        net.to("cpu")
        assert all(a.transpose(2, 3, 1, 0).flags.c_contiguous for a in kernels())
        assert same(before, net.state_dict())
        for parameter in parameters:
            np.testing.assert_array_equal(parameter.grad, 2 * parameter.data)


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError):
        nn.Module()(1)


def test_sequential_applies_its_layers_in_order():
    class Times(nn.Module):
        def __init__(self, factor, plus):
            self.factor, self.plus = factor, plus

        def forward(self, x):
            return x * self.factor + self.plus

    assert nn.Sequential(Times(2, 1), Times(10, 0))(np.array(3.0)) == 70
    assert nn.Sequential()(5) == 5


def test_a_shared_parameter_is_named_once_where_it_comes_first():
    class Tied(nn.Module):
        def __init__(self):
            self.there, self.back = nn.Linear(3, 3), nn.Linear(3, 3)
            self.back.weight = self.there.weight

    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["there.weight", "there.bias", "back.bias"]
    other = Tied()
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.back.weight.data, net.there.weight.data)
