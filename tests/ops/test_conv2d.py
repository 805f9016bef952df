import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels import algorithms
from tinyface.kernels.cpu import conv2d, im2col, winograd

WAYS = {"cpu": ["im2col", "winograd4", "winograd6", "shift_and_add"], "cuda": ["im2col", "direct"]}


def pytest_generate_tests(metafunc):
    if "algorithm" in metafunc.fixturenames:
        metafunc.parametrize("algorithm", WAYS[metafunc.config.getoption("--device")])


# (x shape, w shape, stride, padding)
CASES = [
    ((2, 2, 5, 4), (3, 2, 3, 3), 1, 1),
    ((1, 1, 4, 4), (1, 1, 1, 1), 1, 0),
    ((1, 2, 5, 6), (2, 2, 3, 2), 2, 1),
    ((1, 2, 6, 7), (2, 2, 2, 2), 3, 0),
    ((1, 1, 3, 3), (2, 1, 2, 3), 2, 3),
    ((1, 2, 3, 3), (1, 2, 3, 3), 1, 3),
    ((1, 1, 1, 5), (1, 1, 1, 3), 1, 0),
    ((2, 2, 5, 6), (2, 2, 3, 3), 1, 0),
    ((1, 2, 5, 6), (2, 2, 2, 3), 1, 0),
]
every_case = pytest.mark.parametrize("x, w, stride, padding", CASES)


@st.composite
def geometries(draw):
    kh, kw, stride, padding = (draw(st.integers(*limits)) for limits in ((1, 4), (1, 4), (1, 5), (0, 4)))
    n, c, o = (draw(st.integers(1, 3)) for _ in range(3))
    h, w = (draw(st.integers(max(k - 2 * padding, 1), 10)) for k in (kh, kw))
    return (n, c, h, w), (o, c, kh, kw), stride, padding


@pytest.mark.reference
@given(geometry=geometries(), bias=st.booleans())
def test_equals_pytorch(compare_with_torch, torch, normal, algorithm, geometry, bias):
    x, w, stride, padding = geometry
    arrays = normal(x), normal(w, 1), normal(w[0], 2)
    with algorithms.force(algorithm):
        compare_with_torch(
            lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding),
            lambda *xs: torch.nn.functional.conv2d(*xs, stride=stride, padding=padding),
            *arrays[: 3 if bias else 2],
        )


@pytest.mark.reference
@pytest.mark.parametrize("size, padding", [(3, 1), (2, 0), (3, 2), (3, 4)])
def test_shift_and_add_equal_pytorch(compare_with_torch, torch, normal, size, padding):
    compare_with_torch(
        lambda *xs: ops.conv2d(*xs, padding=padding),
        lambda *xs: torch.nn.functional.conv2d(*xs, padding=padding),
        normal((2, 16, 19, 14)),
        normal((7, 16, size, size), 1),
        normal(7, 2),
    )


@pytest.mark.reference
@pytest.mark.parametrize("stride, padding", [(1, 1), (2, 1), (1, 0)])
def test_a_wide_layer_equals_pytorch(compare_with_torch, torch, normal, stride, padding):
    """Several pieces per image at the real PIECE_BYTES."""
    compare_with_torch(
        lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding),
        lambda *xs: torch.nn.functional.conv2d(*xs, stride=stride, padding=padding),
        normal((2, 16, 55, 45)),
        normal((8, 16, 3, 3), 1),
        normal(8, 2),
    )


@every_case
def test_gradients(check_gradients, normal, algorithm, x, w, stride, padding):
    with algorithms.force(algorithm):
        check_gradients(
            lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding),
            normal(x),
            normal(w, 1),
            normal(w[0], 2),
        )


@every_case
@pytest.mark.parametrize("bias", [True, False])
def test_manners(check_op_contract, normal, algorithm, x, w, stride, padding, bias):
    arrays = normal(x), normal(w, 1), normal(w[0], 2)
    with algorithms.force(algorithm):
        check_op_contract(
            lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding), *arrays[: 3 if bias else 2]
        )


