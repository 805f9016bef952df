import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import blocks


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_equals_pytorch(compare_with_torch, normal, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    compare_with_torch(lambda x: ops.softmax(x, axis), lambda x: x.softmax(axis), 3 * normal(shape), scale=1)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients(check_gradients, normal, axis):
    check_gradients(lambda x: ops.softmax(x, axis), normal((2, 3, 4)))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_manners(check_op_contract, normal, axis):
    check_op_contract(lambda x: ops.softmax(x, axis), normal((2, 3, 4)))


@pytest.mark.reference
@pytest.mark.parametrize("classes", [16, 17, 40])
@pytest.mark.parametrize("axis", [1, 2])
def test_many_classes(compare_with_torch, normal, classes, axis):
    """A GPU keeps 16 in registers."""
    shape = (3, classes, 5) if axis == 1 else (3, 5, classes)
    compare_with_torch(lambda x: ops.softmax(x, axis), lambda x: x.softmax(axis), 3 * normal(shape), scale=1)


@pytest.mark.reference
def test_more_positions_than_a_block_has_threads(compare_with_torch, normal):
    compare_with_torch(ops.softmax, lambda x: x.softmax(1), normal((3, 7, 13, 11)), scale=1)


def test_of_nothing(put):
    assert ops.softmax(put(np.empty((0, 3, 2)))).shape == (0, 3, 2)


def test_sums_to_one_along_the_channels(put, normal):
    y = ops.softmax(put(normal((2, 7, 3, 4)))).numpy()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(put, dtype, shape):
    x = np.array([[1e4, 1e4, -1e4], [-1e4, -1e4 + 1, -2e4]], dtype).reshape(shape)
    x = Tensor(put(x), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        y = ops.softmax(x)
        y.backward(np.ones(shape))
    e = np.e / (1 + np.e)
    np.testing.assert_allclose(y.numpy().reshape(2, 3), [[0.5, 0.5, 0], [1 - e, e, 0]], rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), np.zeros(shape), atol=1e-6)


@pytest.mark.parametrize("classes", [3, 20])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_largest_may_come_last(put, classes, axis):
    x = np.full((classes, classes), -1e4)
    np.fill_diagonal(x, 1e4)
    x = Tensor(put(x), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        y = ops.softmax(x, axis)
    np.testing.assert_array_equal(y.numpy(), np.eye(classes))


def test_maps(check_gradients, check_op_contract, normal):
    """Over the channels of maps there is a way of its own."""
    for shape in ((2, 3, 3, 2), (1, 1, 2, 2), (2, 7, 1, 1)):
        check_gradients(ops.softmax, normal(shape))
        check_op_contract(ops.softmax, normal(shape))


@pytest.mark.cpu
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    check_threads(ops.softmax, normal((3, 7, 13, 11)))


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 7, 3, 3), (3, 1, 2, 2), (1, 1, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Output and gradient lie as (H, W, N, C), if what comes in does."""
    x = Tensor(put(backend.as_nchw(backend.as_hwnc(normal(shape)))), requires_grad=True)
    y = ops.softmax(x)
    np.testing.assert_array_equal(y.numpy(), ops.softmax(put(normal(shape))).numpy())
    y.backward(backend.as_nchw(backend.as_hwnc(normal(shape, 1))))
    assert all(a.transpose(2, 3, 0, 1).flags.c_contiguous for a in (y.data, x.grad))
