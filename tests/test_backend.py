import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tinyface import Tensor, TinyfaceError, backend


@pytest.fixture(autouse=True, scope="module")
def threads_alone():
    """Another module's worker processes would take the pieces of work that these tests hand out."""
    backend.stop_workers()


# ---------------------------------------------------------------- devices


def test_numpy_computes_on_numpy_arrays():
    assert backend.get_array_module(np.zeros(2), np.float32(1), 1.0, 2) is np
    assert backend.device_of(np.zeros(2)) == "cpu"


def test_an_array_on_the_cpu_is_handed_back():
    x = np.zeros(3)
    assert backend.to_device(x, "cpu") is x
    assert isinstance(backend.to_device(np.float32(3), "cpu"), np.ndarray)


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:1", ""])
def test_an_unknown_device(device):
    with pytest.raises(TinyfaceError, match=f"--device {device}: unknown device; use cpu or cuda"):
        backend.to_device(np.zeros(3), device)
    with pytest.raises(TinyfaceError, match="unknown device"):
        Tensor([1.0]).to(device)


def test_an_op_without_a_kernel_says_so():
    backend.need_cpu("conv2d", np.zeros(2))
    with pytest.raises(TinyfaceError, match="conv2d: has no CUDA kernel in this version; use --device cpu"):
        backend.need_cpu("conv2d", object())


@pytest.mark.gpu
def test_there_and_back():
    x = np.random.default_rng(0).standard_normal((2, 3))
    there = backend.to_device(x, "cuda")
    assert backend.device_of(there) == "cuda"
    assert backend.get_array_module(x, there) is backend.cupy()
    assert backend.to_device(there, "cuda") is there
    np.testing.assert_array_equal(backend.to_device(there, "cpu"), x)

    tensor = Tensor(x, requires_grad=True).to("cuda")
    assert tensor.device == "cuda" and tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), x)
    back = tensor.to("cpu")
    assert back.device == "cpu" and back.requires_grad
    np.testing.assert_array_equal(back.data, x)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "change", [np.asfortranarray, lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a.transpose(2, 3, 1, 0)]
)
def test_arrays_of_any_layout_arrive_contiguous(change):
    x = change(np.random.default_rng(0).standard_normal((2, 3, 4, 5)))
    there = backend.to_device(x, "cuda")
    assert there.flags.c_contiguous
    np.testing.assert_array_equal(backend.to_device(there, "cpu"), x)
    assert backend.to_device(there[:, ::-1], "cuda").flags.c_contiguous


@pytest.mark.gpu
def test_contiguous_keeps_what_is():
    x = backend.to_device(np.float64(3), "cuda")
    assert backend.contiguous(x) is x and x.shape == ()
    x = backend.to_device(np.arange(6.0).reshape(2, 3), "cuda")
    assert backend.contiguous(x) is x
    assert backend.contiguous(x.T).flags.c_contiguous


# ---------------------------------------------------------------- kernels

DOUBLE = """extern "C" __global__ void twice(const real* x, real* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}
"""


@pytest.fixture
def compiler(monkeypatch):
    """What `backend.load_kernels` had compiled, on a machine without a GPU; `seconds` is what that takes."""
    compiler = SimpleNamespace(compiled=[], seconds=0)

    def raw_module(**options):
        compiler.compiled.append(options)
        return SimpleNamespace(get_function=lambda name: time.sleep(compiler.seconds))

    cuda = SimpleNamespace(device=SimpleNamespace(get_device_id=lambda: 0))
    fake = SimpleNamespace(RawModule=raw_module, ndarray=np.ndarray, cuda=cuda)
    monkeypatch.setattr(backend, "cupy", lambda: fake)
    monkeypatch.setattr(backend, "_kernels", {})
    monkeypatch.setattr(backend, "_said", False)
    return compiler


