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
    ((1, 1, 3, 3), 1, 1, 0, False),
    ((2, 3, 5, 7), 2, 2, 0, False),
    ((3, 1, 7, 4), 2, 2, 0, True),
    ((1, 1, 1, 1), 2, 2, 0, True),
    ((1, 2, 7, 5), 2, 3, 0, False),
    ((1, 2, 5, 6), 3, 2, 0, True),
    ((1, 2, 9, 7), 5, 1, 0, False),  # rows beyond the last window's first
    ((1, 1, 11, 8), 7, 2, 3, False),
]
every_case = pytest.mark.parametrize("shape, kernel, stride, padding, ceil_mode", CASES)


@st.composite
def geometries(draw):
    kernel = draw(st.integers(1, 7))
    padding, stride = draw(st.integers(0, kernel // 2)), draw(st.integers(1, 5))
    shape = tuple(draw(st.integers(1, limit)) for limit in (2, 3, 11, 11))
    assume(min(shape[2:]) + 2 * padding >= kernel)
    return shape, kernel, stride, padding, draw(st.booleans())


def distinct(shape):
    """No two elements nearer than 0.1, so that differences don't change a winner."""
    return np.random.default_rng(0).permutation(np.arange(np.prod(shape)) / 10 - 1).reshape(shape)


@pytest.mark.reference
@given(geometry=geometries(), ties=st.booleans())
def test_equals_pytorch(compare_with_torch, torch, normal, geometry, ties):
    shape, *options = geometry
    x = normal(shape)
    compare_with_torch(
        lambda x: ops.max_pool2d(x, *options),
        lambda x: torch.nn.functional.max_pool2d(x, *options[:3], 1, options[3]),
        x.round() if ties else x,
    )


@pytest.mark.reference
@pytest.mark.parametrize("options", [(2, 2, 0, True), (3, 2, 1, False), (2, 3, 0, False)])
@pytest.mark.parametrize("shape", [(2, 3, 45, 61), (1, 2, 3, 601), (3, 20, 7, 6)])
def test_large_maps_equal_pytorchs(compare_with_torch, torch, normal, shape, options):
    compare_with_torch(
        lambda x: ops.max_pool2d(x, *options),
        lambda x: torch.nn.functional.max_pool2d(x, *options[:3], 1, options[3]),
        normal(shape),
    )


@every_case
def test_gradients(check_gradients, shape, kernel, stride, padding, ceil_mode):
    check_gradients(lambda x: ops.max_pool2d(x, kernel, stride, padding, ceil_mode), distinct(shape))


def test_gradients_at_ties(check_gradients):
    check_gradients(lambda x: ops.max_pool2d(x, 2), np.zeros((1, 1, 4, 4)))


@every_case
def test_manners(check_op_contract, shape, kernel, stride, padding, ceil_mode):
    check_op_contract(lambda x: ops.max_pool2d(x, kernel, stride, padding, ceil_mode), distinct(shape))


@pytest.mark.cpu
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal, ceil_mode):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    check_threads(lambda x: ops.max_pool2d(x, 3, 2, 1, ceil_mode), normal((3, 7, 23, 19)).round(1))
    check_threads(lambda x: ops.max_pool2d(x, 2, 2, 0, ceil_mode), normal((3, 7, 23, 19)).round(1))


@pytest.mark.cpu
@every_case
def test_pieces_make_no_difference(monkeypatch, put, normal, shape, kernel, stride, padding, ceil_mode):
    results = []
    for size_of_piece in (blocks.BLOCK_BYTES, 1):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size_of_piece)
        x = Tensor(put(distinct(shape)), requires_grad=True)
        y = ops.max_pool2d(x, kernel, stride, padding, ceil_mode)
        y.backward(normal(y.shape, 1))
        results.append((y.numpy(), x.grad))
    for whole, in_pieces in zip(*results, strict=True):
        np.testing.assert_array_equal(in_pieces, whole)


def test_stride_is_the_kernel_unless_given(put, normal):
    x = put(normal((1, 1, 6, 6)))
    np.testing.assert_array_equal(ops.max_pool2d(x, 3).numpy(), ops.max_pool2d(x, 3, 3).numpy())
    assert ops.max_pool2d(x, 3, 1).shape == (1, 1, 4, 4)


@pytest.mark.parametrize("padding, ceil_mode", [(1, False), (0, True), (1, True)])
def test_padding_never_wins(put, padding, ceil_mode):
    """It is −∞, not 0: of negative numbers the largest comes out, at the edges too."""
    x = Tensor(put(np.full((1, 1, 5, 5), -3.0)), requires_grad=True)
    y = ops.max_pool2d(x, 2, 2, padding, ceil_mode)
    assert y.shape == (1, 1, 3, 3) and (y.numpy() == -3).all()
    y.backward(np.ones(y.shape))
    assert x.grad.sum() == 9


def test_ties_go_to_the_first_in_reading_order(put):
    x = Tensor(put(np.array([[[[1.0, 5.0, 5.0], [5.0, 5.0, 0.0], [2.0, 2.0, 2.0]]]])), requires_grad=True)
    ops.max_pool2d(x, 3).backward([[[[7]]]])
    assert x.grad[0, 0].tolist() == [[0, 7, 0], [0, 0, 0], [0, 0, 0]]


def test_ties_in_a_padded_window_go_to_the_first_real_cell(put):
    x = Tensor(put(np.zeros((1, 1, 2, 2))), requires_grad=True)
    ops.max_pool2d(x, 2, 2, 1).backward([[[[1, 2], [3, 4]]]])
    assert x.grad[0, 0].tolist() == [[1, 2], [3, 4]]


