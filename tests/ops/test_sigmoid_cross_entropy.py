import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops
from tinyface.kernels.cuda import sigmoid_cross_entropy as sigmoid_cross_entropy_kernel


def targets_for(shape, soft=False):
    t = np.random.default_rng(3).random(shape)
    return t if soft else (t > 0.5).astype(np.float64)


@pytest.mark.reference
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    soft=st.booleans(),
    weighted=st.booleans(),
    scale=st.sampled_from([1, 30]),
)
def test_equals_pytorch(compare_with_torch, torch, put, normal, shape, soft, weighted, scale):
    targets = targets_for(shape, soft)
    weight = np.abs(normal(shape[-1], 4)) + 0.1 if weighted else None

    def theirs(x):
        w = torch.tensor(weight, dtype=x.dtype) if weighted else None
        t = torch.tensor(targets, dtype=x.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=w)

    def ours(x):
        return ops.sigmoid_cross_entropy(x, put(targets), put(weight) if weighted else None)

    compare_with_torch(ours, theirs, scale * normal(shape))


@pytest.mark.reference
@pytest.mark.parametrize("weight", [(40,), (7, 40), (1, 40), (70, 1), ()])
def test_many_equal_pytorch(compare_with_torch, torch, put, normal, monkeypatch, weight):
    """More elements than three of a GPU's blocks have threads; weights of every shape that broadcasts."""
    monkeypatch.setattr(sigmoid_cross_entropy_kernel, "MOST_BLOCKS", 3)
    shape = (3, 7, 40) if weight == (7, 40) else (70, 40)
    targets, weight = targets_for(shape, soft=True), np.abs(normal(weight, 4)) + 0.1

    def theirs(x):
        t, w = torch.tensor(targets, dtype=x.dtype), torch.tensor(weight, dtype=x.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=w)

    compare_with_torch(
        lambda x: ops.sigmoid_cross_entropy(x, put(targets), put(weight)), theirs, normal(shape), scale=0.1
    )


@pytest.mark.parametrize("weight", [None, np.array([0.5, 1.0, 4.0])], ids=["plain", "weighted"])
def test_gradients(check_gradients, put, normal, weight):
    targets, weight = put(targets_for((4, 3), soft=True)), None if weight is None else put(weight)
    check_gradients(lambda x: ops.sigmoid_cross_entropy(x, targets, weight), normal((4, 3)))


def test_gradients_at_zero_where_the_stable_form_has_kinks(check_gradients, put):
    targets = put(targets_for((2, 3), soft=True))
    check_gradients(lambda x: ops.sigmoid_cross_entropy(x, targets), np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", [np.float64, bool, np.int8])
def test_manners(check_op_contract, put, normal, dtype):
    targets = put(targets_for((4, 3)).astype(dtype))
    check_op_contract(lambda x: ops.sigmoid_cross_entropy(x, targets), normal((4, 3)))
    weight = put(np.array([0.5, 1.0, 4.0]))
    check_op_contract(lambda x: ops.sigmoid_cross_entropy(x, targets, weight), normal((4, 3)))


def test_by_hand(put):
    """σ = ¾ for a positive of weight 2 and for a negative."""
    x = Tensor(put(np.log([[3.0, 3.0]])), requires_grad=True)
    loss = ops.sigmoid_cross_entropy(x, put(np.array([[1, 0]])), put(np.array([2.0, 5.0])))
    np.testing.assert_allclose(loss.item(), (2 * np.log(4 / 3) + np.log(4)) / 2)
    loss.backward()
    np.testing.assert_allclose(x.grad.tolist(), [[-2 * 0.25 / 2, 0.75 / 2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(put, dtype):
    x = Tensor(put(np.array([1000.0, 1000.0, -1000.0, -1000.0], dtype)), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = ops.sigmoid_cross_entropy(x, put(np.array([1, 0, 1, 0])))
        loss.backward()
    assert loss.item() == 500
    assert x.grad.tolist() == [0, 0.25, -0.25, 0]


def test_targets_of_another_shape(put, normal):
    message = r"sigmoid_cross_entropy: logits of shape \(4, 3\) need targets of the same shape, got \(4, 1\)"
    with pytest.raises(ValueError, match=message):
        ops.sigmoid_cross_entropy(put(normal((4, 3))), put(normal((4, 1))))
