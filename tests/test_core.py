import gc
import threading
import weakref

import numpy as np
import pytest

from tinyface import Function, Parameter, Tensor, kernels, no_grad, ops
from tinyface.core import is_grad_enabled
from tinyface.ops.max_pool2d import MaxPool2d


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


class Double(Function):
    """y = 2x; counts its backward passes and keeps an array."""

    calls = 0

    def forward(self, x):
        self.kept = x.copy()
        return 2 * x

    def backward(self, g):
        type(self).calls += 1
        return 2 * g


class Split(Function):
    """Two outputs: x and 10x."""

    def forward(self, x):
        return x.copy(), 10 * x

    def backward(self, g_one, g_ten):
        assert g_one.shape == g_ten.shape
        return g_one + 10 * g_ten


# ---------------------------------------------------------------- tensors


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([1, 2], np.int64),
        (True, np.bool_),
        (np.array([1.0]), np.float64),
        (np.float64(1), np.float64),
        (np.zeros(2, np.float16), np.float16),
    ],
)
def test_type_of_data(data, dtype):
    x = Tensor(data)
    assert isinstance(x.data, np.ndarray) and x.dtype == dtype
    assert x.shape == np.shape(data) and x.grad is None and not x.requires_grad


def test_arrays_are_not_copied():
    data = np.zeros(3)
    assert Tensor(data).data is data
    assert Tensor(data).numpy() is data
    assert Tensor(data).detach().data is data
    x = Tensor(data)
    assert x.to("cpu") is x and x.device == "cpu"


def test_properties_and_repr():
    x = Tensor(np.zeros((2, 3), np.float32))
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2, 3), 2, 6, 2, np.float32)
    assert Tensor([7.0]).item() == 7
    assert "requires_grad=True" in repr(leaf(1)) and "made by add" in repr(leaf(1) + 1)
    assert "requires_grad" not in repr(x)
    assert repr(Parameter(np.zeros((2, 3), np.float32))) == "Parameter(shape=(2, 3), dtype=float32)"


def test_a_tensor_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match=r"use \.detach\(\)"):
        Tensor(leaf(1))


@pytest.mark.parametrize("data", [np.arange(3), [1, 2], np.array([True])])
def test_only_floating_point_data_has_a_gradient(data):
    with pytest.raises(
        TypeError, match=r"Tensor: only floating-point data can have a gradient, got (int64|bool)"
    ):
        Tensor(data, requires_grad=True)


# ---------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    "fn, expected",
    [
        (lambda x: x + 3, [4, 5]),
        (lambda x: 3 + x, [4, 5]),
        (lambda x: x - 3, [-2, -1]),
        (lambda x: 3 - x, [2, 1]),
        (lambda x: x * 3, [3, 6]),
        (lambda x: 3 * x, [3, 6]),
        (lambda x: -x, [-1, -2]),
        (lambda x: x - x * x, [0, -2]),
        pytest.param(lambda x: np.array([10.0, 20.0]) + x, [11, 22], marks=pytest.mark.cpu),
        pytest.param(lambda x: np.array([10.0, 20.0]) - x, [9, 18], marks=pytest.mark.cpu),
        pytest.param(lambda x: np.array([10.0, 20.0]) * x, [10, 40], marks=pytest.mark.cpu),
        pytest.param(lambda x: x - np.array([10, 20]), [-9, -18], marks=pytest.mark.cpu),
        (lambda x: np.float32(3) * x, [3, 6]),
    ],
)
def test_operators(check_gradients, fn, expected):
    y = fn(leaf(1, 2))
    assert isinstance(y, Tensor) and y.numpy().tolist() == expected
    check_gradients(fn, np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x * 0.1,
        lambda x: 0.1 * x,
        lambda x: x + 0.1,
        lambda x: 0.1 + x,
        lambda x: x - 0.1,
        lambda x: 0.1 - x,
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_numbers_take_the_type_of_the_tensor_beside_them(fn, dtype):
    data = np.array([1, 3, 7], dtype)
    y = fn(Tensor(data))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), fn(data))
    assert (Tensor(data) * np.float64(0.1)).dtype == dtype


def test_numbers_beside_integers_stay_what_they_are():
    np.testing.assert_array_equal((Tensor(np.arange(3)) * 0.5).numpy(), [0, 0.5, 1])
    assert (Tensor(np.arange(3)) * 2).dtype == np.int64


# ---------------------------------------------------------------- backward


def test_chain():
    x = leaf(1, 2)
    (x * 3 + 1).backward([1, 10])
    assert x.grad.tolist() == [3, 30]


def test_shared_sub_expressions_add_up():
    x = leaf(3)
    y = x * x
    (y * y + y).backward()  # x⁴ + x²
    assert x.grad.tolist() == [4 * 27 + 6]


