import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import blocks

# (N, C, R, H, W)
CASES = [(2, 3, 2, 3, 4), (1, 1, 1, 1, 1), (1, 2, 7, 2, 1), (2, 1, 3, 1, 5)]
every_case = pytest.mark.parametrize("n, c, r, h, w", CASES)


def masks_for(shape, normal):
    return np.abs(normal(shape, 1)) + 0.1


def theirs(x, m):
    m = m / (m.sum((2, 3), keepdim=True) + 1e-12)
    return (m[:, :, None] * x[:, None]).flatten(1, 2)


@pytest.mark.reference
@given(
    n=st.integers(1, 3), c=st.integers(1, 4), r=st.integers(1, 7), h=st.integers(1, 6), w=st.integers(1, 6)
)
def test_equals_pytorch(compare_with_torch, normal, n, c, r, h, w):
    compare_with_torch(
        ops.region_gate, theirs, normal((n, c, h, w)), masks_for((n, r, h, w), normal), scale=1
    )


@pytest.mark.reference
@pytest.mark.parametrize("c, r, h, w", [(33, 9, 5, 7), (37, 7, 15, 20), (70, 17, 3, 3)])
def test_more_than_a_block_takes(compare_with_torch, normal, c, r, h, w):
    """Of channels, regions and pixels; the last of each not full."""
    compare_with_torch(ops.region_gate, theirs, normal((2, c, h, w)), masks_for((2, r, h, w), normal))


@every_case
def test_gradients(check_gradients, normal, n, c, r, h, w):
    check_gradients(ops.region_gate, normal((n, c, h, w)), masks_for((n, r, h, w), normal))


@every_case
def test_manners(check_op_contract, normal, n, c, r, h, w):
    check_op_contract(ops.region_gate, normal((n, c, h, w)), masks_for((n, r, h, w), normal))


@pytest.mark.cpu
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    check_threads(ops.region_gate, normal((5, 8, 13, 11)), masks_for((5, 7, 13, 11), normal))


def test_each_mask_sums_to_one(put, normal):
    y = ops.region_gate(put(np.ones((2, 1, 4, 5))), put(masks_for((2, 7, 4, 5), normal)))
    np.testing.assert_allclose(y.numpy().sum(axis=(2, 3)), 1, rtol=1e-10)


def test_region_major_order(put):
    """All channels of the first region, then all of the second."""
    x = Tensor(put(np.array([[[[1.0, 2.0]], [[10.0, 20.0]]]])), requires_grad=True)
    m = Tensor(put(np.array([[[[1.0, 3.0]], [[5.0, 0.0]]]])), requires_grad=True)
    y = ops.region_gate(x, m)
    np.testing.assert_allclose(y.numpy()[0, :, 0], [[0.25, 1.5], [2.5, 15], [1, 0], [10, 0]], atol=1e-10)
    y.backward(np.array([[4, 4], [0, 0], [0, 0], [0, 1]]).reshape(1, 4, 1, 2))
    np.testing.assert_allclose(x.grad.tolist(), [[[[1, 3]], [[0, 0]]]], atol=1e-10)
    np.testing.assert_allclose(m.grad.tolist(), [[[[-0.75, 0.25]], [[0, 4]]]], atol=1e-10)


def test_an_empty_region_gives_zero(put, normal):
    masks = np.ones((1, 2, 3, 3))
    masks[0, 0] = 0
    x = Tensor(put(normal((1, 4, 3, 3))), requires_grad=True)
    y = ops.region_gate(x, put(masks))
    assert not y.numpy()[0, :4].any()
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad.tolist(), np.full((1, 4, 3, 3), 1 / 9))


@pytest.mark.parametrize(
    "x, masks",
    [
        ((2, 3, 4, 4), (2, 5, 4, 5)),
        ((2, 3, 4, 4), (1, 5, 4, 4)),
        ((2, 3, 4), (2, 5, 4)),
        ((2, 3, 4, 4), (2, 4)),
    ],
)
def test_shapes_that_dont_fit(put, normal, x, masks):
    with pytest.raises(
        ValueError, match=r"region_gate: x \(N, C, H, W\) and masks .* must agree in N, H, W; got"
    ):
        ops.region_gate(put(normal(x)), put(normal(masks)))


@pytest.mark.cpu
@every_case
def test_memory_layout(put, normal, n, c, r, h, w):
    """All maps lie as (H, W, N, C), whether the inputs do or not, and are the same."""
    arrays, results = (normal((n, c, h, w)), masks_for((n, r, h, w), normal)), []
    for layout in (lambda a: a, lambda a: backend.as_nchw(backend.as_hwnc(a))):
        x, m = (Tensor(put(layout(a)), requires_grad=True) for a in arrays)
        y = ops.region_gate(x, m)
        y.backward(normal(y.shape, 2))
        results.append([y.data, x.grad, m.grad])
        assert all(a.transpose(2, 3, 0, 1).flags.c_contiguous for a in results[-1] if a.ndim == 4)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
