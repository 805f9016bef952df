"""What is kept from call to call is kept for each GPU: all computes on a second one after the first."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from tinyface import Tensor, backend, ops, optim
from tinyface.faces.data.patches import turn_tiles
from tinyface.gradcheck import EXAMPLES
from tinyface.kernels.cuda import conv2d as conv2d_kernels


@pytest.fixture
def on_gpu():
    """on_gpu(number): a context in which that GPU is the current one."""
    cuda = backend.cupy().cuda
    if cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU only")
    return cuda.Device


def results(name):
    """Output and gradients of the example of an op, on the current GPU."""
    fn, inputs = EXAMPLES[name](np.random.default_rng(0))
    tensors = [Tensor(backend.to_device(x, "cuda"), requires_grad=True) for x in inputs]
    y = fn(*tensors)
    y.backward(backend.to_device(np.random.default_rng(1).standard_normal(y.shape), "cuda"))
    arrays = [y.data, *(t.grad for t in tensors)]
    assert {a.data.device_id for a in arrays} == {backend.cupy().cuda.Device().id}
    return [backend.to_device(a, "cpu") for a in arrays]


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_op(on_gpu, name):
    state = backend.get_random_state()  # of dropout
    first = results(name)
    backend.set_random_state(state)
    with on_gpu(1):
        second = results(name)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.gpu
def test_tiles_of_images(on_gpu):
    def turned():
        images, tiles, turns = (
            backend.to_device(a, "cuda") for a in (np.arange(81.0).reshape(1, 9, 9), [4], [1])
        )
        return backend.to_device(turn_tiles(images, tiles, turns), "cpu")

    first = turned()
    with on_gpu(1), warnings.catch_warnings():
        warnings.simplefilter("error")  # CuPy warns of an array of another GPU where it can read that
        np.testing.assert_array_equal(turned(), first)


@pytest.mark.gpu
def test_an_optimizer(on_gpu):
    for number in (0, 1):
        with on_gpu(number):
            p = SimpleNamespace(
                data=backend.to_device(np.ones(3), "cuda"), grad=backend.to_device(np.ones(3), "cuda")
            )
            optim.SGD([p], lr=0.25).step()
            assert p.data.tolist() == [0.75] * 3


@pytest.mark.gpu
def test_an_array_of_another_gpu_is_refused(on_gpu):
    x = Tensor(backend.to_device(np.ones((1, 2, 3, 3)), "cuda"))
    with on_gpu(1), pytest.raises(ValueError, match="is on GPU 0, the kernel runs on GPU 1"):
        ops.sigmoid(x)


def test_the_number_of_multiprocessors(monkeypatch):
    gpu = SimpleNamespace(current=0)

    def properties(number):
        return SimpleNamespace(attributes={"MultiProcessorCount": (8, 132)[number]})

    cuda = SimpleNamespace(Device=properties, device=SimpleNamespace(get_device_id=lambda: gpu.current))
    monkeypatch.setattr(conv2d_kernels, "cupy", lambda: SimpleNamespace(cuda=cuda))
    conv2d_kernels._multiprocessors.cache_clear()
    try:
        for gpu.current, expected in ((0, 8), (1, 132), (0, 8)):
            assert conv2d_kernels.multiprocessors() == expected
    finally:
        conv2d_kernels._multiprocessors.cache_clear()
