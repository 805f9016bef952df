import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tinyface import TinyfaceError
from tinyface.runtime import cuda as cuda_module
from tinyface.runtime import devices

DOUBLE = """extern "C" __global__ void twice(const real* x, real* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}
"""


@pytest.fixture
def compiler(monkeypatch):
    """What `cuda_module.load_kernels` had compiled, on a machine without a GPU; `seconds` is what that takes."""
    compiler = SimpleNamespace(compiled=[], seconds=0)

    def raw_module(**options):
        compiler.compiled.append(options)
        return SimpleNamespace(get_function=lambda name: time.sleep(compiler.seconds))

    cuda = SimpleNamespace(device=SimpleNamespace(get_device_id=lambda: 0))
    fake = SimpleNamespace(RawModule=raw_module, ndarray=np.ndarray, cuda=cuda)
    monkeypatch.setattr(cuda_module, "cupy", lambda: fake)
    monkeypatch.setattr(cuda_module, "_kernels", {})
    monkeypatch.setattr(cuda_module, "_said", False)
    return compiler


def test_kernels_are_compiled_once_for_each_type(compiler, tmp_path):
    source = tmp_path / "twice.cu"
    source.write_text(DOUBLE, encoding="utf-8")
    single, double = cuda_module.load_kernels(source), cuda_module.load_kernels(source, np.float64)
    assert (
        cuda_module.load_kernels(source) is single
        and cuda_module.load_kernels(str(source), np.float64) is double
    )
    assert [options["options"][0] for options in compiler.compiled] == ["-Dreal=float", "-Dreal=double"]
    assert all(options["code"] == '#line 1 "twice.cu"\n' + DOUBLE for options in compiler.compiled)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, np.complex64, ">f4"])
def test_kernels_of_other_types(compiler, dtype):
    with pytest.raises(TypeError, match=r"relu\.cu: its kernels compute in float32 and float64, not in "):
        cuda_module.load_kernels("relu.cu", dtype)


def test_kernels_are_read_as_utf_8_whatever_the_language(tmp_path):
    source = tmp_path / "twice.cu"
    source.write_text("// β = γ\n" + DOUBLE, encoding="utf-8")
    code = (
        "import sys\nfrom types import SimpleNamespace\nfrom tinyface.runtime import cuda\n"
        "class Compiled(Exception): pass\n"
        "def compile(code, options):\n    raise Compiled(code.count('\\u03b2 = \\u03b3'))\n"
        "cuda.cupy = lambda: SimpleNamespace(RawModule=compile)\n"
        "try: cuda.load_kernels(sys.argv[1])\nexcept Compiled as found: print(found)"
    )
    c = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code, source], env=c, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_the_first_compilation_is_announced(compiler, tmp_path, capsys, monkeypatch):
    """Once, and only where it takes longer than reading the cache does."""
    monkeypatch.setattr(cuda_module, "FROM_CACHE", 0.02)
    for seconds, expected in ((0, ""), (0.2, cuda_module.COMPILING + "\n"), (0.2, "")):
        source = tmp_path / f"{len(compiler.compiled)}.cu"
        source.write_text(DOUBLE, encoding="utf-8")
        compiler.seconds = seconds
        cuda_module.load_kernels(source)
        assert capsys.readouterr() == ("", expected)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kernel_computes_in_both_precisions(tmp_path, dtype):
    source = tmp_path / "twice.cu"
    source.write_text(DOUBLE)
    x = devices.to_device((np.arange(1000) / 7).astype(dtype), "cuda")
    y = devices.cupy().empty_like(x)
    cuda_module.load_kernels(source, dtype).get_function("twice")((4,), (256,), (x, y, np.int32(1000)))
    np.testing.assert_array_equal(devices.to_device(y, "cpu"), 2 * devices.to_device(x, "cpu"))


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
    y = devices.to_device(np.zeros((rows, width), np.int32), "cuda")
    kernel = cuda_module.load_kernels(source).get_function("where")
    cuda_module.launch_rows(kernel, rows, width, y, np.int32(rows), np.int32(width))
    expected = 1000 * np.arange(rows)[:, None] + np.arange(width)
    np.testing.assert_array_equal(devices.to_device(y, "cpu"), expected)


@pytest.mark.gpu
def test_a_compile_error_names_the_file_and_its_true_line(tmp_path):
    source = tmp_path / "broken.cu"
    source.write_text(DOUBLE + "\nthis is no CUDA\n")  # on line 6
    with pytest.raises(devices.cupy().cuda.compiler.CompileException, match=r"broken\.cu\(6\)"):
        cuda_module.load_kernels(source)


@pytest.fixture
def tf32_off():
    yield
    cuda_module.set_tf32(False)


@pytest.mark.parametrize("capability, allowed", [("70", False), ("75", False), ("80", True), ("120", True)])
def test_tf32_needs_tensor_cores_that_know_it(monkeypatch, tf32_off, capability, allowed):
    device = SimpleNamespace(compute_capability=capability)
    fake = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device))
    monkeypatch.setattr(cuda_module, "cupy", lambda: fake)
    assert not cuda_module.tf32()
    if allowed:
        cuda_module.set_tf32(True)
    else:
        has = f"--tf32: needs a GPU of compute capability 8.0 or later; this one has 7.{capability[1]}"
        with pytest.raises(TinyfaceError, match=has):
            cuda_module.set_tf32(True)
    assert cuda_module.tf32() is allowed
    cuda_module.set_tf32(False)
    assert not cuda_module.tf32()


@pytest.mark.gpu
def test_tf32_on_this_gpu(tf32_off):
    capability = devices.cupy().cuda.Device().compute_capability
    if int(capability) < 80:
        pytest.skip(f"compute capability {capability}")
    cuda_module.set_tf32(True)
    assert cuda_module.tf32()
