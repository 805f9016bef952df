"""What a GPU needs, tried once before it is used, so that whatever is missing is one line with the command to run.

CuPy's wheels bring neither NVRTC nor cuBLAS nor the CUDA headers: its extra `ctk` does, which `.[gpu]` asks for.
"""

from importlib import metadata

from ..errors import TinyfaceError

INSTALL = "pip install '.[gpu]' in the folder of tinyface (for CUDA 13: '.[gpu13]')"
OLDEST_CUPY = 14  # 13 takes no structs as arguments of kernels


def load_cupy():
    """CuPy with a device, NVRTC, the CUDA headers and cuBLAS. Raises TinyfaceError where one is missing."""
    installed = sorted(name for name in map(_name, metadata.distributions()) if name.startswith("cupy"))
    packages = [name for name in installed if name == "cupy" or name.startswith("cupy-cuda")]
    if len(packages) > 1:
        _fail(f"{' and '.join(packages)} are both installed; remove one: pip uninstall {packages[0]}")
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            _fail(f"CuPy cannot be imported ({_line(error)}); install it again: {INSTALL}")
        _fail(f"CuPy is not installed; install it with {INSTALL}, or use --device cpu")
    except Exception as error:
        _fail(f"CuPy cannot be imported ({_line(error)}); install it again: {INSTALL}")
    if int(cupy.__version__.split(".")[0]) < OLDEST_CUPY:
        _fail(f"CuPy {cupy.__version__} is too old, {OLDEST_CUPY}.0 or later is needed: {INSTALL}")
    _check_device(cupy.cuda.runtime)
    _try("NVRTC, which compiles kernels,", cupy.cuda.nvrtc.getVersion)
    _try("cuBLAS, which multiplies matrices,", cupy.cuda.device.get_cublas_handle)
    _try("the compilation with the CUDA headers", lambda: cupy.arange(4, dtype="f") * 2)
    return cupy


def _name(distribution):
    return (distribution.metadata["Name"] or "").lower()


def _check_device(runtime):
    try:
        if runtime.getDeviceCount():
            return
    except runtime.CUDARuntimeError:
        pass
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        _fail("no NVIDIA driver is found; check nvidia-smi, or use --device cpu")
    if driver // 1000 < needed // 1000:
        have, need = driver // 1000, needed // 1000
        _fail(f"the driver is for CUDA {have}, CuPy for CUDA {need}; update the driver, or use {INSTALL}")
    _fail("CuPy finds no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu")


def _try(what, action):
    try:
        action()
    except Exception as error:
        _fail(f"{what} fails ({_line(error)}); install the CUDA libraries: {INSTALL}")


def _line(error):
    """The first line of its message, with its kind."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__


def _fail(message):
    raise TinyfaceError(f"--device cuda: {message}") from None