@given(geometry=geometries(), channels=st.integers(1, 6))
def test_all_ways_agree(put, normal, device, geometry, channels):
    (n, _, h, w), (o, _, kh, kw), stride, padding = geometry

    def run(algorithm):
        arrays = normal((n, channels, h, w)), normal((o, channels, kh, kw), 1), normal(o, 2)
        inputs = [Tensor(put(a), requires_grad=True) for a in arrays]
        with algorithms.force(algorithm):
            y = ops.conv2d(*inputs, stride=stride, padding=padding)
            y.backward(put(normal(y.shape, 3)))
        return [y.numpy(), *(backend.to_device(t.grad, "cpu") for t in inputs)]

    first, *others = map(run, WAYS[device])
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.cpu
@pytest.mark.parametrize("stride, padding", [(1, 1), (2, 1), (3, 0)])
@pytest.mark.parametrize("channels", [3, 8])
def test_bits_dont_depend_on_threads(
    monkeypatch, check_threads, normal, algorithm, channels, stride, padding
):
    for module in (im2col, winograd):
        monkeypatch.setattr(module, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(im2col, "ROWS", 1)
    with algorithms.force(algorithm):
        check_threads(
            lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding),
            normal((3, channels, 33, 29)),
            normal((16, channels, 3, 3), 1),
            normal(16, 2),
        )


@pytest.mark.parametrize(
    "x, w, stride, padding, expected",
    [
        ((4, 64, 218, 178), (64, 64, 3, 3), 1, 1, "winograd6"),
        (
            (4, 1024, 14, 12),
            (1024, 1024, 3, 3),
            1,
            1,
            "winograd4",
        ),  # six of the larger tiles, two of them half empty
        ((4, 3, 218, 178), (64, 3, 3, 3), 1, 1, "im2col"),  # RGB
        ((1, 1024, 14, 12), (1024, 1024, 3, 3), 1, 1, "im2col"),  # twelve tiles, 38 million numbers in U
        ((4, 64, 218, 178), (7, 64, 3, 3), 1, 1, "shift_and_add"),
        ((4, 64, 218, 178), (64, 64, 3, 3), 2, 1, "im2col"),
        ((4, 64, 218, 178), (64, 64, 1, 1), 1, 0, "im2col"),
        ((4, 64, 218, 178), (64, 64, 5, 5), 1, 2, "im2col"),
    ],
)
def test_choice(x, w, stride, padding, expected):
    assert conv2d.choose(x, w, stride, padding) == expected


def test_by_hand(put):
    """Cross-correlation: the kernel is not turned over, and padding is 0."""
    x = Tensor(put(np.array([[[[1.0, 2.0], [3.0, 4.0]]]])), requires_grad=True)
    w = Tensor(put(np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])), requires_grad=True)
    assert ops.conv2d(x, w, put(np.array([0.5]))).numpy().tolist() == [[[[4321.5]]]]
    y = ops.conv2d(x, w, stride=2, padding=1)
    assert y.numpy().tolist() == [[[[1000, 200], [30, 4]]]]
    y.backward([[[[1, 0], [0, 2]]]])
    assert x.grad.tolist() == [[[[1000, 0], [0, 2]]]]
    assert w.grad.tolist() == [[[[8, 0], [0, 1]]]]


def test_input_beyond_the_last_window_gets_no_gradient(put):
    x = Tensor(put(np.ones((1, 1, 4, 4))), requires_grad=True)
    ops.conv2d(x, put(np.ones((1, 1, 1, 1))), stride=2).backward(np.ones((1, 1, 2, 2)))
    assert x.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((1, 2, 5), (3, 2, 3, 3)), r"conv2d: x and w must have 4 axes, got shapes \(1, 2, 5\) and "),
        (((1, 2, 5, 5), (3, 4, 3, 3)), r"conv2d: x of shape \(1, 2, 5, 5\) has 2 channels, .* expects 4"),
        (((1, 2, 5, 5), (3, 2, 3, 3), (2,)), r"conv2d: bias must have shape \(3,\), got \(2,\)"),
        (
            ((1, 2, 2, 5), (3, 2, 3, 3)),
            r"conv2d: a 3×3 kernel does not fit into \(1, 2, 2, 5\) with padding 0",
        ),
    ],
)
def test_shapes_that_dont_fit(put, normal, shapes, message):
    with pytest.raises(ValueError, match=message):
        ops.conv2d(*(put(normal(shape)) for shape in shapes))


@pytest.mark.parametrize("options", [{"stride": 0}, {"padding": -1}])
def test_options_out_of_range(put, normal, options):
    with pytest.raises(ValueError, match="conv2d: stride must be at least 1 and padding at least 0"):
        ops.conv2d(put(normal((1, 1, 4, 4))), put(normal((1, 1, 3, 3))), **options)


def test_types_that_differ(put, normal):
    with pytest.raises(TypeError, match="conv2d: x is float32 but w is float64"):
        ops.conv2d(put(normal((1, 1, 4, 4)).astype(np.float32)), put(normal((1, 1, 3, 3))))
