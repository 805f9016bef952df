import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops

# (x shape, levels)
CASES = [((2, 2, 4, 3), (1, 2)), ((1, 1, 5, 5), (3,)), ((1, 2, 2, 1), (3, 1)), ((2, 1, 1, 1), (1, 2))]
every_case = pytest.mark.parametrize("shape, levels", CASES)


@pytest.mark.reference
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    levels=st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_equals_pytorch(compare_with_torch, torch, normal, shape, levels):
    def theirs(x):
        return torch.cat([torch.nn.functional.adaptive_avg_pool2d(x, l).flatten(1) for l in levels], 1)

    compare_with_torch(lambda x: ops.spatial_pyramid_pool(x, levels), theirs, normal(shape))


@every_case
def test_gradients(check_gradients, normal, shape, levels):
    check_gradients(lambda x: ops.spatial_pyramid_pool(x, levels), normal(shape))


@every_case
def test_manners(check_op_contract, normal, shape, levels):
    check_op_contract(lambda x: ops.spatial_pyramid_pool(x, levels), normal(shape))


def test_coarse_level_first(put):
    """Then, for each level, channel by channel and cell by cell."""
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]])
    y = ops.spatial_pyramid_pool(put(x))
    np.testing.assert_allclose(y.numpy(), [[2.5, 25, 1, 2, 3, 4, 10, 20, 30, 40]])


def test_cells_of_an_odd_length_overlap(put):
    x = Tensor(put(np.array([[[[1.0, 2.0, 6.0]]]])), requires_grad=True)
    y = ops.spatial_pyramid_pool(x, (2,))
    np.testing.assert_allclose(y.numpy(), [[1.5, 4, 1.5, 4]])
    y.backward([[2, 20, 0, 0]])
    np.testing.assert_allclose(x.grad.tolist(), [[[[1, 11, 10]]]])


@pytest.mark.parametrize("levels", [(), (0,), (2, -1)])
def test_levels_out_of_range(put, normal, levels):
    with pytest.raises(ValueError, match="spatial_pyramid_pool: levels must be numbers of at least 1"):
        ops.spatial_pyramid_pool(put(normal((1, 1, 3, 3))), levels)


def test_other_than_four_axes(put, normal):
    with pytest.raises(ValueError, match=r"spatial_pyramid_pool: x must have shape .* got \(3, 4, 5\)"):
        ops.spatial_pyramid_pool(put(normal((3, 4, 5))))


@pytest.mark.cpu
@every_case
def test_memory_layout(put, normal, shape, levels):
    """The gradient lies as (H, W, N, C), and x may."""
    x = Tensor(put(backend.as_nchw(backend.as_hwnc(normal(shape)))), requires_grad=True)
    y = ops.spatial_pyramid_pool(x, levels)
    np.testing.assert_allclose(y.numpy(), ops.spatial_pyramid_pool(put(normal(shape)), levels).numpy())
    y.backward(np.ones(y.shape))
    assert x.grad.transpose(2, 3, 0, 1).flags.c_contiguous
