import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinyface import Tensor, ops
from tinyface.kernels.cpu import im2col, winograd

# (x shape, w shape, stride, padding, output padding)
CASES = [
    ((2, 2, 4, 3), (2, 3, 3, 3), 1, 1, 0),
    ((1, 1, 3, 3), (1, 1, 1, 1), 1, 0, 0),
    ((1, 2, 3, 2), (2, 2, 3, 2), 2, 1, 1),
    ((1, 2, 2, 3), (2, 1, 2, 2), 3, 0, 2),
    ((1, 1, 4, 4), (1, 2, 2, 3), 2, 2, 1),
    ((1, 1, 5, 4), (1, 1, 1, 2), 1, 1, 0),
    ((2, 2, 3, 4), (2, 2, 3, 3), 1, 2, 0),
    ((1, 2, 3, 4), (2, 2, 2, 3), 1, 0, 0),
]
every_case = pytest.mark.parametrize("x, w, stride, padding, output_padding", CASES)


@st.composite
def geometries(draw):
    kh, kw, stride, padding = (draw(st.integers(*limits)) for limits in ((1, 4), (1, 4), (1, 4), (0, 4)))
    output_padding = draw(st.integers(0, stride - 1))
    n, c, o = (draw(st.integers(1, 3)) for _ in range(3))
    h, w = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    for length, kernel in ((h, kh), (w, kw)):
        assume((length - 1) * stride - 2 * padding + kernel + output_padding >= 1)
    return (n, c, h, w), (c, o, kh, kw), stride, padding, output_padding


def both(torch, *options):
    def ours(x, w, b=None):
        return ops.conv_transpose2d(x, w, b, *options)

    def theirs(x, w, b=None):
        return torch.nn.functional.conv_transpose2d(x, w, b, *options)

    return ours, theirs


@pytest.mark.reference
@given(geometry=geometries(), bias=st.booleans())
def test_equals_pytorch(compare_with_torch, torch, normal, geometry, bias):
    x, w, *options = geometry
    arrays = normal(x), normal(w, 1), normal(w[1], 2)
    compare_with_torch(*both(torch, *options), *arrays[: 3 if bias else 2])


@every_case
def test_gradients(check_gradients, normal, x, w, stride, padding, output_padding):
    check_gradients(
        lambda *xs: ops.conv_transpose2d(*xs, stride, padding, output_padding),
        normal(x),
        normal(w, 1),
        normal(w[1], 2),
    )


@every_case
def test_manners(check_op_contract, normal, x, w, stride, padding, output_padding):
    options = {"stride": stride, "padding": padding, "output_padding": output_padding}
    arrays = normal(x), normal(w, 1), normal(w[1], 2)
    check_op_contract(lambda *xs: ops.conv_transpose2d(*xs, **options), *arrays)
    check_op_contract(lambda *xs: ops.conv_transpose2d(*xs, **options), *arrays[:2])


@given(geometry=geometries())
def test_is_the_transpose_of_conv2d(put, normal, geometry):
    """⟨conv_transpose2d(x, w), z⟩ = ⟨x, conv2d(z, w)⟩ for every z."""
    x, w, stride, padding, output_padding = geometry
    x, w = put(normal(x)), put(normal(w, 1))
    y = ops.conv_transpose2d(x, w, stride=stride, padding=padding, output_padding=output_padding)
    z = put(normal(y.shape, 2))
    back = ops.conv2d(z, w, stride=stride, padding=padding)
    one, other = ((a * b).sum().item() for a, b in ((y.data, z), (x, back.data)))
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def small_pieces(monkeypatch, limit):
    for module in (im2col, winograd):
        monkeypatch.setattr(module, "BLOCK_BYTES", limit)
    monkeypatch.setattr(im2col, "ROWS", 1)
    monkeypatch.setattr(winograd, "ROWS", (1, 512))


