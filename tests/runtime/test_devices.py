import numpy as np
import pytest

from tinyface import Tensor, TinyfaceError
from tinyface.runtime import devices, memory


def test_numpy_computes_on_numpy_arrays():
    assert devices.get_array_module(np.zeros(2), np.float32(1), 1.0, 2) is np
    assert devices.device_of(np.zeros(2)) == "cpu"


def test_an_array_on_the_cpu_is_handed_back():
    x = np.zeros(3)
    assert devices.to_device(x, "cpu") is x
    assert isinstance(devices.to_device(np.float32(3), "cpu"), np.ndarray)


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:1", ""])
def test_an_unknown_device(device):
    with pytest.raises(TinyfaceError, match=f"--device {device}: unknown device; use cpu or cuda"):
        devices.to_device(np.zeros(3), device)
    with pytest.raises(TinyfaceError, match="unknown device"):
        Tensor([1.0]).to(device)


@pytest.mark.gpu
def test_there_and_back():
    x = np.random.default_rng(0).standard_normal((2, 3))
    there = devices.to_device(x, "cuda")
    assert devices.device_of(there) == "cuda"
    assert devices.get_array_module(x, there) is devices.cupy()
    assert devices.to_device(there, "cuda") is there
    np.testing.assert_array_equal(devices.to_device(there, "cpu"), x)

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
    there = devices.to_device(x, "cuda")
    assert there.flags.c_contiguous
    np.testing.assert_array_equal(devices.to_device(there, "cpu"), x)
    assert devices.to_device(there[:, ::-1], "cuda").flags.c_contiguous


@pytest.mark.gpu
def test_contiguous_keeps_what_is():
    x = devices.to_device(np.float64(3), "cuda")
    assert memory.contiguous(x) is x and x.shape == ()
    x = devices.to_device(np.arange(6.0).reshape(2, 3), "cuda")
    assert memory.contiguous(x) is x
    assert memory.contiguous(x.T).flags.c_contiguous
