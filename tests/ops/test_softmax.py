import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_equals_pytorch(compare_with_torch, normal, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    compare_with_torch(lambda x: ops.softmax(x, axis), lambda x: x.softmax(axis), 3 * normal(shape), scale=1)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients(check_gradients, normal, axis):
    check_gradients(lambda x: ops.softmax(x, axis), normal((2, 3, 4)))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_manners(check_manners, normal, axis):
    check_manners(lambda x: ops.softmax(x, axis), normal((2, 3, 4)))


def test_sums_to_one_along_the_channels(put, normal):
    y = ops.softmax(put(normal((2, 7, 3, 4)))).numpy()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(put, dtype):
    x = Tensor(put(np.array([[1e4, 1e4, -1e4], [-1e4, -1e4 + 1, -2e4]], dtype)), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        y = ops.softmax(x)
        y.backward(np.ones((2, 3)))
    e = np.e / (1 + np.e)
    np.testing.assert_allclose(y.numpy(), [[0.5, 0.5, 0], [1 - e, e, 0]], rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), np.zeros((2, 3)), atol=1e-6)