def test_diamond():
    """Each function runs backward once, after all that use it."""
    Double.calls = 0
    x = leaf(1)
    a = Double()(x)
    b = Double()(a)
    c = Double()(b)
    (a + c + b).backward()
    assert x.grad.tolist() == [2 + 8 + 4]
    assert Double.calls == 3


def test_a_ladder_of_diamonds_takes_linear_time():
    """2⁶⁰ paths, 60 functions."""
    x = leaf(1)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.tolist() == [2.0**60]


def test_ten_thousand_functions_in_a_row():
    x = leaf(1)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert y.data == 10_001 and x.grad == 1


def test_a_long_chain_is_dropped_without_recursion():
    y = leaf(1)
    for _ in range(10_000):
        y = y + 1
    del y
    gc.collect()


def test_passes_add_up_in_the_leaves():
    x = leaf(1, 2)
    for _ in range(3):
        (x * 2).backward([1, 1])
    assert x.grad.tolist() == [6, 6]


def test_a_leaf_is_its_own_result():
    x = leaf(1, 2)
    x.backward([3, 4])
    x.backward([3, 4])
    assert x.grad.tolist() == [6, 8]


def test_only_leaves_that_ask_get_a_gradient():
    x, frozen = leaf(1), Tensor(np.ones(1))
    middle = x * frozen
    (middle * 2).backward()
    assert x.grad.tolist() == [2]
    assert middle.grad is None and frozen.grad is None


def test_nothing_asks_nothing_is_recorded():
    y = Tensor(np.ones(2)) * 2
    assert y.creator is None and not y.requires_grad
    with pytest.raises(RuntimeError, match="has no history and requires no gradient"):
        y.backward([1, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_arrays_of_the_leafs_type(dtype):
    scalar = Tensor(np.array(3, dtype), requires_grad=True)
    (scalar * scalar + scalar).backward()
    assert isinstance(scalar.grad, np.ndarray)
    assert scalar.grad.dtype == dtype and scalar.grad.shape == () and scalar.grad == 7
    scalar.backward(1)
    assert isinstance(scalar.grad, np.ndarray) and scalar.grad == 8

    x = leaf(1, 2, dtype=dtype)
    other = np.float64 if dtype == np.float32 else np.float32
    (x * np.ones(2, other)).backward([1, 1])
    assert x.grad.dtype == dtype


def test_gradient_may_be_any_sequence_of_the_right_shape():
    x = leaf(1, 2, dtype=np.float32)
    (x * 2).backward([1, 2])
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [2, 4]


def test_gradient_handed_in_is_not_changed():
    g = np.array([1.0, 2.0])
    x = leaf(1, 2)
    (x + x * 3 + x).backward(g)
    (x + 0).backward(g)
    assert g.tolist() == [1, 2] and x.grad.tolist() == [6, 12]


# ---------------------------------------------------------------- a leaf's gradient is its own


def handing_on(*views):
    """A function whose gradients are these views of the array it was given."""

    class HandingOn(Function):
        def forward(self, *arrays):
            return arrays[0] + 0

        def backward(self, g):
            return tuple(view(g) for view in views)

    return HandingOn()


@pytest.mark.parametrize(
    "fn",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: (a + b) + b,
        lambda a, b: a + b.reshape((3, 2)).reshape((2, 3)),
        lambda a, b: a + ops.sum(b, axis=0),
        lambda a, b: ops.sum(a) + ops.sum(b),
        lambda a, b: ops.sum(a + b, axis=1, keepdims=True) + ops.mean(b),
        lambda a, b: ops.concat((a, b)),
        lambda a, b: ops.concat((a, a, b), axis=0)[2:],
        handing_on(lambda g: g, lambda g: g),
        handing_on(lambda g: g[::-1], lambda g: g[:, ::-1]),
        handing_on(lambda g: np.broadcast_to(g[:1], (2, 3)), lambda g: np.broadcast_to(g[0, 0], (2, 3))),
        handing_on(lambda g: np.lib.stride_tricks.as_strided(g, (2, 3), (0, 8)), lambda g: g),  # writeable
    ],
)
def test_gradients_may_be_changed_in_place(fn):
    """Whatever functions hand on: no leaf's gradient lies in the memory of another's, or of the caller's."""
    a, b = (Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True) for _ in range(2))
    y = fn(a, b)
    seed = np.random.default_rng(0).standard_normal(y.shape)
    before = seed.copy()
    y.backward(seed)
    expected = [a.grad.copy(), b.grad.copy()]
    a.grad += 1
    np.testing.assert_array_equal(a.grad, expected[0] + 1)
    np.testing.assert_array_equal(b.grad, expected[1])
    b.grad *= 0.5
    np.testing.assert_array_equal(a.grad, expected[0] + 1)
    np.testing.assert_array_equal(b.grad, expected[1] * 0.5)
    np.testing.assert_array_equal(seed, before)


