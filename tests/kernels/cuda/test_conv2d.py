"""The GPU's ways of convolution: cut into blocks in every way, held against the CPU."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels import algorithms
from tinyface.kernels.cuda import conv2d as conv2d_kernels
from tinyface.runtime import cuda

# (x shape, out channels, padding): what is cut, along each axis
CUTS = {
    "pixels": ((2, 2, 45, 37), 3, 1),
    "one row": ((1, 1, 1, 1100), 1, 1),
    "one column": ((1, 2, 1100, 1), 2, 1),
    "images": ((41, 3, 5, 6), 5, 1),
    "tiny images": ((70, 1, 1, 1), 1, 1),
    "channels of x": ((2, 19, 9, 7), 13, 1),
    "16 channels": ((3, 3, 23, 30), 16, 1),
    "32 channels": ((3, 5, 34, 33), 23, 0),
    "many channels": ((2, 70, 9, 10), 131, 2),
    "a large frame": ((2, 2, 4, 5), 2, 5),
    "wide, of many channels": ((1, 64, 3, 51), 64, 1),
}


def run(device, dtype, function, *arrays):
    """Output and gradients on that device, as NumPy arrays."""
    inputs = [Tensor(backend.to_device(a.astype(dtype), device), requires_grad=True) for a in arrays]
    y = function(*inputs)
    upstream = np.random.default_rng(9).standard_normal(y.shape).astype(dtype)
    y.backward(backend.to_device(upstream, device))
    return [y.numpy(), *(backend.to_device(t.grad, "cpu") for t in inputs)]


def check(function, *arrays):
    """Both devices agree, in both precisions."""
    wanted = run("cpu", np.float64, function, *arrays)
    for dtype, tolerance in ((np.float32, 2e-5), (np.float64, 1e-11)):
        results = run("cuda", dtype, function, *arrays)
        for what, got, right in zip(("y", "x", "w", "b"), results, wanted, strict=False):
            close = tolerance * max(abs(right).max(), 1e-3)
            np.testing.assert_allclose(got, right, rtol=0, atol=close, err_msg=f"{what}, {dtype.__name__}")
            assert got.dtype == dtype


@pytest.mark.gpu
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("multiprocessors", [0, 1000])
def test_blocks_of_every_size(monkeypatch, normal, cut, multiprocessors):
    """A GPU that is never full takes small blocks and many shares; one that always is takes large ones, and one."""
    monkeypatch.setattr(conv2d_kernels, "multiprocessors", lambda: multiprocessors)
    (n, c, h, w), o, padding = CUTS[cut]
    arrays = normal((n, c, h, w)), normal((o, c, 3, 3), 1), normal(o, 2)
    check(lambda *xs: ops.conv2d(*xs, padding=padding), *arrays)
    check(lambda x, w: ops.conv_transpose2d(x, w, padding=1), arrays[0], arrays[1].transpose(1, 0, 2, 3))


@pytest.mark.gpu
@pytest.mark.parametrize(
    "kernel, stride, padding",
    [((1, 1), 1, 0), ((3, 2), 2, 1), ((2, 5), 1, 2), ((2, 2), 3, 0), ((1, 1), 2, 1)],
)
@pytest.mark.parametrize("columns", [1, 20_000, 1 << 28])
def test_pieces_of_images(monkeypatch, normal, kernel, stride, padding, columns):
    monkeypatch.setattr(conv2d_kernels, "COLUMNS_BYTES", columns)
    arrays = normal((5, 3, 37, 31)), normal((4, 3, *kernel), 1), normal(4, 2)
    check(lambda *xs: ops.conv2d(*xs, stride=stride, padding=padding), *arrays)
    x, w, b = arrays[0][:, :, :12, :11], arrays[1].transpose(1, 0, 2, 3), arrays[2]
    check(lambda *xs: ops.conv_transpose2d(*xs, stride=stride, padding=padding), x, w, b)


@pytest.mark.gpu
def test_deep_sums(normal):
    """4608 products for a number of y, 2200 for one of ∂L/∂w."""
    check(lambda *xs: ops.conv2d(*xs, padding=1), normal((1, 512, 3, 3)), normal((2, 512, 3, 3), 1))
    check(lambda *xs: ops.conv2d(*xs, padding=1), 1 + normal((1, 1, 55, 40)), normal((1, 1, 3, 3), 1))


@pytest.mark.gpu
def test_the_same_bits_every_time(normal):
    arrays = normal((3, 5, 40, 33)), normal((6, 5, 3, 3), 1), normal(6, 2)

    def bits():
        return [a.tobytes() for a in run("cuda", np.float32, lambda *xs: ops.conv2d(*xs, padding=1), *arrays)]

    assert bits() == bits()


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_no_images(kernel, normal):
    y, dx, dw, db = run(
        "cuda",
        np.float32,
        lambda *xs: ops.conv2d(*xs, padding=kernel // 2),
        np.zeros((0, 2, 7, 6)),
        normal((3, 2, kernel, kernel)),
        normal(3),
    )
    assert y.shape == (0, 3, 7, 6) and dx.shape == (0, 2, 7, 6)
    assert not dw.any() and not db.any()


@given(
    n=st.integers(1, 600),
    c=st.integers(1, 300),
    o=st.integers(1, 300),
    h=st.one_of(st.integers(1, 12), st.integers(1, 2000)),
    w=st.one_of(st.integers(1, 12), st.integers(1, 2000)),
    itemsize=st.sampled_from([4, 8]),
    multiprocessors=st.sampled_from([1, 8, 108]),
)
def test_what_a_block_takes_fits_in(n, c, o, h, w, itemsize, multiprocessors):
    ob, k, ni, th, ts, ck = conv2d_kernels.tiling(n, c, o, h, w, itemsize, multiprocessors)
    assert ni * th * ts <= k * 256 * 8 // ob and 1 <= ck <= c and (k < 4 or itemsize == 4)
    assert ck * conv2d_kernels.channel_bytes(ob, ni, th, ts, itemsize) <= conv2d_kernels.SHARED_BYTES
    og, cg, parts, tw, count = conv2d_kernels.weight_gradient_tiling(n, c, o, h, w, itemsize, multiprocessors)
    assert og * cg * parts <= (512 if itemsize == 4 else 256) and 1 <= tw <= w and count >= 1
    assert conv2d_kernels.weight_gradient_bytes(og, cg, tw, itemsize) <= conv2d_kernels.SHARED_BYTES


def test_choice():
    def choose(w_shape, stride=1, padding=1, dtype=np.float32, forced=None):
        with algorithms.force(forced):
            return conv2d_kernels.choose(w_shape, stride, padding, dtype)

    assert choose((64, 64, 3, 3)) == "direct"
    assert choose((64, 64, 3, 3), forced="im2col") == "im2col"
    assert choose((64, 64, 3, 3), stride=2) == "im2col"
    assert choose((64, 64, 1, 1), forced="direct") == "im2col"
    assert choose((512, 256, 3, 3)) == "winograd" and choose((512, 256, 3, 3), forced="direct") == "direct"
    assert choose((128, 256, 3, 3)) == "direct" and choose((512, 256, 3, 3), padding=3) == "direct"
    cuda._tf32 = True
    try:
        assert choose((64, 64, 3, 3)) == "tf32" and choose((64, 64, 3, 3), dtype=np.float64) == "direct"
        assert choose((64, 3, 3, 3)) == "direct" and choose((64, 64, 3, 3), stride=2) == "im2col"
    finally:
        cuda._tf32 = False
