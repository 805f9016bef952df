"""What all tests share: the device, a fixed run of hypothesis, and the checks that every op must pass."""

import hypothesis
import numpy as np
import pytest

from tinyface import Tensor, backend, no_grad
from tinyface.errors import TinyfaceError
from tinyface.gradcheck import gradcheck
from tinyface.runtime import memory

# On cuda an example costs some twenty launches, each in a shape of its own; ten examples find what fifty do.
for name, examples in (("cpu", 50), ("cuda", 10)):
    hypothesis.settings.register_profile(
        name, derandomize=True, database=None, deadline=None, max_examples=examples, print_blob=False
    )


# ---------------------------------------------------------------- devices


def pytest_addoption(parser):
    parser.addoption("--device", choices=("cpu", "cuda"), default="cpu", help="where the op tests compute")


def pytest_configure(config):
    if config.getoption("--device") == "cuda" and missing_gpu():
        raise pytest.UsageError(missing_gpu())
    hypothesis.settings.load_profile(config.getoption("--device"))


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("cpu") and config.getoption("--device") == "cuda":
            item.add_marker(pytest.mark.skip(reason="of the CPU's own ways"))
        if item.get_closest_marker("gpu") and missing_gpu():
            item.add_marker(pytest.mark.skip(reason=missing_gpu()))


def missing_gpu():
    """Why there is no GPU to test on; None where there is one."""
    try:
        backend.cupy()
    except TinyfaceError as error:
        return str(error)


# Most fixtures hold no state, so one serves the whole session and hypothesis may share it between examples.


@pytest.fixture(scope="session")
def device(request):
    """ "cpu" or "cuda", as `--device` says."""
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def put(device):
    """put(array): the array on the device under test."""
    return lambda array: backend.to_device(np.asarray(array), device)


@pytest.fixture(scope="session")
def normal():
    """normal(shape, seed=0): random numbers, float64."""
    return lambda shape, seed=0: np.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.fixture
def threads():
    """`backend.set_threads`; the number of threads before comes back after the test."""
    before = backend.get_threads()
    yield backend.set_threads
    backend.set_threads(before)


# ---------------------------------------------------------------- checks for ops

# Largest difference allowed, as a share of the largest value beside it.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread; what asks for it is skipped where it is not installed."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def compare_with_torch(torch, put, normal):
    """compare_with_torch(ours, theirs, *arrays): outputs and all gradients agree in both precisions.

    ours: Tensors → Tensor; theirs: the same from torch tensors.
    scale: the size of the numbers that cancel inside, where that is more than the results'.
    """

    def compare(ours, theirs, *arrays, scale=1e-3):
        for dtype, tolerance in TOLERANCE.items():
            inputs = [Tensor(put(a.astype(dtype)), requires_grad=True) for a in arrays]
            references = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
            y, expected = ours(*inputs), theirs(*references)
            upstream = normal(tuple(expected.shape)).astype(dtype)
            y.backward(put(upstream))
            expected.backward(torch.tensor(upstream))

            pairs = [("output", y.numpy(), expected.detach().numpy())]
            for index, (x, reference) in enumerate(zip(inputs, references, strict=True)):
                pairs.append((f"gradient {index}", backend.to_device(x.grad, "cpu"), reference.grad.numpy()))
            for what, got, wanted in pairs:
                assert got.shape == wanted.shape and got.dtype == wanted.dtype, what
                close = tolerance * max(np.abs(wanted).max(initial=0), scale)
                np.testing.assert_allclose(
                    got, wanted, rtol=0, atol=close, err_msg=f"{what}, {dtype.__name__}"
                )

    return compare


@pytest.fixture(scope="session")
def check_gradients(put):
    """check_gradients(fn, *arrays, **options): `gradcheck` on the device under test."""
    return lambda fn, *arrays, **options: gradcheck(fn, *map(put, arrays), **options)


@pytest.fixture(scope="session")
def check_op_contract(put, normal):
    """check_op_contract(fn, *arrays): what every op owes its callers, whatever it computes.

    It keeps the type of its inputs in the output and the gradients; it reads any memory layout, also of the
    gradient handed in; it changes none of them; and each gradient is the same whether asked for alone or not,
    and the output the same without recording.
    """

    def run(fn, arrays, upstream=None, needs=None):
        inputs = [Tensor(a, requires_grad=needs is None or i == needs) for i, a in enumerate(arrays)]
        y = fn(*inputs)
        y.backward(np.ones(y.shape) if upstream is None else upstream)
        return [y.numpy(), *(None if x.grad is None else backend.to_device(x.grad, "cpu") for x in inputs)]

    def equal(got, wanted, why):
        for index, (a, b) in enumerate(zip(got, wanted, strict=True)):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=f"{why}, result {index}")

    def check(fn, *arrays):
        for dtype in (np.float32, np.float64):
            plain = [put(read_only(a.astype(dtype))) for a in arrays]
            for array, like in zip(run(fn, plain), [None, *plain], strict=True):
                assert isinstance(array, np.ndarray) and array.dtype == dtype
                assert like is None or array.shape == like.shape

        upstream = normal(fn(*map(Tensor, plain)).shape)
        wanted = run(fn, plain, put(read_only(upstream)))
        for layout in (transposed, spaced, backwards):
            equal(run(fn, [layout(a) for a in plain], layout(put(upstream))), wanted, layout.__name__)
        repeated = np.broadcast_to(np.float64(1), upstream.shape)  # what ops.sum hands back
        equal(run(fn, plain, repeated), run(fn, plain), "repeated upstream gradient")
        for index in range(len(plain)):
            alone = run(fn, plain, put(upstream), needs=index)
            assert [i for i, a in enumerate(alone[1:]) if a is not None] == [index]
            equal([alone[0], alone[index + 1]], [wanted[0], wanted[index + 1]], f"gradient {index} alone")
        with no_grad():
            np.testing.assert_array_equal(fn(*map(Tensor, plain)).numpy(), wanted[0])

    return check


@pytest.fixture
def check_threads(threads, normal):
    """check_threads(fn, *arrays): output and gradients have the same bits for 1, 2 and 3 threads.

    And whatever the scratch memory held before.
    """

    def bits(fn, arrays):
        inputs = [Tensor(a.astype(np.float32), requires_grad=True) for a in arrays]
        y = fn(*inputs)
        y.backward(normal(y.shape))
        return [y.numpy().tobytes(), *(x.grad.tobytes() for x in inputs)]

    def check(fn, *arrays):
        backend.stop_workers()  # another test's would cut work as the modules stand, not as this test may have set them
        threads(1)
        wanted = bits(fn, arrays)
        for buffer, _ in vars(memory._thread).get("scratch", {}).values():
            buffer[...] = 255  # NaN in every float type
        for count in (1, 2, 3):
            threads(count)
            assert bits(fn, arrays) == wanted

    return check


def read_only(array):
    """A contiguous copy that raises when somebody writes to it."""
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array


def transposed(array):
    """The same values with the first axis nearest in memory."""
    return backend.get_array_module(array).array(array, order="F")


def spaced(array):
    """The same values as a view of every second element of something larger, NaN in between."""
    large = backend.get_array_module(array).full([2 * length for length in array.shape], np.nan, array.dtype)
    view = large[(..., *(slice(None, None, 2),) * array.ndim)]
    view[...] = array
    return view


def backwards(array):
    """The same values as a view with negative strides."""
    turned = (..., *(slice(None, None, -1),) * array.ndim)
    return backend.get_array_module(array).array(array[turned])[turned]
