import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), max_size=4), scale=st.sampled_from([0.1, 1, 10]))
def test_equals_pytorch(compare_with_torch, normal, shape, scale):
    compare_with_torch(ops.sigmoid, lambda x: x.sigmoid(), normal(shape) * scale)


@pytest.mark.reference
def test_more_elements_than_a_block_has_threads(compare_with_torch, normal):
    compare_with_torch(ops.sigmoid, lambda x: x.sigmoid(), normal((7, 111)))


def test_gradients(check_gradients, normal):
    check_gradients(ops.sigmoid, normal((3, 4)) * 3)


def test_manners(check_op_contract, normal):
    check_op_contract(ops.sigmoid, normal((2, 3, 4)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(put, dtype):
    x = Tensor(put(np.array([-1e4, -1000, -80, 0, 1000, 1e4], dtype)), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = ops.sigmoid(x)
        y.backward(np.ones(6))
    np.testing.assert_allclose(y.numpy(), [0, 0, np.exp(-80), 0.5, 1, 1], rtol=1e-5, atol=0)
    np.testing.assert_allclose(x.grad.tolist(), [0, 0, np.exp(-80), 0.25, 0, 0], rtol=1e-5, atol=0)
