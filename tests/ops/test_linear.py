import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

LEADING = [(), (1,), (4,), (2, 3), (2, 1, 3)]
every_leading = pytest.mark.parametrize("leading", LEADING)


@pytest.mark.reference
@given(
    leading=st.lists(st.integers(1, 4), max_size=3),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    bias=st.booleans(),
)
def test_equals_pytorch(compare_with_torch, torch, normal, leading, inputs, outputs, bias):
    arrays = normal((*leading, inputs)), normal((outputs, inputs), 1), normal(outputs, 2)
    compare_with_torch(ops.linear, torch.nn.functional.linear, *arrays[: 3 if bias else 2])


@every_leading
def test_gradients(check_gradients, normal, leading):
    check_gradients(ops.linear, normal((*leading, 3)), normal((2, 3), 1), normal(2, 2))


@every_leading
def test_manners(check_op_contract, normal, leading):
    check_op_contract(ops.linear, normal((*leading, 3)), normal((2, 3), 1), normal(2, 2))
    check_op_contract(ops.linear, normal((*leading, 3)), normal((2, 3), 1))


def test_by_hand(put):
    x, w, b = (
        Tensor(put(np.array(a, float)), requires_grad=True)
        for a in ([[1, 2], [3, 4]], [[10, 1], [0, -1], [2, 2]], [100, 0, 1])
    )
    y = ops.linear(x, w, b)
    assert y.numpy().tolist() == [[112, -2, 7], [134, -4, 15]]
    y.backward([[1, 0, 0], [0, 1, 2]])
    assert x.grad.tolist() == [[10, 1], [4, 3]]
    assert w.grad.tolist() == [[1, 2], [3, 4], [6, 8]]
    assert b.grad.tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((5, 4), (2, 3)), r"linear: x of shape \(5, 4\) does not fit w of shape \(2, 3\) \(out, in\)"),
        (((5, 3), (3,)), r"linear: x of shape \(5, 3\) does not fit w of shape \(3,\)"),
        (((), (2, 3)), r"linear: x of shape \(\) does not fit"),
        (((5, 3), (2, 3), (3,)), r"linear: bias must have shape \(2,\), got \(3,\)"),
    ],
)
def test_shapes_that_dont_fit(put, normal, shapes, message):
    with pytest.raises(ValueError, match=message):
        ops.linear(*(put(np.asarray(normal(shape))) for shape in shapes))
