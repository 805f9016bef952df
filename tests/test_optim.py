import math
from types import SimpleNamespace

import numpy as np
import pytest

from tinyface import Parameter, backend, optim
from tinyface.backend import device_of, to_device
from tinyface.errors import TinyfaceError
from tinyface.kernels.cpu import optim as cpu_kernel
from tinyface.kernels.cuda import optim as cuda_kernel

SHAPES = [(), (1,), (3, 5), (300, 257)]  # the last spans several slices of SLICE_BYTES in both precisions


@pytest.fixture
def make_parameters(put):
    def make(dtype, shapes=SHAPES, seed=0):
        rng = np.random.default_rng(seed)
        arrays = [rng.standard_normal(s).astype(dtype).reshape(s) for s in shapes]
        return [SimpleNamespace(data=put(a), grad=None) for a in arrays]

    return make


def make_gradients(dtype, steps, shapes=SHAPES, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal(s).astype(dtype).reshape(s) for s in shapes] for _ in range(steps)]


def run(optimizer, gradients):
    for grads in gradients:
        for parameter, grad in zip(optimizer.parameters, grads, strict=True):
            parameter.grad = None if grad is None else to_device(grad, device_of(parameter.data))
        optimizer.step()


def values(parameters):
    return [to_device(p.data, "cpu") for p in parameters]


@pytest.fixture
def one_value(put):
    return lambda value, grad: SimpleNamespace(data=put(np.array([value])), grad=put(np.array([grad])))


OPTIMIZERS = {
    "adagrad": (optim.AdaGrad, "Adagrad", {"lr": 0.01}),
    "adagrad-decay": (optim.AdaGrad, "Adagrad", {"lr": 0.01, "weight_decay": 5e-4}),
    "sgd": (optim.SGD, "SGD", {"lr": 0.1}),
    "momentum": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, "Adam", {"lr": 0.01}),
    "adam-options": (optim.Adam, "Adam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.mark.reference
@every_optimizer
@both_dtypes
def test_twenty_steps_equal_pytorch(name, dtype, make_parameters):
    torch = pytest.importorskip("torch")
    ours, theirs, options = OPTIMIZERS[name]
    parameters = make_parameters(dtype)
    tensors = [torch.tensor(a.copy(), requires_grad=True) for a in values(parameters)]
    gradients = make_gradients(dtype, 20)

    run(ours(parameters, **options), gradients)
    reference = getattr(torch.optim, theirs)(tensors, **options)
    for grads in gradients:
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        reference.step()

    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    for ours, tensor in zip(values(parameters), tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.detach().numpy(), **tolerance)


def test_adagrad_by_hand(one_value):
    p = one_value(2.0, 2.9)
    optimizer = optim.AdaGrad([p], lr=0.5, weight_decay=0.05)
    optimizer.step()  # g = 2.9 + 0.05 * 2 = 3, sum = 9, 2 - 0.5 * 3 / 3
    np.testing.assert_allclose(values([p])[0], [1.5], rtol=1e-9)
    p.grad[:] = 4 - 0.05 * 1.5
    optimizer.step()  # g = 4, sum = 9 + 16, 1.5 - 0.5 * 4 / 5
    np.testing.assert_allclose(values([p])[0], [1.1], rtol=1e-9)
    np.testing.assert_allclose(optimizer.state_dict()["0"]["sum"], [25.0])


def test_adagrad_with_zero_gradient_does_not_divide_by_zero(one_value):
    p = one_value(2.0, 0.0)
    optim.AdaGrad([p], lr=0.5).step()
    assert values([p])[0] == 2.0


def test_sgd_by_hand(one_value):
    p = one_value(1.0, 2.0)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.5)
    optimizer.step()  # v = 2, 1 - 0.2
    optimizer.step()  # v = 0.5 * 2 + 2 = 3, 0.8 - 0.3
    np.testing.assert_allclose(values([p])[0], [0.5])


def test_nesterov_by_hand(one_value):
    p = one_value(1.0, 2.0)
    optim.SGD([p], lr=0.1, momentum=0.5, nesterov=True).step()  # v = 2, 1 - 0.1 * (2 + 0.5 * 2)
    np.testing.assert_allclose(values([p])[0], [0.7])