def test_kernels_are_compiled_once_for_each_type(compiler, tmp_path):
    source = tmp_path / "twice.cu"
    source.write_text(DOUBLE, encoding="utf-8")
    single, double = backend.load_kernels(source), backend.load_kernels(source, np.float64)
    assert backend.load_kernels(source) is single and backend.load_kernels(str(source), np.float64) is double
    assert [options["options"][0] for options in compiler.compiled] == ["-Dreal=float", "-Dreal=double"]
    assert all(options["code"] == '#line 1 "twice.cu"\n' + DOUBLE for options in compiler.compiled)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, np.complex64, ">f4"])
def test_kernels_of_other_types(compiler, dtype):
    with pytest.raises(TypeError, match=r"relu\.cu: its kernels compute in float32 and float64, not in "):
        backend.load_kernels("relu.cu", dtype)


def test_kernels_are_read_as_utf_8_whatever_the_language(tmp_path):
    source = tmp_path / "twice.cu"
    source.write_text("// β = γ\n" + DOUBLE, encoding="utf-8")
    code = (
        "import sys\nfrom types import SimpleNamespace\nfrom tinyface import backend\n"
        "class Compiled(Exception): pass\n"
        "def compile(code, options):\n    raise Compiled(code.count('\\u03b2 = \\u03b3'))\n"
        "backend.cupy = lambda: SimpleNamespace(RawModule=compile)\n"
        "try: backend.load_kernels(sys.argv[1])\nexcept Compiled as found: print(found)"
    )
    c = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code, source], env=c, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_the_first_compilation_is_announced(compiler, tmp_path, capsys, monkeypatch):
    """Once, and only where it takes longer than reading the cache does."""
    monkeypatch.setattr(backend, "FROM_CACHE", 0.02)
    for seconds, expected in ((0, ""), (0.2, backend.COMPILING + "\n"), (0.2, "")):
        source = tmp_path / f"{len(compiler.compiled)}.cu"
        source.write_text(DOUBLE, encoding="utf-8")
        compiler.seconds = seconds
        backend.load_kernels(source)
        assert capsys.readouterr() == ("", expected)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kernel_computes_in_both_precisions(tmp_path, dtype):
    source = tmp_path / "twice.cu"
    source.write_text(DOUBLE)
    x = backend.to_device((np.arange(1000) / 7).astype(dtype), "cuda")
    y = backend.cupy().empty_like(x)
    backend.load_kernels(source, dtype).get_function("twice")((4,), (256,), (x, y, np.int32(1000)))
    np.testing.assert_array_equal(backend.to_device(y, "cpu"), 2 * backend.to_device(x, "cpu"))


WHERE = """extern "C" __global__ void where(int* y, int rows, int width) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row < rows && column < width) y[row * width + column] += 1000 * row + column;
}"""


@pytest.mark.gpu
@pytest.mark.parametrize(
    "rows, width", [(1, 1), (5, 3), (300, 1), (2, 256), (3, 257), (2, 700), (0, 4), (4, 0)]
)
def test_a_thread_for_each_cell_of_rows(tmp_path, rows, width):
    source = tmp_path / "where.cu"
    source.write_text(WHERE)
    y = backend.to_device(np.zeros((rows, width), np.int32), "cuda")
    kernel = backend.load_kernels(source).get_function("where")
    backend.launch_rows(kernel, rows, width, y, np.int32(rows), np.int32(width))
    expected = 1000 * np.arange(rows)[:, None] + np.arange(width)
    np.testing.assert_array_equal(backend.to_device(y, "cpu"), expected)


@pytest.mark.gpu
def test_a_compile_error_names_the_file_and_its_true_line(tmp_path):
    source = tmp_path / "broken.cu"
    source.write_text(DOUBLE + "\nthis is no CUDA\n")  # on line 6
    with pytest.raises(backend.cupy().cuda.compiler.CompileException, match=r"broken\.cu\(6\)"):
        backend.load_kernels(source)


@pytest.fixture
def tf32_off():
    yield
    backend.set_tf32(False)


