import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops


@pytest.mark.reference
@given(shape=st.tuples(*[st.integers(1, 7)] * 4))
def test_equals_pytorch(compare_with_torch, normal, shape):
    compare_with_torch(ops.global_avg_pool2d, lambda x: x.mean((2, 3)), normal(shape))


@pytest.mark.reference
@pytest.mark.parametrize("shape", [(2, 3, 45, 61), (1, 1, 1, 33), (3, 40, 7, 6)])
def test_large_maps_equal_pytorchs(compare_with_torch, normal, shape):
    compare_with_torch(ops.global_avg_pool2d, lambda x: x.mean((2, 3)), normal(shape) + 10)


def test_gradients(check_gradients, normal):
    check_gradients(ops.global_avg_pool2d, normal((2, 3, 3, 2)))


def test_manners(check_op_contract, normal):
    check_op_contract(ops.global_avg_pool2d, normal((2, 3, 3, 5)))


def test_by_hand(put):
    x = Tensor(put(np.array([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])), requires_grad=True)
    y = ops.global_avg_pool2d(x)
    assert y.numpy().tolist() == [[3, 1]]
    y.backward([[4, 8]])
    assert x.grad.tolist() == [[[[1, 1], [1, 1]], [[2, 2], [2, 2]]]]


def test_other_than_four_axes(put, normal):
    with pytest.raises(ValueError, match=r"global_avg_pool2d: x must have shape .* got \(2, 3, 4\)"):
        ops.global_avg_pool2d(put(normal((2, 3, 4))))