def test_adams_first_step_is_lr_times_the_sign(one_value):
    p = one_value(1.0, -3e-3)
    optim.Adam([p], lr=0.1, eps=1e-12).step()
    np.testing.assert_allclose(values([p])[0], [1.1])


@every_optimizer
@both_dtypes
def test_updates_in_place_and_keeps_dtype(name, dtype, make_parameters):
    kind, _, options = OPTIMIZERS[name]
    parameters = make_parameters(dtype)
    before = [p.data for p in parameters]
    gradients = make_gradients(dtype, 2)
    copies = [[g.copy() for g in grads] for grads in gradients]
    optimizer = kind(parameters, **options)
    run(optimizer, gradients)
    assert all(p.data is b and b.dtype == dtype for p, b in zip(parameters, before, strict=True))
    for entry in optimizer.state_dict().values():
        assert all(entry[slot].dtype == dtype for slot in optimizer.slots)
    for grads, copied in zip(gradients, copies, strict=True):  # gradients are read, never written
        assert all(np.array_equal(g, c) for g, c in zip(grads, copied, strict=True))


@pytest.mark.cpu
@every_optimizer
def test_slices_do_not_change_a_bit(name, monkeypatch, make_parameters):
    kind, _, options = OPTIMIZERS[name]
    sliced, whole = make_parameters(np.float32), make_parameters(np.float32)
    run(kind(sliced, **options), make_gradients(np.float32, 3))
    monkeypatch.setattr(cpu_kernel, "SLICE_BYTES", 1 << 30)
    monkeypatch.setattr(cpu_kernel, "SMALL", -1)
    run(kind(whole, **options), make_gradients(np.float32, 3))
    assert all(np.array_equal(a.data, b.data) for a, b in zip(sliced, whole, strict=True))


@pytest.mark.cpu
@every_optimizer
def test_small_parameters_are_updated_together(name, monkeypatch, make_parameters):
    """Each as by itself: in either memory order, with the steps that it has done, and none behind a large one."""
    kind, _, options = OPTIMIZERS[name]
    shapes = [(5,), (3, 4, 2, 2), (cpu_kernel.SMALL + 1,), (), (0,), (7, 3)]
    together, alone = make_parameters(np.float32, shapes), make_parameters(np.float32, shapes)
    for parameters, largest in ((together, cpu_kernel.SMALL), (alone, -1)):
        monkeypatch.setattr(cpu_kernel, "SMALL", largest)
        parameters[1].data = parameters[1].data.transpose(2, 3, 1, 0).copy().transpose(3, 2, 0, 1)
        gradients = make_gradients(np.float32, 3, shapes)
        gradients[1][0] = None
        run(kind(parameters, **options), gradients)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(together, alone, strict=True))


@every_optimizer
def test_a_parameter_without_gradient_is_left_alone(name, make_parameters):
    kind, _, options = OPTIMIZERS[name]
    parameters = make_parameters(np.float32, [(3,), (3,)])
    before = values(parameters)[0].copy()
    optimizer = kind(parameters, **options)
    run(optimizer, [[None, np.ones(3, np.float32)]])
    assert np.array_equal(values(parameters)[0], before)
    assert list(optimizer.state_dict()) == ["1"]


def test_zero_grad(one_value):
    p = one_value(1.0, 2.0)
    optim.SGD([p]).zero_grad()
    assert p.grad is None


def test_a_gradient_of_any_memory_order_is_read_right(put):
    p = SimpleNamespace(data=put(np.zeros((2, 3))), grad=put(np.arange(6.0).reshape(3, 2)).T)
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(values([p])[0], -np.arange(6.0).reshape(3, 2).T)


