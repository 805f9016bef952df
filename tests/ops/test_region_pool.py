import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, ops

# (N, C, R, H, W)
CASES = [(2, 3, 2, 3, 4), (1, 1, 1, 1, 1), (1, 2, 7, 2, 1), (2, 1, 3, 1, 5)]
every_case = pytest.mark.parametrize("n, c, r, h, w", CASES)


def masks_for(shape, normal):
    return np.abs(normal(shape, 1)) + 0.1


def in_torch(torch):
    return lambda x, m: torch.einsum("nrhw,nchw->nrc", m, x) / (m.sum((2, 3))[:, :, None] + 1e-12)


@pytest.mark.reference
@given(
    n=st.integers(1, 3), c=st.integers(1, 4), r=st.integers(1, 7), h=st.integers(1, 6), w=st.integers(1, 6)
)
def test_equals_pytorch(compare_with_torch, torch, normal, n, c, r, h, w):
    compare_with_torch(
        ops.region_pool, in_torch(torch), normal((n, c, h, w)), masks_for((n, r, h, w), normal), scale=1
    )


@pytest.mark.reference
@pytest.mark.parametrize("c, r, h, w", [(33, 9, 5, 7), (37, 7, 15, 20), (70, 17, 3, 3)])
def test_more_than_a_block_takes(compare_with_torch, torch, normal, c, r, h, w):
    """Of channels, regions and pixels; the last of each not full."""
    compare_with_torch(
        ops.region_pool, in_torch(torch), normal((2, c, h, w)), masks_for((2, r, h, w), normal), scale=1
    )


@every_case
def test_gradients(check_gradients, normal, n, c, r, h, w):
    check_gradients(ops.region_pool, normal((n, c, h, w)), masks_for((n, r, h, w), normal))


@every_case
def test_manners(check_op_contract, normal, n, c, r, h, w):
    check_op_contract(ops.region_pool, normal((n, c, h, w)), masks_for((n, r, h, w), normal))


def test_by_hand(put):
    x = Tensor(put(np.array([[[[1.0, 2.0, 9.0]], [[10.0, 20.0, 90.0]]]])), requires_grad=True)
    m = Tensor(put(np.array([[[[1.0, 3.0, 0.0]], [[0.0, 0.0, 0.5]]]])), requires_grad=True)
    y = ops.region_pool(x, m)
    np.testing.assert_allclose(y.numpy(), [[[1.75, 17.5], [9, 90]]])
    y.backward([[[4, 0], [0, 1]]])
    np.testing.assert_allclose(x.grad.tolist(), [[[[1, 3, 0]], [[0, 0, 1]]]], atol=1e-10)
    np.testing.assert_allclose(m.grad.tolist(), [[[[-0.75, 0.25, 7.25]], [[-160, -140, 0]]]], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_empty_region_gives_zero(put, normal, dtype):
    masks = np.ones((1, 2, 3, 3), dtype)
    masks[0, 1] = 0
    x = Tensor(put(normal((1, 4, 3, 3)).astype(dtype)), requires_grad=True)
    y = ops.region_pool(x, put(masks))
    assert not y.numpy()[0, 1].any()
    y.backward(np.ones((1, 2, 4)))
    np.testing.assert_allclose(x.grad.tolist(), np.full((1, 4, 3, 3), 1 / 9), rtol=1e-6)


def test_maps_without_pixels(put):
    y = ops.region_pool(put(np.ones((2, 3, 1, 0))), put(np.ones((2, 2, 1, 0))))
    np.testing.assert_array_equal(y.numpy(), np.zeros((2, 2, 3)))


def test_scale_of_a_mask_does_not_matter(put, normal):
    x, masks = put(normal((2, 3, 4, 4))), masks_for((2, 2, 4, 4), normal)
    a, b = ops.region_pool(x, put(masks)), ops.region_pool(x, put(100 * masks))
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)


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
        ValueError, match=r"region_pool: x \(N, C, H, W\) and masks .* must agree in N, H, W; got"
    ):
        ops.region_pool(put(normal(x)), put(normal(masks)))
