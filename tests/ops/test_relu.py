import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

WITH_ZEROS = np.array([[-2.0, -0.0, 0.0], [1e-3, 3.0, -1e-3]])


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), max_size=4))
def test_equals_pytorch(compare_with_torch, normal, shape):
    compare_with_torch(ops.relu, lambda x: x.relu(), normal(shape))


@pytest.mark.reference
def test_equals_pytorch_at_zero(compare_with_torch):
    compare_with_torch(ops.relu, lambda x: x.relu(), WITH_ZEROS)


def test_gradients_also_at_the_kink(check_gradients, normal):
    check_gradients(ops.relu, normal((3, 4)))
    check_gradients(ops.relu, WITH_ZEROS)


def test_manners(check_op_contract, normal):
    check_op_contract(ops.relu, normal((2, 3, 4, 5)))


def test_gradient_at_zero_is_zero(put):
    x = Tensor(put(np.array([-1.0, 0.0, 2.0])), requires_grad=True)
    y = ops.relu(x)
    y.backward([5, 6, 7])
    assert y.numpy().tolist() == [0, 0, 2]
    assert x.grad.tolist() == [0, 0, 7]


def test_nan_shows(put):
    assert np.isnan(ops.relu(put(np.array([np.nan, 1.0]))).numpy()).tolist() == [True, False]