@pytest.mark.parametrize("capability, allowed", [("70", False), ("75", False), ("80", True), ("120", True)])
def test_tf32_needs_tensor_cores_that_know_it(monkeypatch, tf32_off, capability, allowed):
    device = SimpleNamespace(compute_capability=capability)
    fake = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device))
    monkeypatch.setattr(backend, "cupy", lambda: fake)
    assert not backend.tf32()
    if allowed:
        backend.set_tf32(True)
    else:
        has = f"--tf32: needs a GPU of compute capability 8.0 or later; this one has 7.{capability[1]}"
        with pytest.raises(TinyfaceError, match=has):
            backend.set_tf32(True)
    assert backend.tf32() is allowed
    backend.set_tf32(False)
    assert not backend.tf32()


@pytest.mark.gpu
def test_tf32_on_this_gpu(tf32_off):
    capability = backend.cupy().cuda.Device().compute_capability
    if int(capability) < 80:
        pytest.skip(f"compute capability {capability}")
    backend.set_tf32(True)
    assert backend.tf32()


# ---------------------------------------------------------------- worker threads


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_piece_runs_once(threads, workers, count):
    threads(workers)
    runs = np.zeros(count, int)

    def body(index):
        runs[index] += 1

    backend.parallel_for(body, count)
    assert (runs == 1).all()


def test_pieces_run_side_by_side(threads):
    threads(3)
    meeting = threading.Barrier(3, timeout=20)  # passes when three bodies run at the same time
    backend.parallel_for(lambda index: meeting.wait(), 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_exception_comes_out_and_leaves_no_trace(threads, workers):
    threads(workers)

    def body(index):
        if index == 5:
            raise KeyError("piece 5")

    for _ in range(3):
        with pytest.raises(KeyError, match="piece 5"):
            backend.parallel_for(body, 10)
    test_pieces_run_side_by_side(threads)


def test_an_exception_of_another_thread_comes_out(threads):
    threads(2)
    meeting, caller = threading.Barrier(2, timeout=20), threading.get_ident()

    def body(index):
        meeting.wait()
        if threading.get_ident() != caller:
            raise KeyError("in the other thread")

    with pytest.raises(KeyError, match="in the other thread"):
        backend.parallel_for(body, 2)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_nested_call_runs_in_its_own_thread(threads, workers):
    threads(workers)
    ran_in = np.zeros((4, 5), int)

    def outer(i):
        def inner(j):
            ran_in[i, j] = threading.get_ident()

        backend.parallel_for(inner, 5)
        assert (ran_in[i] == threading.get_ident()).all()

    backend.parallel_for(outer, 4)
    assert ran_in.all()


def test_calls_from_several_threads_at_once(threads):
    threads(2)
    sums = np.zeros((4, 50), int)

    def call(row):
        def body(index):
            sums[row, index] += 1

        backend.parallel_for(body, 50)

    callers = [threading.Thread(target=call, args=(row,)) for row in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert (sums == 1).all()


def test_number_of_threads(threads):
    threads(3)
    assert backend.get_threads() == 3
    with pytest.raises(TinyfaceError, match="threads: must be at least 1, got 0"):
        threads(0)
    assert backend.get_threads() == 3


def test_number_of_threads_from_the_environment():
    code = "from tinyface import backend; print(backend.get_threads())"
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for value, expected in (("3", "3"), ("", str(ours))):
        environment = os.environ | {"TINYFACE_THREADS": value}
        printed = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert printed.stdout.strip() == expected


def test_blas_keeps_to_one_thread():
    np.ones((2, 2)) @ np.ones((2, 2))
    backend.parallel_for(lambda index: None, 1)
    ours = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert all(pool["num_threads"] == 1 for pool in ours)


@pytest.mark.parametrize(
    "length, step, expected",
    [(0, 3, []), (5, 2, [(0, 2), (2, 4), (4, 5)]), (4, 2, [(0, 2), (2, 4)]), (3, 9, [(0, 3)])],
)
def test_slices(length, step, expected):
    assert backend.slices(length, step) == [slice(*pair) for pair in expected]


# ---------------------------------------------------------------- scratch memory


@pytest.mark.parametrize("length, parts", [(7, 4), (8, 4), (3, 4), (0, 4), (165, 4)])
def test_shares(length, parts):
    shares = backend.shares(length, parts)
    assert [i for share in shares for i in range(length)[share]] == list(range(length))
    sizes = [share.stop - share.start for share in shares]
    assert len(sizes) == min(parts, length) and (not sizes or max(sizes) - min(sizes) <= 1)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 100_000])
