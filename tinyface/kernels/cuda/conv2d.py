"""Convolutions on a GPU: which algorithm computes which shape, and the launches of its kernels.

    conv2d.cu      3×3 at stride 1, directly: nothing is written but the result
    winograd.py    3×3 at stride 1 with many channels: a quarter of the multiplications, transforms in memory
    tf32.py        stride 1 on tensor cores, where `--tf32` allows their rounding
    im2col.cu      any kernel and stride: im2col, then cuBLAS multiplies matrices; a 1×1 kernel needs no im2col

Arrays lie as (N, C, H, W), kernels as (O, C, kh, kw), both C-contiguous. With K = C·kh·kw and P pixels of y, im2col's
products are, for each image,

    y (O × P) = w (O × K) @ columns (K × P),   ∂L/∂columns = wᵀ @ g (O × P),   ∂L/∂w = Σ over images of g @ columnsᵀ
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...ops.conv2d import Conv2d, convolved_size
from ...ops.conv_transpose2d import ConvTranspose2d
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register
from ...runtime.threads import slices
from .. import algorithms
from . import tf32, winograd
from .matmul import multiply

DIRECT, IM2COL = (Path(__file__).with_name(name) for name in ("conv2d.cu", "im2col.cu"))
COLUMNS_BYTES = 256 << 20  # of im2col at a time: as many images as fit, but one at least
PIXELS = 1024  # of a segment, as in both .cu files
SHARED_BYTES = 48 << 10  # of shared memory that every block may have, on every GPU
TAPS = 9
WINOGRAD_CHANNELS = 256  # of x and of y, at least
TENSOR_CHANNELS = 16  # of x and of y, at least


@register(Conv2d, "cuda")
class Conv2dCuda(Conv2d):
    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        return convolve(x, w, b, self.stride, self.padding)

    def backward(self, g):
        needs_x, needs_w, *needs_b = self.needs_grad
        dx = input_gradient(g, self.w, None, self.x.shape, self.stride, self.padding) if needs_x else None
        dw = weight_gradient(self.x, g, self.w.shape, self.stride, self.padding) if needs_w else None
        return dx, dw, *[bias_gradient(g) if needed else None for needed in needs_b]


@register(ConvTranspose2d, "cuda")
class ConvTranspose2dCuda(ConvTranspose2d):
    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        return input_gradient(x, w, b, self.y_shape, self.stride, self.padding)

    def backward(self, g):
        needs_x, needs_w, *needs_b = self.needs_grad
        dx = convolve(g, self.w, None, self.stride, self.padding) if needs_x else None
        dw = weight_gradient(g, self.x, self.w.shape, self.stride, self.padding) if needs_w else None
        return dx, dw, *[bias_gradient(g) if needed else None for needed in needs_b]


def choose(w_shape, stride, padding, dtype):
    """ "tf32", "winograd", "direct" or "im2col", for kernels w (O, C, kh, kw).

    tf32: stride 1, float32, from TENSOR_CHANNELS channels on, once `backend.set_tf32(True)` was called.
    winograd: 3×3 at stride 1 from WINOGRAD_CHANNELS channels on: transformed maps go to memory and back, 2.25 times
        as large as the maps, so only many channels make the saved multiplications worth it.
    direct: 3×3 at stride 1 otherwise: it reads x about once and writes y once, where im2col's matrix is nine times as
        large as x and goes to memory and back.
    im2col: every other kernel and stride. 1×1 at stride 1 without padding is a product of matrices as they lie.

    The two bounds are estimates: they await measurement on a GPU (benchmarks/gpu.py).
    """
    few, forced = min(w_shape[:2]), algorithms.forced
    if forced is None and few >= TENSOR_CHANNELS and tf32.fits(dtype, stride) and padding < min(w_shape[2:]):
        return "tf32"
    if w_shape[2:] != (3, 3) or stride != 1:
        return "im2col"
    if padding <= 2 and (forced == "winograd" or (forced is None and few >= WINOGRAD_CHANNELS)):
        return "winograd"
    return "im2col" if forced == "im2col" else "direct"


# ---------------------------------------------------------------- the products, on arrays


def convolve(x, w, b, stride, padding):
    """y (N, O, H', W') = x ∗ w + b, with b (O,) or None."""
    out = convolved_size("conv2d", x, w, stride, padding)
    algorithm = choose(w.shape, stride, padding, x.dtype)
    if algorithm == "direct":
        return direct(x, w, b, padding, (len(x), len(w), *out))
    if algorithm != "im2col":
        return (tf32 if algorithm == "tf32" else winograd).convolve(x, w, padding, b)
    xp = cupy()
    y = xp.empty((len(x), len(w), *out), x.dtype)
    matrix, flat = w.reshape(len(w), w[0].size), planes(y)
    for images in image_blocks(x, w.shape, out, stride, padding):
        multiply(matrix, im2col(x[images], w.shape, out, stride, padding), flat[images])
    if b is not None:
        y += b[:, None, None]
    return y


def input_gradient(g, w, b, x_shape, stride, padding):
    """∂L/∂x, x_shape, plus b (C,) if there is one: then it is a transposed convolution.

    At stride 1 it is itself a convolution, of g with the kernels flipped and C, O exchanged.
    """
    algorithm = choose(w.shape, stride, padding, g.dtype)
    if algorithm == "direct":
        return direct(g, w, b, 2 - padding, x_shape, flipped=True)
    if algorithm != "im2col":
        dx = (tf32 if algorithm == "tf32" else winograd).input_gradient(g, w, padding)
        if b is not None:
            dx += b[:, None, None]
        return dx
    xp = cupy()
    dx = xp.empty(x_shape, g.dtype)
    matrix, flat, out = w.reshape(len(w), w[0].size), planes(g), g.shape[2:]
    for images in image_blocks(dx, w.shape, out, stride, padding):
        some = dx[images]
        if needs_no_columns(w.shape, stride, padding):
            multiply(matrix, flat[images], planes(some), a_transposed=True)
            continue
        columns = xp.empty((len(some), matrix.shape[1], flat.shape[2]), g.dtype)
        multiply(matrix, flat[images], columns, a_transposed=True)
        launch_planes("col2im", columns, some, x_shape[2:], w.shape, stride, padding, out)
    if b is not None:
        dx += b[:, None, None]
    return dx


def weight_gradient(x, g, w_shape, stride, padding):
    """∂L/∂w, of w_shape (O, C, kh, kw)."""
    algorithm = choose(w_shape, stride, padding, x.dtype)
    if algorithm == "direct":
        return direct_weight_gradient(x, g, w_shape, padding)
    if algorithm == "winograd":
        return winograd.weight_gradient(x, g, padding)
    if algorithm == "tf32":
        return tf32.weight_gradient(x, g, w_shape[2:], padding)
    xp = cupy()
    out, flat = g.shape[2:], planes(g)
    of_images = xp.empty((len(x), w_shape[0], w_shape[1] * w_shape[2] * w_shape[3]), x.dtype)
    for images in image_blocks(x, w_shape, out, stride, padding):
        columns = im2col(x[images], w_shape, out, stride, padding)
        multiply(flat[images], columns, of_images[images], b_transposed=True)
    return add_parts(of_images, w_shape)


def bias_gradient(g):
    """∂L/∂b[o] = Σ_{n,i,j} g[n,o,i,j], in float64."""
    xp = cupy()
    n, o, h, w = g.shape
    kernels = load_kernels(DIRECT, g.dtype)
    segments = -(-h * w // PIXELS)
    count = max(min(-(-4 * multiprocessors() // max(o, 1)), n * segments), 1)
    parts, db = xp.empty((count, o), np.float64), xp.empty(o, g.dtype)
    sizes = np.int32(n), np.int32(o), np.int64(h * w), np.int32(segments)
    kernels.get_function("bias_parts")((count, o), (256,), (g, parts, *sizes))
    launch(kernels.get_function("add_bias_parts"), o, parts, db, np.int32(o), np.int32(count))
    return db


# ---------------------------------------------------------------- im2col


def im2col(x, w_shape, out, stride, padding):
    """x (N, C, H, W) → (N, C·kh·kw, H'·W'); x itself where they are the same numbers."""
    if needs_no_columns(w_shape, stride, padding):
        return planes(x)
    columns = cupy().empty((len(x), x.shape[1] * w_shape[2] * w_shape[3], out[0] * out[1]), x.dtype)
    launch_planes("im2col", x, columns, x.shape[2:], w_shape, stride, padding, out)
    return columns


def planes(x):
    """x (N, C, H, W) as (N, C, H·W)."""
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def launch_planes(name, source, result, size, w_shape, stride, padding, out):
    """Run a kernel of im2col.cu; result: (N, rows, pixels …), one plane of pixels for each row."""
    rows, pixels = result.shape[0] * result.shape[1], math.prod(result.shape[2:])
    segments = -(-pixels // PIXELS)
    geometry = (*size, *w_shape[2:], stride, padding, *out, segments)
    kernel = load_kernels(IM2COL, result.dtype).get_function(name)
    block = min(-(-max(pixels, 1) // 32) * 32, 256)
    launch(kernel, rows * segments * block, source, result, *map(np.int32, geometry), block=block)


def needs_no_columns(w_shape, stride, padding):
    return w_shape[2] == w_shape[3] == stride == 1 and padding == 0


def image_blocks(x, w_shape, out, stride, padding):
    """Slices of the images, so many that their columns take COLUMNS_BYTES; all of them where there are no columns."""
    of_an_image = w_shape[1] * w_shape[2] * w_shape[3] * out[0] * out[1] * x.itemsize
    some = len(x) if needs_no_columns(w_shape, stride, padding) else COLUMNS_BYTES // max(of_an_image, 1)
    return slices(len(x), max(some, 1))


# ---------------------------------------------------------------- 3×3 at stride 1


def direct(x, w, b, padding, y_shape, flipped=False):
    """y of y_shape, the convolution of x with w, or with w flipped and its first two axes exchanged."""
    xp = cupy()
    y = xp.empty(y_shape, x.dtype)
    (n, c, h, width), (_, o, out_h, out_w) = x.shape, y_shape
    ob, k, ni, th, ts, ck = tiling(n, c, o, out_h, out_w, x.itemsize, multiprocessors())
    tiles_y, tiles_x = -(-out_h // th), -(-out_w // (4 * ts))
    numbers = n, c, h, width, o, out_h, out_w, padding, flipped, ni, th, ts, tiles_y, tiles_x, ck
    kernel = load_kernels(DIRECT, x.dtype).get_function(f"direct_{ob}_{k}")
    kernel(
        (-(-n // ni) * tiles_y * tiles_x, -(-o // ob)),
        (256,),
        (x, w, b, y, *map(np.int32, numbers)),
        shared_mem=ck * channel_bytes(ob, ni, th, ts, x.itemsize),
    )
    return y


@lru_cache(maxsize=1024)
def tiling(n, c, o, out_h, out_w, itemsize, multiprocessors):
    """How `direct_*` cuts its work → OB, K, ni, th, ts, ck; see conv2d.cu.

    A block takes all channels of y, up to 64, so that x is read once. It takes as many pixels as it can, because w is
    read once for each block, but leaves two blocks for every multiprocessor where there is enough to do.
    """
    ob = next(size for size in (8, 16, 32, 64) if size >= o or size == 64)
    strips = {8: (1,), 16: (2, 1), 32: (4, 2, 1), 64: (4, 2, 1)}[ob]
    for k in strips[1 if itemsize == 8 and strips[0] == 4 else 0 :]:
        ni, th, ts = tile(n, out_h, out_w, k * 256 * 8 // ob, ob, itemsize)
        blocks = -(-n // ni) * -(-out_h // th) * -(-out_w // (4 * ts)) * -(-o // ob)
        if blocks >= 2 * multiprocessors:
            break
    return ob, k, ni, th, ts, min(SHARED_BYTES // channel_bytes(ob, ni, th, ts, itemsize), 8, c)


def tile(n, out_h, out_w, strips, ob, itemsize):
    """The images, rows and strips of 4 pixels of a tile: those that compute and read the fewest pixels in all."""
    best = None
    across = -(-out_w // 4)
    for ts in sorted({-(-across // columns) for columns in range(1, across + 1)}):
        if ts > strips:
            continue
        th = min(strips // ts, out_h)
        th = -(-out_h // -(-out_h // th))  # the same number of tiles, but equally tall ones
        ni = min(strips // (ts * th), n) if th == out_h and ts == across else 1
        while ni > 1 and channel_bytes(ob, ni, th, ts, itemsize) > SHARED_BYTES:
            ni -= 1
        tiles = -(-n // ni) * -(-out_h // th) * -(-across // ts)
        cost = tiles * (4 * strips + ni * (th + 2) * (4 * ts + 2))
        best = min(best or (cost, ni, th, ts), (cost, ni, th, ts))
    return best[1:]


def channel_bytes(ob, ni, th, ts, itemsize):
    """Shared memory for one channel of x of a tile, and its kernels."""
    return (ni * (th + 2) * (4 * ts + 4) + TAPS * (ob + 4)) * itemsize


def direct_weight_gradient(x, g, w_shape, padding):
    (n, c, h, width), (_, o, out_h, out_w) = x.shape, g.shape
    og, cg, parts, tw, count = weight_gradient_tiling(n, c, o, out_h, out_w, x.itemsize, multiprocessors())
    ot, ct = channels_of_a_thread(x.itemsize)
    sums = cupy().empty((count, TAPS, o, c), x.dtype)
    numbers = n, c, h, width, o, out_h, out_w, padding, og, cg, tw
    lines = np.int64(n * out_h * -(-out_w // tw))
    load_kernels(DIRECT, x.dtype).get_function("weight_gradient")(
        (count, -(-o // (ot * og)), -(-c // (ct * cg))),
        (og * cg * parts,),
        (x, g, sums, *map(np.int32, numbers), lines),
        shared_mem=max(weight_gradient_bytes(og, cg, tw, x.itemsize), og * cg * parts * ot * ct * x.itemsize),
    )
    return add_parts(sums, w_shape)


def channels_of_a_thread(itemsize):
    """OT and CT of conv2d.cu."""
    return (4, 2) if itemsize == 4 else (2, 2)


@lru_cache(maxsize=1024)
def weight_gradient_tiling(n, c, o, out_h, out_w, itemsize, multiprocessors):
    """How `weight_gradient` cuts its work → og, cg, parts, tw and the number of parts; see conv2d.cu.

    A block takes up to 64 × 64 channels (float64: 32 × 32), so that x and g are read once or little more. Each part
    costs a copy of ∂L/∂w, so there are only as many as keep all multiprocessors busy.
    """
    (ot, ct), most = channels_of_a_thread(itemsize), 512 if itemsize == 4 else 256
    og = min(-(-power_of_two(o) // ot), 16)
    cg = min(-(-power_of_two(c) // ct), most // 16)
    parts = max(256 // (og * cg), 1)
    columns = 1
    while weight_gradient_bytes(og, cg, -(-out_w // columns), itemsize) > SHARED_BYTES:
        columns += 1
    tw = -(-out_w // columns)
    chunks = -(-o // (ot * og)) * -(-c // (ct * cg))
    at_once = multiprocessors * (512 // (og * cg * parts))
    return og, cg, parts, tw, max(min(at_once // chunks, n * out_h * columns), 1)


def weight_gradient_bytes(og, cg, tw, itemsize):
    ot, ct = channels_of_a_thread(itemsize)
    return (ct * cg * (3 * (tw + 2) | 1) + ot * og * (tw | 1)) * itemsize


def power_of_two(number):
    """The smallest that is not below it."""
    return 1 << max(number - 1, 0).bit_length()


def add_parts(parts, w_shape):
    """Parts (count, …) of ∂L/∂w → ∂L/∂w, where (…) is (9, O, C) or what w_shape flattens to."""
    dw = cupy().empty(w_shape, parts.dtype)
    taps = parts.shape[1] if parts.ndim == 4 else 1
    kernel = load_kernels(DIRECT, dw.dtype).get_function("add_parts")
    sizes = np.int64(dw.size // taps), np.int32(taps), np.int32(len(parts))
    launch(kernel, dw.size, parts, dw, *sizes)
    return dw


def multiprocessors():
    """Of the GPU in use. The cut of the work depends on it, so another GPU may round another way."""
    return _multiprocessors(cupy().cuda.device.get_device_id())


@lru_cache(maxsize=64)
def _multiprocessors(gpu):
    return cupy().cuda.Device(gpu).attributes["MultiProcessorCount"]