@pytest.mark.cpu
@pytest.mark.parametrize("stride, padding, output_padding", [(1, 1, 0), (2, 1, 1), (3, 0, 0)])
def test_pieces_make_no_difference(monkeypatch, put, normal, stride, padding, output_padding):
    def run(limit):
        small_pieces(monkeypatch, limit)
        arrays = normal((2, 3, 7, 6)), normal((3, 4, 3, 3), 1), normal(4, 2)
        inputs = [Tensor(put(a), requires_grad=True) for a in arrays]
        y = ops.conv_transpose2d(*inputs, stride, padding, output_padding)
        y.backward(put(normal(y.shape, 3)))
        return [y.numpy(), *(t.grad for t in inputs)]

    for cut, whole in zip(run(1000), run(1 << 30), strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-11, atol=1e-11)


@pytest.mark.cpu
@pytest.mark.parametrize("stride, padding, output_padding", [(1, 1, 0), (2, 1, 1)])
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal, stride, padding, output_padding):
    small_pieces(monkeypatch, 20_000)
    check_threads(
        lambda *xs: ops.conv_transpose2d(*xs, stride, padding, output_padding),
        normal((3, 8, 17, 15)),
        normal((8, 12, 3, 3), 1),
        normal(12, 2),
    )


def test_by_hand(put):
    """Each pixel stamps the kernel, stride apart; stamps that overlap add up; padding is cut off."""
    x = Tensor(put(np.array([[[[1.0, 2.0]]]])), requires_grad=True)
    w = Tensor(put(np.array([[[[1.0, 10.0, 100.0]]]])), requires_grad=True)
    y = ops.conv_transpose2d(x, w, put(np.array([0.5])), stride=2)
    assert y.numpy().tolist() == [[[[1.5, 10.5, 102.5, 20.5, 200.5]]]]
    y = ops.conv_transpose2d(x, w)
    assert y.numpy().tolist() == [[[[1, 12, 120, 200]]]]
    y.backward([[[[1, 2, 3, 4]]]])
    assert x.grad.tolist() == [[[[321, 432]]]]
    assert w.grad.tolist() == [[[[5, 8, 11]]]]


def test_output_padding_adds_rows_that_only_the_bias_reaches(put):
    ones = put(np.ones((1, 1, 1, 1)))
    y = ops.conv_transpose2d(ones, ones, put(np.array([7.0])), stride=2, output_padding=1)
    assert y.numpy().tolist() == [[[[8, 7], [7, 7]]]]


@pytest.mark.parametrize(
    "shapes, options, message",
    [
        (((1, 2, 5), (2, 3, 3, 3)), {}, r"must have 4 axes, got shapes \(1, 2, 5\) and"),
        (((1, 2, 5, 5), (4, 2, 3, 3)), {}, r"x of shape \(1, 2, 5, 5\) has 2 channels, .* expects 4"),
        (((1, 2, 5, 5), (2, 3, 3, 3), (2,)), {}, r"bias must have shape \(3,\), got \(2,\)"),
        (
            ((1, 2, 1, 5), (2, 3, 3, 3)),
            {"padding": 2},
            r"padding 2 leaves nothing of x of shape \(1, 2, 1, 5\)",
        ),
        (
            ((1, 1, 3, 3), (1, 1, 3, 3)),
            {"stride": 2, "output_padding": 2},
            "output_padding 2 must .* stride 2",
        ),
        (((1, 1, 3, 3), (1, 1, 3, 3)), {"output_padding": 1}, "output_padding 1 must .* stride 1"),
        (((1, 1, 3, 3), (1, 1, 3, 3)), {"output_padding": -1}, "output_padding -1 must"),
        (((1, 1, 3, 3), (1, 1, 3, 3)), {"stride": 0}, "stride must be at least 1"),
        (((1, 1, 3, 3), (1, 1, 3, 3)), {"padding": -1}, "padding at least 0"),
    ],
)
def test_shapes_and_options_that_dont_fit(put, normal, shapes, options, message):
    with pytest.raises(ValueError, match=f"conv_transpose2d: .*{message}"):
        ops.conv_transpose2d(*(put(normal(shape)) for shape in shapes), **options)


def test_types_that_differ(put, normal):
    with pytest.raises(TypeError, match="conv_transpose2d: x is float64 but w is float32"):
        ops.conv_transpose2d(put(normal((1, 1, 4, 4))), put(normal((1, 1, 3, 3)).astype(np.float32)))