def test_the_gradient_of_a_leaf_that_is_its_own_result_is_not_the_callers():
    x, g = leaf(1, 2), np.array([3.0, 4.0])
    x.backward(g)
    x.grad *= 2
    assert g.tolist() == [3, 4]


def test_a_gradient_passed_on_by_hand_is_copied():
    x, w = leaf(1, 2), leaf(5, 6)
    (x * 3).backward([1, 1])
    (w + 0).backward(x.grad)
    w.grad *= 0
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize("view", [lambda g: g, lambda g: g.transpose(2, 3, 0, 1), lambda g: g.reshape(6, -1)])
def test_a_gradient_that_nobody_else_has_is_not_copied(view):
    """Also where it is a view: feature maps and kernels may lie in memory in another order."""
    made = []

    class Fresh(Function):
        def forward(self, x):
            self.shape = x.shape
            return x.sum(keepdims=True)

        def backward(self, g):
            made.append(np.ones((2, 3, 4, 5)))
            return view(made[0])

    x = Tensor(np.zeros(view(np.zeros((2, 3, 4, 5))).shape), requires_grad=True)
    Fresh()(x).backward()
    assert np.shares_memory(x.grad, made[0])


def read_only(g):
    g = 2 * g
    g.flags.writeable = False
    return g


@pytest.mark.parametrize(
    "result",
    [
        read_only,
        lambda g: np.lib.stride_tricks.as_strided(2 * g, (2, 3), (0, 8)),  # writeable, as CuPy's broadcast_to
    ],
)
def test_a_gradient_that_takes_no_writing_is_copied(result):
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    handing_on(result)(x).backward(np.ones((2, 3)))
    x.grad += np.arange(6.0).reshape(2, 3)
    assert x.grad.tolist() == [[2, 3, 4], [5, 6, 7]]


def test_of_those_who_share_one_keeps_the_array():
    made = []

    class Fresh(Double):
        def backward(self, g):
            made.append(2 * g)
            return made[0]

    a, b = leaf(1, 2), leaf(3, 4)
    Fresh()(a + b).backward([1, 1])
    assert [np.shares_memory(x.grad, made[0]) for x in (a, b)] == [True, False]


@pytest.mark.gpu
def test_gradients_on_a_gpu_may_be_changed_in_place(put):
    """CuPy lets a repeated element be written to, so there it would be changed many times over."""
    a, b = (Tensor(put(np.ones((2, 3))), requires_grad=True) for _ in range(2))
    (6 * ops.mean(a + b)).backward()
    a.grad *= 0.5
    b.grad += 1
    assert a.grad.tolist() == [[0.5] * 3] * 2 and b.grad.tolist() == [[2.0] * 3] * 2


def test_one_element_needs_no_gradient():
    x = leaf(5)
    (x * 2).reshape((1, 1)).backward()
    assert x.grad.tolist() == [2]


def test_more_elements_need_one():
    with pytest.raises(RuntimeError, match=r"needs a gradient of shape \(2,\), for only a scalar"):
        (leaf(1, 2) * 2).backward()


def test_gradient_of_another_shape():
    with pytest.raises(ValueError, match=r"backward: gradient of shape \(3,\) for a tensor of shape \(2,\)"):
        (leaf(1, 2) * 2).backward([1, 2, 3])


def test_a_second_backward_says_so():
    x = leaf(1)
    y = Double()(x)
    y.backward()
    with pytest.raises(RuntimeError, match="the graph behind double was freed by an earlier backward"):
        y.backward()
    assert x.grad.tolist() == [2]


def test_a_second_backward_through_a_shared_part_says_so():
    shared = leaf(1) * 2
    one, other = shared + 1, shared + 2
    one.backward()
    with pytest.raises(RuntimeError, match="the graph behind mul was freed"):
        other.backward()


def test_the_graph_is_freed_as_it_is_consumed():
    """What a function kept dies with its backward, although the result lives on."""
    kept = []

    class Watched(Double):
        def backward(self, g):
            alive = [ref() is not None for ref in kept]
            seen.append(alive)
            return super().backward(g)

    seen, y = [], leaf(1)
    for _ in range(3):
        function = Watched()
        y = function(y)
        kept.append(weakref.ref(function.kept))
        del function
    y.backward()
    assert seen == [[True, True, True], [True, True, False], [True, False, False]]
    assert all(ref() is None for ref in kept)


def test_nothing_is_kept_where_nothing_is_recorded():
    function = Double()
    ref = weakref.ref(function)
    y = function(Tensor(np.ones(2)))
    del function
    assert ref() is None and y.creator is None


