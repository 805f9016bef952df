import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

AXES = [None, 0, 1, -1, (0, 2), (-1, 0), (1,), (0, 1, 2)]
every_axis = pytest.mark.parametrize("axis", AXES)
both_keepdims = pytest.mark.parametrize("keepdims", [False, True])


def theirs(axis, keepdims):
    axes = (0, 1, 2) if axis is None else axis
    return lambda x: x.sum(axes, keepdim=keepdims)


@pytest.mark.reference
@every_axis
@both_keepdims
def test_equals_pytorch(compare_with_torch, normal, axis, keepdims):
    compare_with_torch(lambda x: ops.sum(x, axis, keepdims), theirs(axis, keepdims), normal((3, 1, 4)))


@pytest.mark.reference
@given(shape=st.tuples(*[st.integers(1, 6)] * 3), axis=st.sampled_from(AXES), keepdims=st.booleans())
def test_any_shape_equals_pytorch(compare_with_torch, normal, shape, axis, keepdims):
    compare_with_torch(lambda x: ops.sum(x, axis, keepdims), theirs(axis, keepdims), normal(shape))


@every_axis
@both_keepdims
def test_gradients(check_gradients, normal, axis, keepdims):
    check_gradients(lambda x: ops.sum(x, axis, keepdims), normal((2, 3, 2)))


@every_axis
def test_manners(check_op_contract, normal, axis):
    check_op_contract(lambda x: ops.sum(x, axis), normal((2, 3, 4)))


def test_by_hand(put):
    x = Tensor(put(np.array([[1.0, 2.0], [3.0, 4.0]])), requires_grad=True)
    y = x.sum(axis=0)
    assert y.numpy().tolist() == [4, 6]
    y.backward([10, 20])
    assert x.grad.tolist() == [[10, 20], [10, 20]]


def test_of_a_scalar(put):
    x = Tensor(put(np.array(3.0)), requires_grad=True)
    y = x.sum()
    y.backward()
    assert y.item() == 3 and x.grad.tolist() == 1


def test_axis_beyond_the_shape(put, normal):
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        ops.sum(put(normal((2, 3))), axis=2)
