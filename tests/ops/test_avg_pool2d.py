import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import blocks

# (x shape, kernel, stride, padding, ceil mode)
CASES = [
    ((2, 2, 4, 4), 2, 2, 0, False),
    ((1, 2, 5, 3), 2, 2, 0, True),
    ((1, 1, 1, 5), 2, 2, 0, True),
    ((1, 2, 5, 4), 3, 1, 1, False),
    ((1, 1, 5, 5), 2, 3, 1, True),
    ((1, 1, 6, 5), 3, 2, 1, True),
    ((2, 3, 5, 7), 2, 2, 0, False),
    ((3, 1, 7, 4), 2, 2, 0, True),
    ((1, 1, 1, 1), 2, 2, 0, True),
    ((1, 2, 3, 3), 1, 1, 0, False),
    ((1, 2, 7, 5), 2, 3, 0, False),
    ((1, 2, 9, 7), 5, 1, 0, False),  # rows beyond the last window's first
    ((1, 1, 11, 8), 7, 2, 3, False),
]
every_case = pytest.mark.parametrize("shape, kernel, stride, padding, ceil_mode", CASES)


@pytest.mark.reference
@given(data=st.data())
def test_equals_pytorch(compare_with_torch, torch, normal, data):
    kernel = data.draw(st.integers(1, 4))
    padding, stride = data.draw(st.integers(0, kernel // 2)), data.draw(st.integers(1, 5))
    shape = tuple(data.draw(st.integers(1, limit)) for limit in (2, 3, 11, 11))
    assume(min(shape[2:]) + 2 * padding >= kernel)
    options = kernel, stride, padding, data.draw(st.booleans())
    compare_with_torch(
        lambda x: ops.avg_pool2d(x, *options),
        lambda x: torch.nn.functional.avg_pool2d(x, *options, count_include_pad=False),
        normal(shape),
    )


@pytest.mark.reference
@pytest.mark.parametrize("options", [(2, 2, 0, True), (3, 2, 1, False), (2, 3, 0, False)])
@pytest.mark.parametrize("shape", [(2, 3, 45, 61), (1, 2, 3, 601), (3, 20, 7, 6)])
def test_large_maps_equal_pytorchs(compare_with_torch, torch, normal, shape, options):
    compare_with_torch(
        lambda x: ops.avg_pool2d(x, *options),
        lambda x: torch.nn.functional.avg_pool2d(x, *options, count_include_pad=False),
        normal(shape),
    )


@every_case
def test_gradients(check_gradients, normal, shape, kernel, stride, padding, ceil_mode):
    check_gradients(lambda x: ops.avg_pool2d(x, kernel, stride, padding, ceil_mode), normal(shape))


@every_case
def test_manners(check_op_contract, normal, shape, kernel, stride, padding, ceil_mode):
    check_op_contract(lambda x: ops.avg_pool2d(x, kernel, stride, padding, ceil_mode), normal(shape))


@pytest.mark.cpu
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal, ceil_mode):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    check_threads(lambda x: ops.avg_pool2d(x, 3, 2, 1, ceil_mode), normal((3, 7, 23, 19)))
    check_threads(lambda x: ops.avg_pool2d(x, 2, 2, 0, ceil_mode), normal((3, 7, 23, 19)))


@pytest.mark.cpu
@every_case
def test_pieces_make_no_difference(monkeypatch, put, normal, shape, kernel, stride, padding, ceil_mode):
    results = []
    for size_of_piece in (blocks.BLOCK_BYTES, 1):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size_of_piece)
        x = Tensor(put(normal(shape)), requires_grad=True)
        y = ops.avg_pool2d(x, kernel, stride, padding, ceil_mode)
        y.backward(normal(y.shape, 1))
        results.append((y.numpy(), x.grad))
    for whole, in_pieces in zip(*results, strict=True):
        np.testing.assert_array_equal(in_pieces, whole)


def test_partial_windows_divide_by_their_real_cells(put):
    x = Tensor(put(np.arange(9.0).reshape(1, 1, 3, 3)), requires_grad=True)
    y = ops.avg_pool2d(x, 2, ceil_mode=True)
    assert y.numpy().tolist() == [[[[2, 3.5], [6.5, 8]]]]
    y.backward([[[[4, 20], [200, 1000]]]])
    assert x.grad.tolist() == [[[[1, 1, 10], [1, 1, 10], [100, 100, 1000]]]]


@pytest.mark.parametrize("padding, ceil_mode", [(1, False), (0, True), (1, True)])
def test_constant_stays_constant(put, padding, ceil_mode):
    y = ops.avg_pool2d(put(np.full((1, 1, 5, 6), 7.0)), 3, 2, padding, ceil_mode)
    np.testing.assert_allclose(y.numpy(), 7, rtol=1e-15)


def test_stride_is_the_kernel_unless_given(put, normal):
    x = put(normal((1, 1, 6, 6)))
    np.testing.assert_array_equal(ops.avg_pool2d(x, 3).numpy(), ops.avg_pool2d(x, 3, 3).numpy())
    assert ops.avg_pool2d(x, 3, 1).shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((2, 4, 4), {"kernel": 2}, r"x must have shape \(N, C, H, W\), got \(2, 4, 4\)"),
        ((1, 1, 4, 2), {"kernel": 3}, r"a window of 3 does not fit into x of shape \(1, 1, 4, 2\)"),
        ((1, 1, 4, 4), {"kernel": 0}, "kernel and stride must be at least 1, got 0 and 0"),
        ((1, 1, 4, 4), {"kernel": 3, "padding": 2}, "padding must be between 0 and half the kernel 3, got 2"),
    ],
)
def test_shapes_and_options_that_dont_fit(put, shape, options, message):
    with pytest.raises(ValueError, match=f"avg_pool2d: {message}"):
        ops.avg_pool2d(put(np.zeros(shape)), **options)


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 4, 3, 3), (3, 1, 2, 5), (1, 1, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Output and gradient lie as (H, W, N, C), whether x does or not, and are the same."""
    x = normal(shape)
    results = []
    for layout in (x, backend.as_nchw(backend.as_hwnc(x))):
        tensor = Tensor(put(layout), requires_grad=True)
        y = ops.avg_pool2d(tensor, 2, ceil_mode=True)
        y.backward(normal(y.shape, 1))
        results.append((y.data, tensor.grad))
        assert all(a.transpose(2, 3, 0, 1).flags.c_contiguous for a in results[-1])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.cpu
def test_a_piece_of_rows_beyond_the_last_window(monkeypatch, put):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3 * 7 * 2 * 8)  # three rows
    x = Tensor(put(np.arange(126.0).reshape(1, 2, 9, 7)), requires_grad=True)
    y = ops.avg_pool2d(x, 5, 1)
    y.sum().backward()
    assert x.grad.sum() == pytest.approx(y.size)
