import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

SHAPES = [((2, 3, 4), (6, 4)), ((2, 3, 4), (4, 3, 2)), ((2, 3), (-1,)), ((6,), (3, -1)), ((1,), ())]


@pytest.mark.reference
@pytest.mark.parametrize("before, after", SHAPES)
def test_equals_pytorch(compare_with_torch, normal, before, after):
    compare_with_torch(lambda x: ops.reshape(x, after), lambda x: x.reshape(after), normal(before))


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(st.permutations))
def test_flat_equals_pytorch(compare_with_torch, normal, shape):
    compare_with_torch(lambda x: x.reshape((-1,)), lambda x: x.reshape(-1), normal(shape))


def test_gradients(check_gradients, normal):
    check_gradients(lambda x: ops.reshape(x, (4, 3)), normal((2, 3, 2)))


def test_manners(check_op_contract, normal):
    check_op_contract(lambda x: ops.reshape(x, (4, -1)), normal((2, 3, 2)))


def test_reading_order(put):
    x = Tensor(put(np.arange(6.0).reshape(2, 3)), requires_grad=True)
    y = x.reshape([3, 2])
    assert y.numpy().tolist() == [[0, 1], [2, 3], [4, 5]]
    y.backward([[1, 2], [3, 4], [5, 6]])
    assert x.grad.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_elements_that_dont_fill_the_shape(put, normal):
    with pytest.raises(ValueError, match=r"reshape: 6 elements of shape \(2, 3\) don't fill \(4, -1\)"):
        ops.reshape(put(normal((2, 3))), (4, -1))
