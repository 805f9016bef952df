import numpy as np
import pytest

from tinyface import Tensor, backend, ops

INDICES = [
    0,
    -1,
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    (slice(None), 1),
    (Ellipsis, slice(2)),
    (1, slice(None), -2),
    (0, 1, 2),
]
every_index = pytest.mark.parametrize("index", INDICES, ids=str)


@pytest.mark.reference
@pytest.mark.parametrize("index", [i for i in INDICES if i != slice(None, None, -1)], ids=str)
def test_equals_pytorch(compare_with_torch, normal, index):
    compare_with_torch(lambda x: x[index], lambda x: x[index], normal((3, 4, 5)))


@every_index
def test_gradients(check_gradients, normal, index):
    check_gradients(lambda x: ops.getitem(x, index), normal((3, 4, 3)))


@every_index
def test_manners(check_op_contract, normal, index):
    check_op_contract(lambda x: x[index], normal((3, 4, 5)))


def test_gradient_is_zero_elsewhere(put):
    x = Tensor(put(np.arange(6.0).reshape(2, 3)), requires_grad=True)
    y = x[:, 1:]
    assert y.numpy().tolist() == [[1, 2], [4, 5]]
    y.backward([[1, 2], [3, 4]])
    assert x.grad.tolist() == [[0, 1, 2], [0, 3, 4]]


def test_overlapping_parts_add_up(put):
    x = Tensor(put(np.arange(4.0)), requires_grad=True)
    (x[:3] + x[1:]).backward([1, 10, 100])
    assert x.grad.tolist() == [1, 11, 110, 100]


@pytest.mark.parametrize("index", [[0, 1], np.array([0, 1]), (slice(None), [0]), None], ids=str)
def test_other_indices_are_refused(put, normal, index):
    with pytest.raises(TypeError, match="getitem: only slices, integers and … are understood"):
        Tensor(put(normal((3, 4))))[index]


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 3, 3), (3, 2, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Of maps that lie as (H, W, N, C), the gradient does too."""
    x = Tensor(put(backend.as_nchw(backend.as_hwnc(normal(shape)))), requires_grad=True)
    y = x[:, 1:]
    y.backward(np.ones(y.shape))
    assert x.grad.transpose(2, 3, 0, 1).flags.c_contiguous