def test_a_parameter_of_any_memory_order_is_updated_right(put):
    p = SimpleNamespace(data=put(np.zeros((3, 2))).T, grad=put(np.arange(6.0).reshape(2, 3)))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.step()
    np.testing.assert_array_equal(values([p])[0], -2.5 * np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(optimizer.state_dict()["0"]["momentum"], 1.5 * np.arange(6.0).reshape(2, 3))


@every_optimizer
@both_dtypes
@pytest.mark.parametrize("of_gradients", [np.float16, np.float32, np.float64, np.int32])
def test_a_gradient_of_another_type_is_read_right(name, dtype, of_gradients, make_parameters):
    kind, _, options = OPTIMIZERS[name]
    shapes, results = [(5,), (70, 60)], []
    for gradients_dtype in (dtype, of_gradients):
        parameters = make_parameters(dtype, shapes)
        gradients = [[(np.arange(np.prod(s)) % 7).reshape(s).astype(gradients_dtype) for s in shapes]] * 2
        run(kind(parameters, **options), gradients)
        assert all(p.data.dtype == dtype for p in parameters)
        results.append(values(parameters))
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kind", [optim.AdaGrad, optim.Adam])
@pytest.mark.parametrize("size", [5, 5000])
def test_state_follows_the_type_of_its_parameter(put, kind, size):
    results = []
    for before in (np.float64, np.float32):
        p = SimpleNamespace(data=put(np.ones(size, before)), grad=put(np.ones(size, before)))
        optimizer = kind([p], lr=0.3)
        optimizer.step()
        p.data, p.grad = p.data.astype(np.float64), p.grad.astype(np.float64)
        optimizer.step()
        results.append(values([p])[0])
        assert all(optimizer.state[0][slot].dtype == np.float64 for slot in kind.slots)
    np.testing.assert_allclose(*results, rtol=1e-6)


@pytest.mark.gpu
def test_a_gradient_elsewhere_is_refused():
    p = SimpleNamespace(data=to_device(np.ones(3), "cuda"), grad=np.ones(3))
    with pytest.raises(TypeError, match="sgd: gradient is an array of float64 on a GPU, got numpy"):
        optim.SGD([p]).step()


@pytest.mark.parametrize("count", [99, 100, 101, 230])
def test_many_parameters(count, make_parameters):
    """A GPU updates a hundred of them, and up to 4096 elements of each, at a time."""
    shapes = [(4095 + k % 3,) if k % 50 == 0 else (k % 5,) for k in range(count)]
    gradients = make_gradients(np.float64, 2, shapes)
    gradients[0][3] = gradients[1][count - 1] = None
    parameters, first = make_parameters(np.float64, shapes), make_parameters(np.float64, shapes)
    run(optim.Adam(parameters, lr=0.1), gradients)
    for p, q, *grads in zip(parameters, first, *gradients, strict=True):
        run(optim.Adam([q], lr=0.1), [[g] for g in grads])
        np.testing.assert_array_equal(*values([p, q]))


def test_both_types_at_once(make_parameters):
    single, double = (make_parameters(dtype, [(5,)]) for dtype in (np.float32, np.float64))
    run(optim.SGD([*single, *double], lr=1), [[np.ones(5, np.float32), np.ones(5)]])
    expected = [make_parameters(dtype, [(5,)])[0].data - 1 for dtype in (np.float32, np.float64)]
    for p, wanted in zip([*single, *double], expected, strict=True):
        assert p.data.dtype == wanted.dtype
        np.testing.assert_allclose(values([p])[0], to_device(wanted, "cpu"), rtol=1e-6)


@pytest.mark.parametrize("form", ["rule", "update"])
def test_a_rule_of_ones_own(make_parameters, form):
    """Without a kernel of its own a GPU runs `rule`; `update`, an older form of it, is still called."""

    class Signs(optim.Optimizer):
        slots = ("steps",)

    def rule(self, step, w, g, steps):
        steps += 1
        w -= self.lr * g / abs(g)

    def update(self, step, w, g, scratch, steps):
        scratch[...] = abs(g)
        rule(self, step, w, g * scratch, steps)

    setattr(Signs, form, locals()[form])

    shapes = [(3, 5), (40000,)]
    parameters, gradients = make_parameters(np.float64, shapes), make_gradients(np.float64, 3, shapes)
    before = [a.copy() for a in values(parameters)]
    optimizer = Signs(parameters, lr=0.1)
    run(optimizer, gradients)
    for a, b, *grads in zip(values(parameters), before, *gradients, strict=True):
        np.testing.assert_allclose(a, b - 0.1 * sum(map(np.sign, grads)))
    assert (optimizer.state_dict()["1"]["steps"] == 3).all()


@pytest.mark.gpu
@every_optimizer
@pytest.mark.parametrize("there, here", [("cuda", "cpu"), ("cpu", "cuda")])
def test_state_goes_on_on_another_device(name, there, here):
    kind, _, options = OPTIMIZERS[name]
    shapes = [(3, 5), (4, 3, 2, 2), (5000,)]
    gradients = make_gradients(np.float64, 6, shapes)

    def on(device, arrays):
        return [SimpleNamespace(data=to_device(a.copy(), device), grad=None) for a in arrays]

    start = make_gradients(np.float64, 1, shapes, seed=0)[0]
    straight, first = on("cpu", start), on(there, start)
    run(kind(straight, **options), gradients)
    interrupted = kind(first, **options)
    run(interrupted, gradients[:3])
    second = on(here, values(first))
    resumed = kind(second, **options)
    resumed.load_state_dict(interrupted.state_dict())
    run(resumed, gradients[3:])
    for a, b in zip(values(straight), values(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.gpu
@every_optimizer
def test_one_launch_for_all_parameters_on_a_gpu(name, monkeypatch):
    kind, _, options = OPTIMIZERS[name]
    launches = []
    monkeypatch.setattr(cuda_kernel, "launch", lambda kernel, *_, **__: launches.append(kernel.name))
    arrays = make_gradients(np.float32, 1, SHAPES)[0]
    parameters = [SimpleNamespace(data=to_device(a, "cuda"), grad=None) for a in arrays]
    run(kind(parameters, **options), [arrays])
    assert launches == [kind.kernel]


def test_what_cannot_be_updated_in_place_is_refused(put):
    p = SimpleNamespace(data=put(np.zeros((3, 4)))[:, ::2], grad=put(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="not contiguous"):
        optim.SGD([p]).step()
    p = SimpleNamespace(data=put(np.zeros((3, 2))), grad=put(np.zeros((2, 3))))
    with pytest.raises(ValueError, match="its gradient"):
        optim.SGD([p]).step()


def test_an_empty_parameter_is_fine(put):
    optim.AdaGrad([SimpleNamespace(data=put(np.zeros((0, 3))), grad=put(np.zeros((0, 3))))]).step()


@every_optimizer
def test_state_dict_continues_bit_by_bit(name, make_parameters):
    kind, _, options = OPTIMIZERS[name]
    gradients = make_gradients(np.float32, 6)
    straight = make_parameters(np.float32)
    run(kind(straight, **options), gradients)

    first = make_parameters(np.float32)
    interrupted = kind(first, **options)
    run(interrupted, gradients[:3])
    state = interrupted.state_dict()
    second = [SimpleNamespace(data=p.data.copy(), grad=None) for p in first]
    run(interrupted, gradients[3:])  # must not change the state that was handed out
    resumed = kind(second, **options)
    resumed.load_state_dict(state)
    run(resumed, gradients[3:])
    assert all(np.array_equal(a, b) for a, b in zip(values(straight), values(second), strict=True))


def test_foreign_state_is_refused(make_parameters):
    parameters = make_parameters(np.float32, [(3,), (2,)])
    adagrad, adam = optim.AdaGrad(parameters), optim.Adam(parameters)
    run(adagrad, make_gradients(np.float32, 1, [(3,), (2,)]))
    state = adagrad.state_dict()
    with pytest.raises(TinyfaceError, match="--optimizer"):
        adam.load_state_dict(state)
    with pytest.raises(TinyfaceError, match="the network only 1"):
        optim.AdaGrad(parameters[:1]).load_state_dict(state)
    with pytest.raises(TinyfaceError, match=r"shape \(3,\), the parameter \(2,\)"):
        optim.AdaGrad(parameters[::-1]).load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (optim.AdaGrad, {"lr": -1}, "--lr must be greater than 0, got -1"),
        (optim.AdaGrad, {"lr": 0.0}, "--lr must be greater than 0, got 0"),
        (optim.SGD, {"lr": math.nan}, "--lr must be greater than 0, got nan"),
        (optim.Adam, {"lr": math.inf}, "--lr must be greater than 0, got inf"),
        (optim.AdaGrad, {"weight_decay": -0.1}, "--weight-decay must be 0 or more, got -0.1"),
        (optim.SGD, {"momentum": 1.0}, "--momentum must be in [0, 1), got 1"),
        (optim.SGD, {"nesterov": True}, "--nesterov needs a --momentum greater than 0"),
        (optim.Adam, {"betas": (0.9, 1.0)}, "--betas must be in [0, 1), got 1"),
    ],
)
def test_bad_values_name_the_option(kind, options, message):
    with pytest.raises(TinyfaceError) as error:
        kind([], **options)
    assert str(error.value) == message


def test_schedules_by_hand():
    assert [optim.constant()(s) for s in (0, 10**6)] == [1, 1]
    np.testing.assert_allclose([optim.step_decay(10, 0.5)(s) for s in (0, 9, 10, 25)], [1, 1, 0.5, 0.25])
    np.testing.assert_allclose([optim.cosine(8)(s) for s in (0, 2, 4, 8, 9)], [1, 0.8535534, 0.5, 0, 0])
    np.testing.assert_allclose([optim.cosine(8, final=0.2)(s) for s in (0, 4, 8)], [1, 0.6, 0.2])
    warm = optim.with_warmup(optim.step_decay(4, 0.1), 4)
    np.testing.assert_allclose([warm(s) for s in range(6)], [0.25, 0.5, 0.75, 1, 0.1, 0.1])
    assert optim.with_warmup(optim.constant(), 0)(0) == 1


def test_schedule_by_name():
    assert optim.schedule("constant", 90)(89) == 1
    step = optim.schedule("step", 90)
    np.testing.assert_allclose([step(s) for s in (0, 29, 30, 59, 60, 89)], [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert optim.schedule("cosine", 90, warmup=9)(0) == pytest.approx(1 / 9)
    assert optim.schedule("cosine", 90, warmup=9)(45) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optim.schedule("linear", 9), "--schedule must be one of constant, step, cosine, got linear"),
        (lambda: optim.schedule("cosine", 0), "--steps must be at least 1, got 0"),
        (lambda: optim.schedule("constant", 9, warmup=-1), "--warmup must be 0 or more, got -1"),
    ],
)
def test_bad_schedules_name_the_option(call, message):
    with pytest.raises(TinyfaceError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.reference
def test_schedules_equal_pytorch():
    torch = pytest.importorskip("torch")

    def factors(make, steps):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = make(optimizer)
        result = []
        for _ in range(steps):
            result.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return result

    cosine, step_decay = optim.cosine(30, final=0.05), optim.step_decay(7, 0.3)
    scheduler = torch.optim.lr_scheduler
    theirs = factors(lambda o: scheduler.CosineAnnealingLR(o, 30, eta_min=0.05), 31)
    np.testing.assert_allclose([cosine(s) for s in range(31)], theirs, rtol=1e-12)
    theirs = factors(lambda o: scheduler.StepLR(o, 7, 0.3), 31)
    np.testing.assert_allclose([step_decay(s) for s in range(31)], theirs, rtol=1e-12)


def test_a_parameter_named_twice_is_updated_once(one_value):
    w = one_value(1.0, grad=0.5)
    optim.SGD([w, w], lr=0.1).step()
    assert w.data.item() == pytest.approx(0.95)


@pytest.mark.parametrize("kind", [optim.AdaGrad, optim.Adam])
def test_state_survives_another_memory_order_of_its_parameter(put, kind):
    """As when a network's kernels are laid out anew between two steps."""
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 2, 3, 4))
    results = []
    for turn in (False, True):
        w = Parameter(put(start.copy()))
        optimizer = kind([w], lr=0.1)
        for step, grad in enumerate(grads):
            if turn and step == 2:
                xp = backend.get_array_module(w.data)
                w.data = xp.ascontiguousarray(w.data.transpose(2, 1, 0)).transpose(2, 1, 0)
            w.grad = put(grad)
            optimizer.step()
        results.append((w.numpy(), optimizer.state_dict()["0"]))
    (same, state), (turned, state_of_turned) = results
    np.testing.assert_allclose(turned, same, rtol=1e-12)
    for name in kind.slots:
        np.testing.assert_allclose(state_of_turned[name], state[name], rtol=1e-12)
