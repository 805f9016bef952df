"""A kernel is given what its .cu file declares: no array of another type, layout or device is let through."""

from pathlib import Path

import numpy as np
import pytest

import tinyface
from tinyface import backend
from tinyface.runtime import cuda, signatures

FILES = sorted(Path(tinyface.__file__).parent.rglob("*.cu"))
SOURCE = """
// extern "C" __global__ void commented(int n) {}
#define SIZE 4
#define KERNEL(A, B)                                                         \\
    extern "C" __global__ void __launch_bounds__(256, A < 4 ? 2 : 1) k_##A##_##B( \\
        const real* x, int n) { f<A, B>(x, n); }

KERNEL(1, 2)
KERNEL(3, 4)
extern "C" __global__ void all(const Table t, const real* __restrict__ x, real* dx /* or null */, const void* labels,
                               const unsigned char* bytes, double sum, long long size, bool on, float f, real r,
                               const bool* keep, const long long* counts) {
"""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signatures(dtype):
    found = signatures.signatures(SOURCE, np.dtype(dtype))
    assert set(found) == {"all", "k_1_2", "k_3_4"}
    assert found["k_3_4"] == [("x", True, False, np.dtype(dtype)), ("n", False, False, np.int32)]
    assert found["all"] == [
        ("t", False, False, np.void),
        ("x", True, False, np.dtype(dtype)),
        ("dx", True, True, np.dtype(dtype)),
        ("labels", True, False, None),
        ("bytes", True, False, np.dtype(np.uint8)),
        ("sum", False, False, np.float64),
        ("size", False, False, np.int64),
        ("on", False, False, np.bool_),
        ("f", False, False, np.float32),
        ("r", False, False, dtype),
        ("keep", True, False, np.dtype(bool)),
        ("counts", True, False, np.dtype(np.int64)),
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_kernel_has_a_signature(path):
    source = path.read_text(encoding="utf-8")
    declared = [line for line in source.splitlines() if line.lstrip().startswith('extern "C" __global__')]
    macros = (
        source.count("\nDIRECT(") - 1 if "\nDIRECT(" in source else 0
    )  # one declaration makes all of these
    found = signatures.signatures(source, np.dtype(np.float32))
    assert declared and len(found) == len(declared) + macros
    assert all(
        parameter.type is not np.void or not parameter.pointer for p in found.values() for parameter in p
    )


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    source = tmp_path_factory.mktemp("kernels") / "add.cu"
    source.write_text(
        'extern "C" __global__ void add(const real* x, const int* y /* or null */, real* z, int n) {\n'
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    if (i < n) z[i] = x[i] + (y ? y[i] : 100);\n"
        "}\n",
        encoding="utf-8",
    )
    return cuda.load_kernels(source).get_function("add")


@pytest.fixture
def arguments():
    x, y = np.arange(5, dtype=np.float32), 10 * np.arange(5, dtype=np.int32)
    return {
        "x": backend.to_device(x, "cuda"),
        "y": backend.to_device(y, "cuda"),
        "z": backend.to_device(np.zeros_like(x), "cuda"),
        "n": np.int32(5),
    }


def launched(kernel, arguments):
    cuda.launch(kernel, 5, *arguments.values())
    return backend.to_device(arguments["z"], "cpu").tolist()


@pytest.mark.gpu
def test_what_fits_is_launched(kernel, arguments):
    assert launched(kernel, arguments) == [0, 11, 22, 33, 44]
    assert launched(kernel, arguments | {"y": None}) == [100, 101, 102, 103, 104]
    assert launched(kernel, arguments | {"z": arguments["z"][:, None]}) == [[0], [11], [22], [33], [44]]


WRONG = [
    ("x", lambda x: x.astype(np.float64), TypeError, "an array of float32 on a GPU, got cupy.ndarray of float64"),
    ("x", lambda x: x.astype(np.int32), TypeError, "an array of float32 on a GPU, got cupy.ndarray of int32"),
    ("y", lambda y: y.astype(np.float32), TypeError, "an array of int32 on a GPU, got cupy.ndarray of float32"),
    ("x", lambda x: x.get(), TypeError, "an array of float32 on a GPU, got numpy.ndarray of float32"),
    ("x", lambda x: None, TypeError, "an array of float32 on a GPU, got NoneType"),
    ("x", lambda x: np.uintp(0), TypeError, "an array of float32 on a GPU, got numpy.uint64 of uint64"),
    ("x", lambda x: x.repeat(2)[::2], ValueError, r"must be C-contiguous, got shape \(5,\) with strides \(8,\)"),
    ("z", lambda z: z[::-1], ValueError, r"must be C-contiguous, got shape \(5,\) with strides \(-4,\)"),
    ("n", lambda n: 5, TypeError, "a numpy.int32, got int"),
    ("n", lambda n: np.int64(5), TypeError, "a numpy.int32, got numpy.int64 of int64"),
    ("n", lambda n: np.float32(5), TypeError, "a numpy.int32, got numpy.float32 of float32"),
    ("n", lambda n: backend.cupy().array(5, np.int32), TypeError, "a numpy.int32, got cupy.ndarray of int32"),
]  # fmt: skip


@pytest.mark.gpu
@pytest.mark.parametrize("name, change, error, message", WRONG)
@pytest.mark.parametrize("threads", [5, 0])
def test_what_does_not_fit_is_not_launched(kernel, arguments, name, change, error, message, threads):
    arguments[name] = change(arguments[name])
    verb = "" if message.startswith("must") else "is "
    with pytest.raises(error, match=f"^add: {name} {verb}{message}"):
        cuda.launch(kernel, threads, *arguments.values())


@pytest.mark.gpu
def test_the_number_of_arguments(kernel, arguments):
    for wrong in (list(arguments.values())[:-1], [*arguments.values(), np.int32(5)]):
        with pytest.raises(TypeError, match=f"add: takes 4 arguments, got {len(wrong)}"):
            cuda.launch(kernel, 5, *wrong)


@pytest.mark.gpu
def test_addresses_that_travel_another_way(arguments):
    cuda.check_pointers("add", np.dtype(np.float32), x=arguments["x"], z=arguments["z"])
    for wrong, error in ((arguments["y"], TypeError), (arguments["x"][::2], ValueError)):
        with pytest.raises(error, match=r"^add: z "):
            cuda.check_pointers("add", np.dtype(np.float32), x=arguments["x"], z=wrong)