def test_aligned(size):
    array = backend.aligned(size)
    assert array.nbytes == size and (not size or array.ctypes.data % backend.CACHE_LINE == 0)
    for nbytes in (1, 1000):  # scratch memory and arrays for results begin there too
        assert backend.scratch(f"aligned{nbytes}", (nbytes,), np.uint8).ctypes.data % backend.CACHE_LINE == 0
        assert backend.empty((nbytes,), np.uint8).ctypes.data % backend.CACHE_LINE == 0


def test_kernels_lie_as_matrices(normal):
    w = normal((5, 4, 3, 2))
    lying = backend.as_hwio(w)
    assert lying.shape == (3, 2, 4, 5) and lying.flags.c_contiguous
    np.testing.assert_array_equal(backend.as_oihw(lying), w)
    assert backend.as_hwio(backend.as_oihw(lying)) is not w and np.shares_memory(
        backend.as_hwio(backend.as_oihw(lying)), lying
    )


def test_scratch_is_used_over_and_over():
    first = backend.scratch("test.reuse", (4, 5), np.float64)
    assert first.shape == (4, 5) and first.dtype == np.float64 and first.flags.c_contiguous
    for shape, dtype in (
        ((4, 5), np.float64),
        ((2, 3), np.float32),
        ((160,), np.uint8),
        ((0, 3), np.float32),
    ):
        again = backend.scratch("test.reuse", shape, dtype)
        assert again.shape == shape and again.dtype == dtype
        assert not again.size or np.shares_memory(first, again)


def test_scratch_grows():
    small, large = (backend.scratch("test.grow", (n,), np.float32) for n in (10, 1000))
    large[...] = 1
    assert not np.shares_memory(small, large)
    assert np.shares_memory(large, backend.scratch("test.grow", (10,), np.float32))


def test_scratch_under_two_names_is_two_places():
    a, b = (backend.scratch(name, (10,), np.float32) for name in ("test.a", "test.b"))
    assert not np.shares_memory(a, b)


def test_each_thread_has_scratch_of_its_own(threads):
    threads(3)
    meeting, places = threading.Barrier(3, timeout=20), [None] * 3

    def body(index):
        places[index] = backend.scratch("test.threads", (10,), np.float32)
        meeting.wait()

    backend.parallel_for(body, 3)
    assert not any(np.shares_memory(places[i], places[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


# ---------------------------------------------------------------- random numbers


@pytest.fixture(autouse=True)
def same_random_numbers():
    state = backend.get_random_state()
    yield
    backend.set_random_state(state)


def test_a_seed_fixes_the_numbers():
    backend.seed(3)
    first = backend.rng().random(5)
    backend.seed(3)
    np.testing.assert_array_equal(backend.rng().random(5), first)
    backend.seed(4)
    assert (backend.rng().random(5) != first).all()


def test_random_state_goes_on_where_it_was_taken():
    backend.seed(3)
    backend.rng().standard_normal(7, dtype=np.float32)  # leaves half a draw behind
    state = backend.get_random_state()
    expected = backend.rng().random(5, dtype=np.float32)
    backend.seed(9)
    backend.set_random_state(state)
    np.testing.assert_array_equal(backend.rng().random(5, dtype=np.float32), expected)
    assert isinstance(state, dict)
