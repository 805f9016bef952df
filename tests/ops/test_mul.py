import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

# (shape of a, shape of b), each pair broadcasts
SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((4,), (2, 3, 4)),
    ((3, 1), (1, 4)),
    ((2, 1, 3), (5, 1)),
    ((1, 1), (3, 4)),
    ((), (2, 3)),
    ((), ()),
    ((1,), ()),
]
every_shape = pytest.mark.parametrize("a, b", SHAPES)


@pytest.mark.reference
@every_shape
def test_equals_pytorch(compare_with_torch, normal, a, b):
    compare_with_torch(ops.mul, lambda a, b: a * b, normal(a), normal(b, 1))


@pytest.mark.reference
@given(data=st.data())
def test_any_broadcast_equals_pytorch(compare_with_torch, normal, data):
    full = data.draw(st.lists(st.integers(1, 4), max_size=4))
    shapes = []
    for _ in range(2):
        ones = data.draw(st.lists(st.booleans(), min_size=len(full), max_size=len(full)))
        dropped = data.draw(st.integers(0, len(full)))
        shapes.append(tuple(1 if one else length for one, length in zip(ones, full, strict=True))[dropped:])
    compare_with_torch(ops.mul, lambda a, b: a * b, normal(shapes[0]), normal(shapes[1], 1))


@every_shape
def test_gradients(check_gradients, normal, a, b):
    check_gradients(ops.mul, normal(a), normal(b, 1))


@every_shape
def test_manners(check_op_contract, normal, a, b):
    check_op_contract(ops.mul, normal(a), normal(b, 1))


def test_gradient_is_the_other_factor_summed_where_repeated(put):
    row = Tensor(put(np.array([10.0, 20.0])), requires_grad=True)
    y = ops.mul(put(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])), row)
    np.testing.assert_array_equal(y.numpy(), [[10, 40], [30, 80], [50, 120]])
    y.backward([[1, 1], [1, 1], [1, 10]])
    np.testing.assert_array_equal(row.grad.tolist(), [9, 66])


def test_square(put):
    x = Tensor(put(np.array([3.0, -2.0])), requires_grad=True)
    ops.mul(x, x).backward([1, 10])
    np.testing.assert_array_equal(x.grad.tolist(), [6, -40])


def test_shapes_that_dont_broadcast(put, normal):
    with pytest.raises(ValueError, match=r"mul: shapes \(2, 3\) and \(2,\) don't broadcast"):
        ops.mul(put(normal((2, 3))), put(normal(2)))
