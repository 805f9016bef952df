import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops


@pytest.mark.reference
@given(
    base=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    data=st.data(),
)
def test_equals_pytorch(compare_with_torch, torch, normal, base, lengths, data):
    axis = data.draw(st.integers(-len(base), len(base) - 1))
    arrays = []
    for seed, length in enumerate(lengths):
        shape = list(base)
        shape[axis] = length
        arrays.append(normal(shape, seed))
    compare_with_torch(lambda *xs: ops.concat(xs, axis), lambda *xs: torch.cat(xs, axis), *arrays)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients(check_gradients, normal, axis):
    check_gradients(lambda a, b: ops.concat([a, b], axis), normal((2, 3, 2)), normal((2, 3, 2), 1))


def test_manners(check_op_contract, normal):
    check_op_contract(lambda a, b, c: ops.concat((a, b, c)), *(normal((2, k, 3), k) for k in (1, 3, 2)))


def test_each_gets_its_own_stretch(put):
    a = Tensor(put(np.array([[1.0], [2.0]])), requires_grad=True)
    b = Tensor(put(np.array([[3.0, 4.0], [5.0, 6.0]])), requires_grad=True)
    y = ops.concat([a, b])
    assert y.numpy().tolist() == [[1, 3, 4], [2, 5, 6]]
    y.backward([[10, 20, 30], [40, 50, 60]])
    assert a.grad.tolist() == [[10], [40]]
    assert b.grad.tolist() == [[20, 30], [50, 60]]


def test_one_tensor_twice(put):
    x = Tensor(put(np.array([[1.0, 2.0]])), requires_grad=True)
    ops.concat([x, x], axis=0).backward([[1, 2], [10, 20]])
    assert x.grad.tolist() == [[11, 22]]


@pytest.mark.parametrize("other", [(3, 4), (2, 4, 1)])
def test_shapes_that_differ_elsewhere(put, normal, other):
    with pytest.raises(ValueError, match=r"concat: shapes \(2, 3\), .* differ elsewhere than on axis 1"):
        ops.concat([put(normal((2, 3))), put(normal(other))])


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 3, 3), (3, 2, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Of maps that lie as (H, W, N, C), the result does too."""
    x = Tensor(put(backend.as_nchw(backend.as_hwnc(normal(shape)))), requires_grad=True)
    y = ops.concat([x, x, x])
    y.backward(np.ones(y.shape))
    assert y.data.transpose(2, 3, 0, 1).flags.c_contiguous
