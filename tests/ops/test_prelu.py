import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops
from tinyface.kernels.cpu import row_matrix

# (x shape, slope shape)
CASES = [((2, 3, 4, 2), (3,)), ((2, 3, 4, 2), (1,)), ((4, 3), (3,)), ((4, 3), (1,)), ((1, 1, 2), (1,))]
every_case = pytest.mark.parametrize("x, slope", CASES)


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), min_size=2, max_size=5), shared=st.booleans(), zeros=st.booleans())
def test_equals_pytorch(compare_with_torch, torch, normal, shape, shared, zeros):
    x = normal(shape)
    slope = 2 * normal(1 if shared else shape[1], 3)  # below 0, in [0, 1] and above
    compare_with_torch(ops.prelu, torch.nn.functional.prelu, x.round() if zeros else x, slope)


@pytest.mark.reference
@pytest.mark.parametrize("slopes", ["one", "each"])
@pytest.mark.parametrize("shape", [(3, 2, 37, 61), (2, 1, 290, 250), (5000, 2), (61, 3, 6, 7)])
def test_large_maps_equal_pytorchs(compare_with_torch, torch, normal, shape, slopes):
    slope = 2 * normal(1 if slopes == "one" else shape[1], 3)
    compare_with_torch(ops.prelu, torch.nn.functional.prelu, normal(shape), slope)


@every_case
def test_gradients(check_gradients, normal, x, slope):
    check_gradients(ops.prelu, normal(x), normal(slope, 1))


def test_gradients_at_the_kink(check_gradients):
    check_gradients(ops.prelu, np.zeros((2, 2, 3)), np.array([0.25, -2.0]))


@every_case
def test_manners(check_op_contract, normal, x, slope):
    check_op_contract(ops.prelu, normal(x), normal(slope, 1))


@pytest.mark.cpu
@pytest.mark.parametrize("slopes", [1, 17])
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal, slopes):
    monkeypatch.setattr(row_matrix, "BLOCK_BYTES", 10_000)
    check_threads(ops.prelu, normal((3, 17, 13, 11)), normal(slopes, 1))


def test_by_hand(put):
    x = Tensor(put(np.array([[-2.0, 3.0], [0.0, -4.0]])), requires_grad=True)
    slope = Tensor(put(np.array([0.5, 0.25])), requires_grad=True)
    y = ops.prelu(x, slope)
    assert y.numpy().tolist() == [[-1, 3], [0, -1]]
    y.backward([[10, 20], [30, 40]])
    assert x.grad.tolist() == [[5, 20], [15, 10]]  # at 0 the slope, as PyTorch
    assert slope.grad.tolist() == [-20, -160]


def test_one_slope_for_all(put):
    slope = Tensor(put(np.array([0.5])), requires_grad=True)
    y = ops.prelu(put(np.array([[-2.0, 3.0], [1.0, -4.0]])), slope)
    assert y.numpy().tolist() == [[-1, 3], [1, -2]]
    y.backward([[1, 1], [1, 10]])
    assert slope.grad.tolist() == [-42]


@pytest.mark.parametrize("x, slope", [((2, 3, 4), (2,)), ((2, 3), ()), ((3,), (1,)), ((2, 3), (3, 1))])
def test_shapes_that_dont_fit(put, normal, x, slope):
    with pytest.raises(
        ValueError, match=r"prelu: x of shape .* needs a slope of shape \(1,\) or \(channels,\)"
    ):
        ops.prelu(put(normal(x)), put(normal(slope)))