def test_overlapping_windows_add_up(put):
    x = Tensor(put(np.array([[[[0.0, 9.0, 1.0]] * 1]])), requires_grad=True)
    y = ops.max_pool2d(x, 2, 1, 1)
    assert y.numpy().tolist() == [[[[0, 9, 9, 1], [0, 9, 9, 1]]]]
    y.backward([[[[1, 10, 100, 1000], [1, 10, 100, 1000]]]])
    assert x.grad.tolist() == [[[[2, 220, 2000]]]]


def test_a_window_of_minus_infinity_alone(put):
    x = Tensor(put(np.full((1, 1, 2, 2), -np.inf)), requires_grad=True)
    y = ops.max_pool2d(x, 2)
    y.backward([[[[3]]]])
    assert y.numpy().tolist() == [[[[-np.inf]]]] and x.grad.tolist() == [[[[3, 0], [0, 0]]]]


def test_nan_shows(put):
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 1] = x[0, 0, 2, 0] = np.nan
    y = ops.max_pool2d(put(x), 2).numpy()
    assert np.isnan(y[0, 0]).tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(
    "length, kernel, stride, padding, ceil_mode, expected",
    [
        (109, 2, 2, 0, True, 55),
        (55, 2, 2, 0, True, 28),
        (45, 2, 2, 0, True, 23),
        (55, 2, 2, 0, False, 27),
        (5, 2, 2, 1, True, 3),  # a fourth window would begin in the padding
        (4, 2, 3, 0, True, 2),
        (3, 2, 3, 0, True, 1),  # a second window would begin beyond the image
        (1, 2, 2, 0, True, 1),
    ],
)
def test_number_of_windows(put, length, kernel, stride, padding, ceil_mode, expected):
    x = put(np.zeros((1, 1, length, length)))
    assert ops.max_pool2d(x, kernel, stride, padding, ceil_mode).shape == (1, 1, expected, expected)


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((2, 4, 4), {"kernel": 2}, r"x must have shape \(N, C, H, W\), got \(2, 4, 4\)"),
        ((1, 1, 4, 2), {"kernel": 3}, r"a window of 3 does not fit into x of shape \(1, 1, 4, 2\)"),
        ((1, 1, 4, 4), {"kernel": 0}, "kernel and stride must be at least 1, got 0 and 0"),
        ((1, 1, 4, 4), {"kernel": 2, "stride": 0}, "kernel and stride must be at least 1, got 2 and 0"),
        ((1, 1, 4, 4), {"kernel": 3, "padding": 2}, "padding must be between 0 and half the kernel 3, got 2"),
        (
            (1, 1, 4, 4),
            {"kernel": 3, "padding": -1},
            "padding must be between 0 and half the kernel 3, got -1",
        ),
    ],
)
def test_shapes_and_options_that_dont_fit(put, shape, options, message):
    with pytest.raises(ValueError, match=f"max_pool2d: {message}"):
        ops.max_pool2d(put(np.zeros(shape)), **options)


def test_the_largest_kernel(put):
    """Its last cell, number 224, still fits the byte."""
    x = np.zeros((1, 1, 15, 15))
    x[0, 0, 14, 14] = 1
    x = Tensor(put(x), requires_grad=True)
    ops.max_pool2d(x, 15).backward([[[[3]]]])
    assert x.grad[0, 0, 14, 14] == 3 and x.grad.sum() == 3


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 4, 3, 3), (3, 1, 2, 5), (1, 1, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Output and gradient lie as (H, W, N, C), whether x does or not, and are the same."""
    x = normal(shape)
    results = []
    for layout in (x, backend.as_nchw(backend.as_hwnc(x))):
        tensor = Tensor(put(layout), requires_grad=True)
        y = ops.max_pool2d(tensor, 2, ceil_mode=True)
        y.backward(normal(y.shape, 1))
        results.append((y.data, tensor.grad))
        assert all(a.transpose(2, 3, 0, 1).flags.c_contiguous for a in results[-1])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_gradient_that_is_not_finite_reaches_the_winner_alone(put):
    x = Tensor(put(np.array([[[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]]])), requires_grad=True)
    ops.max_pool2d(x, 2).backward([[[[np.inf, np.nan]]]])
    grad = backend.to_device(x.grad, "cpu")
    np.testing.assert_array_equal(grad, [[[[0, np.inf, 0, np.nan], [0, 0, 0, 0]]]])


@pytest.mark.cpu
def test_numpys_buffer_is_as_before(put, normal, threads):
    threads(1)
    before = np.setbufsize(4096)
    ops.max_pool2d(put(normal((1, 1, 4, 4))), 2)
    assert np.setbufsize(before) == 4096


@pytest.mark.parametrize("shape", [(1, 1, 5, 4), (1, 1, 4, 5)])
def test_cells_without_a_window_get_no_gradient(put, normal, shape):
    x = Tensor(put(normal(shape)), requires_grad=True)
    y = ops.max_pool2d(x, 2)
    np.full(shape, np.nan)  # what new memory may hold
    y.backward(np.ones(y.shape))
    assert x.grad[0, 0, :4, :4].sum() == 4 == x.grad.sum()


@pytest.mark.cpu
def test_a_piece_of_rows_beyond_the_last_window(monkeypatch, put):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3 * 7 * 2 * 8)  # three rows
    x = Tensor(put(np.arange(126.0).reshape(1, 2, 9, 7)), requires_grad=True)
    y = ops.max_pool2d(x, 5, 1)
    y.sum().backward()
    assert x.grad.sum() == pytest.approx(y.size)