# ---------------------------------------------------------------- functions


def test_several_outputs():
    x = leaf(1, 2)
    one, ten = Split()(x)
    assert one.numpy().tolist() == [1, 2] and ten.numpy().tolist() == [10, 20]
    (one * 3 + ten).backward([1, 1])
    assert x.grad.tolist() == [13, 13]


@pytest.mark.parametrize("used, expected", [(0, [1, 1]), (1, [10, 10])])
def test_an_output_that_is_not_used_counts_as_zero(used, expected):
    x = leaf(1, 2)
    Split()(x)[used].backward([1, 1])
    assert x.grad.tolist() == expected


def test_inputs_that_need_no_gradient_are_known():
    seen = []

    class Needs(Function):
        def forward(self, *arrays):
            seen.append(self.needs_grad)
            return arrays[0] + 0

        def backward(self, g):
            return g, None, None

    x = leaf(1)
    y = Needs()(x, Tensor(np.ones(1)), np.ones(1))
    with no_grad():
        Needs()(x, x, x)
    assert seen == [(True, False, False), (False, False, False)]
    y.backward()
    assert x.grad.tolist() == [1]


def broken(result):
    class Broken(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, g):
            return result(g)

    return Broken()(leaf(1, 2), leaf(3, 4))


@pytest.mark.parametrize("result, count", [(lambda g: g, 1), (lambda g: (g, g, g), 3)])
def test_wrong_number_of_gradients(result, count):
    with pytest.raises(RuntimeError, match=f"broken: backward gave {count} gradients for 2 inputs"):
        broken(result).backward([1, 1])


@pytest.mark.parametrize(
    "result, index, shape",
    [
        (lambda g: (g, g[:1]), 1, r"\(1,\)"),
        (lambda g: (g[None], g), 0, r"\(1, 2\)"),
        (lambda g: (g, 1.0), 1, r"\(\)"),
    ],
)
def test_wrong_shape_of_a_gradient(result, index, shape):
    message = rf"broken: backward gave a gradient of shape {shape} for input {index} of shape \(2,\)"
    with pytest.raises(RuntimeError, match=message):
        broken(result).backward([1, 1])


def test_a_name_of_its_own():
    assert Double().name == "double"
    assert ops.max_pool2d(leaf(1).reshape((1, 1, 1, 1)), 1).creator.name == "max_pool2d"


# ---------------------------------------------------------------- without gradients


def test_no_grad_as_context():
    x = leaf(1)
    with no_grad():
        assert not is_grad_enabled()
        assert not (x * 2).requires_grad
        with no_grad():
            pass
        assert not is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_as_decorator():
    @no_grad()
    def double(x):
        return x * 2

    assert not double(leaf(1)).requires_grad and not double(leaf(1)).requires_grad
    assert is_grad_enabled()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_no_grad_leaves_other_threads_alone():
    seen = []
    inside, done = threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        seen.append((leaf(1) * 2).requires_grad)
        with no_grad():
            done.set()
            leave.wait(10)

    leave = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    with no_grad():
        inside.set()
        done.wait(10)
    assert is_grad_enabled()  # although the other thread is still in its own no_grad
    leave.set()
    thread.join()
    assert seen == [True]


def test_detach_cuts_the_history():
    x = leaf(3)
    y = x * 2
    cut = y.detach()
    assert cut.creator is None and not cut.requires_grad and cut.data is y.data
    (cut * x).backward()
    assert x.grad.tolist() == [6]


def test_what_a_failed_backward_reached_owns_its_gradient():
    x, w, v = (Tensor(np.ones(3), requires_grad=True) for _ in range(3))
    middle = x * 2.0
    middle.sum().backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        ((middle + w) + v).sum().backward()
    w.grad += 1
    assert v.grad.tolist() == [1, 1, 1]


def test_a_tensor_whose_gradient_was_switched_off_ends_the_way_back():
    x, w = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    y = x * 2.0
    z = y * w
    y.requires_grad = False
    z.sum().backward()
    assert x.grad is None and w.grad.tolist() == [2, 2, 2]


def test_a_function_called_again_is_dispatched_again(put):
    """By the switch and the arrays of that call, not those of the call before."""
    function = MaxPool2d(2, 2, 0, False)
    function(put(np.ones((1, 1, 4, 4))))
    assert type(function) is not MaxPool2d
    function(put(np.ones((0, 1, 4, 4))))
    assert type(function) is MaxPool2d
    function(put(np.ones((1, 1, 4, 4))))
    with kernels.use("reference"):
        function(put(np.ones((1, 1, 4, 4))))
    assert type(function) is MaxPool2d
