import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.ops.locally_shared_conv2d import grid_cells


def cell_by_cell(torch):
    """The whole map with each cell's filters, and of each the cell."""

    def reference(x, w, b, dilation):
        def full(r, s):
            return torch.nn.functional.conv2d(x, w[r, s], b[r, s], dilation=dilation)

        height, width = full(0, 0).shape[2:]
        rows = {}
        for r, s, i, j in grid_cells(w.shape[:2], height, width):
            rows.setdefault(r, []).append(full(r, s)[:, :, i, j])
        return torch.cat([torch.cat(row, dim=3) for row in rows.values()], dim=2)

    return reference


@pytest.mark.reference
@pytest.mark.parametrize(("grid", "kernel", "dilation"), [((3, 3), 3, 1), ((2, 2), 2, 3), ((1, 4), 1, 1)])
def test_equals_pytorch(compare_with_torch, torch, normal, grid, kernel, dilation):
    x, w = normal((3, 4, 9, 11)), normal((*grid, 5, 4, kernel, kernel), seed=1)
    compare_with_torch(
        lambda x, w, b: ops.locally_shared_conv2d(x, w, b, dilation),
        lambda x, w, b: cell_by_cell(torch)(x, w, b, dilation),
        *(x, w, normal((*grid, 5), seed=2)),
    )


def test_gradients(check_gradients, normal):
    arrays = normal((2, 2, 5, 6)), normal((2, 2, 3, 2, 2, 2)), normal((2, 2, 3))
    check_gradients(lambda x, w, b: ops.locally_shared_conv2d(x, w, b, dilation=2), *arrays)
    check_gradients(ops.locally_shared_conv2d, *arrays[:2])


def test_manners(check_op_contract, normal):
    arrays = normal((2, 2, 5, 6)), normal((2, 2, 3, 2, 2, 2)), normal((2, 2, 3))
    check_op_contract(ops.locally_shared_conv2d, *arrays)


@given(
    n=st.integers(1, 3), size=st.tuples(st.integers(4, 9), st.integers(4, 9)), grid=st.tuples(*[st.integers(1, 3)] * 2),
    kernel=st.integers(1, 2), dilation=st.integers(1, 2),
)  # fmt: skip
def test_with_equal_filters_it_is_a_convolution(put, normal, n, size, grid, kernel, dilation):
    x, w, b = normal((n, 2, *size)), normal((3, 2, kernel, kernel), 1), normal(3, 2)
    reach = (kernel - 1) * dilation
    height, width = size[0] - reach, size[1] - reach
    if height < grid[0] or width < grid[1]:
        return
    spread = np.zeros((3, 2, reach + 1, reach + 1))  # the same filter with its holes
    spread[:, :, ::dilation, ::dilation] = w
    ws, bs = np.broadcast_to(w, (*grid, *w.shape)).copy(), np.broadcast_to(b, (*grid, 3)).copy()
    y = ops.locally_shared_conv2d(put(x), put(ws), put(bs), dilation)
    np.testing.assert_allclose(y.numpy(), ops.conv2d(put(x), put(spread), put(b)).numpy(), atol=1e-10)


def test_a_cell_has_its_own_filters(put, normal):
    x, w = normal((1, 2, 6, 6)), np.zeros((2, 2, 3, 2, 1, 1))
    w[1, 0] = 1
    y = ops.locally_shared_conv2d(put(x), put(w)).numpy()
    np.testing.assert_allclose(
        y[:, :, 3:, :3], np.repeat(x.sum(axis=1, keepdims=True), 3, axis=1)[:, :, 3:, :3]
    )
    y[:, :, 3:, :3] = 0
    assert not y.any()


def test_cells_are_as_equal_as_can_be():
    cells = [(rows, cols) for *_, rows, cols in grid_cells((3, 1), 5, 4)]
    assert cells == [(slice(0, 1), slice(0, 4)), (slice(1, 3), slice(0, 4)), (slice(3, 5), slice(0, 4))]


def test_gradients_are_where_the_inputs_are(put, device, normal):
    x = Tensor(put(normal((1, 2, 4, 4))), requires_grad=True)
    ops.locally_shared_conv2d(x, put(normal((2, 2, 3, 2, 1, 1)))).sum().backward()
    assert backend.device_of(x.grad) == device


def test_refuses_what_does_not_fit(put):
    x = put(np.zeros((1, 2, 4, 4)))
    for w, b, d in (
        (np.zeros((2, 2, 3, 3, 1, 1)), None, 1),
        (np.zeros((3, 2, 1, 1)), None, 1),
        (np.zeros((2, 2, 3, 2, 1, 1)), np.zeros(3), 1),
        (np.zeros((4, 1, 3, 2, 2, 2)), None, 1),
        (np.zeros((1, 1, 3, 2, 3, 3)), None, 2),
    ):
        with pytest.raises(ValueError, match="locally_shared_conv2d"):
            ops.locally_shared_conv2d(x, put(w), b if b is None else put(b), d)
    with pytest.raises(ValueError, match="dilation"):
        ops.locally_shared_conv2d(x, put(np.zeros((1, 1, 3, 2, 1, 1))), dilation=0)
