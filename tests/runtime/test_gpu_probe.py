"""Each thing that a GPU needs is missed in turn: one line with what to run."""

import builtins
import sys
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from tinyface.errors import TinyfaceError
from tinyface.runtime import gpu_probe


class CUDARuntimeError(Exception):
    pass


def fake_cupy(devices=1, driver=12040, needed=12090, version="14.2.0", nvrtc=None, compiling=None, blas=None):
    """A CuPy; the last three are the exceptions that these things raise."""

    def act(error, result=None):
        if error is not None:
            raise error
        return result

    def count():
        if devices is None:
            raise CUDARuntimeError("cudaErrorInsufficientDriver")
        return devices

    class Vector:
        def __mul__(self, other):
            return act(compiling)

    runtime = SimpleNamespace(
        getDeviceCount=count,
        CUDARuntimeError=CUDARuntimeError,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: needed,
    )
    cuda = SimpleNamespace(
        runtime=runtime,
        nvrtc=SimpleNamespace(getVersion=lambda: act(nvrtc, (12, 9))),
        device=SimpleNamespace(get_cublas_handle=lambda: act(blas, 1)),
    )
    return SimpleNamespace(__version__=version, cuda=cuda, arange=lambda *_, **__: Vector())


@pytest.fixture
def install(monkeypatch):
    """install(module, *names): what `import cupy` gives, an exception or None included, and the packages there."""

    def put(module, *names):
        packages = [SimpleNamespace(metadata={"Name": name}) for name in ("numpy", *names)]
        monkeypatch.setattr(metadata, "distributions", lambda: packages)
        if isinstance(module, Exception):
            original = builtins.__import__

            def failing(name, *args, **kwargs):
                if name == "cupy":
                    raise module
                return original(name, *args, **kwargs)

            monkeypatch.setattr(builtins, "__import__", failing)
        else:
            monkeypatch.setitem(sys.modules, "cupy", module)

    return put


def refusal():
    with pytest.raises(TinyfaceError) as caught:
        gpu_probe.load_cupy()
    message = str(caught.value)
    assert message.startswith("--device cuda: ") and "\n" not in message
    assert "tinyface[" not in message  # another project's name on PyPI
    return message


def test_all_is_there(install):
    cupy = fake_cupy()
    install(cupy, "cupy-cuda12x")
    assert gpu_probe.load_cupy() is cupy


@pytest.mark.parametrize(
    ("cupy", "says"),
    [
        (None, "CuPy is not installed; install it with pip install '.[gpu]'"),
        (ImportError("libcuda.so.1: cannot open\nand more"), "(ImportError: libcuda.so.1: cannot open)"),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "cannot be imported"),
        (fake_cupy(version="13.6.0"), "CuPy 13.6.0 is too old, 14.0 or later is needed: pip install"),
        (fake_cupy(devices=None, driver=0), "no NVIDIA driver is found; check nvidia-smi"),
        (fake_cupy(devices=None, needed=13020), "the driver is for CUDA 12, CuPy for CUDA 13; update"),
        (fake_cupy(devices=0), "CuPy finds no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES"),
        (fake_cupy(nvrtc=RuntimeError("no libnvrtc.so.12\n")), "NVRTC, which compiles kernels, fails (Runt"),
        (fake_cupy(compiling=OSError("no cuda_fp16.h")), "the CUDA headers fails (OSError: no cuda_fp16.h)"),
        (fake_cupy(blas=ImportError("no libcublasLt.so.12")), "cuBLAS, which multiplies matrices, fails"),
    ],
)
def test_what_is_missing_is_one_line(install, cupy, says):
    install(cupy, "cupy-cuda12x")
    assert says in refusal()


def test_libraries_come_with_the_extra(install):
    install(fake_cupy(blas=OSError()), "cupy-cuda12x")
    assert "(OSError); install the CUDA libraries: pip install '.[gpu]'" in refusal()


def test_two_cupys(install):
    install(fake_cupy(), "cupy-cuda13x", "cupy-cuda12x")
    assert "cupy-cuda12x and cupy-cuda13x are both installed; remove one: pip uninstall" in refusal()


@pytest.mark.gpu
def test_a_device_passes():
    assert gpu_probe.load_cupy().asarray(np.ones(2)).sum() == 2
