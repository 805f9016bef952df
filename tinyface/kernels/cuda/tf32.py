"""Convolution at stride 1 on a GPU's tensor cores, for kernels of any size: an implicit matrix product in TF32.

    y[o, p]     = b[o] + Σ_{c, s} w[o, c, s] · x[c, p + s]        p: pixels of all images, s: places of the kernel
    ∂L/∂x       = the same, of g with the kernels flipped and C, O exchanged
    ∂L/∂w[o,c,s] = Σ_p g[o, p] · x[c, p + s]

Tensor cores multiply small matrices in one instruction, some eight times as many numbers in the same time as the
GPU's ordinary units. The price is TF32: from each factor they read float32's sign and its 8 bits of exponent, but
only 10 of its 23 bits behind the binary point. A factor so rounded is wrong by up to 2⁻¹¹, about 1 in 2000; products
and sums are float32 again. Range is not lost, nor are sums over many terms: the errors of y stay about 3·10⁻⁴ of its
usual size. Trainings don't notice, comparisons in the sixth digit do; hence it is off until `backend.set_tf32(True)`.

"Implicit": im2col's matrix is kh·kw times as large as x and is never made. Each block of threads fetches the few
columns of it that it is about to multiply, from x, into its shared memory.
"""

from pathlib import Path

import numpy as np

from ...runtime.cuda import launch, load_kernels, tf32
from ...runtime.devices import cupy

OUT, PIXELS, DEPTH = 64, 256, 16  # a block's outputs × pixels, and the channels in a slab, as in tf32.cu
SIDE, RUN = 64, 32  # the same for the weight gradient: channels × channels, and the pixels in a slab
BLOCKS = 1024  # for the weight gradient, about: several for each of a GPU's processors
SHORTEST = 8  # slabs in a partial sum, at least

SHAPE = np.dtype(
    [
        (name, np.int32)
        for name in ("c", "h", "w", "o", "out_h", "out_w", "kh", "kw", "padding_y", "padding_x")
    ]
    + [("pixels", np.uint32)]
)


def fits(dtype, stride):
    """Whether TF32 is asked for, and this file can do such a convolution."""
    return tf32() and dtype == np.float32 and stride == 1


# ---------------------------------------------------------------- the three products, on float32 arrays (N, C, H, W)


def convolve(x, w, padding, b=None):
    """x (N, C, H, W) ∗ w (O, C, kh, kw) + b (O,) → (N, O, H', W'); H' = H + 2·padding − kh + 1."""
    return _convolve(x, w, (padding, padding), b, flipped=False)


def input_gradient(g, w, padding):
    """∂L/∂x (N, C, H, W) of g (N, O, H', W') and w (O, C, kh, kw); `padding` is the convolution's."""
    return _convolve(g, w, [length - 1 - padding for length in w.shape[2:]], None, flipped=True)


def _convolve(x, w, paddings, b, flipped):
    """x ∗ w + b, or of w flipped with input and output channels exchanged."""
    xp = cupy()
    (n, c, h, width), kernel = x.shape, w.shape[2:]
    o, places = w.shape[1 if flipped else 0], kernel[0] * kernel[1]
    steps = c * places, places
    if flipped:
        steps = places, o * places
    out = [length + 2 * p - k + 1 for length, p, k in zip((h, width), paddings, kernel, strict=True)]
    y = xp.empty((n, o, *out), np.float32)

    packed = xp.empty((-(-c // DEPTH), places, DEPTH, -(-o // OUT) * OUT), np.float32)
    numbers = [np.int32(k) for k in (o, c, packed.shape[3], places)]
    steps = [np.int64(k) for k in steps]
    launch(
        _kernel("pack"), packed.size, w, packed, np.int64(packed.size), *numbers, *steps, np.int32(flipped)
    )
    shape, pixels = _shape(x.shape, y.shape, kernel, paddings)
    grid = -(-pixels // PIXELS), packed.shape[3] // OUT
    _kernel("conv")(grid, (PIXELS,), (x, packed, b, y, shape, np.int32(packed.shape[3])))
    return y


def weight_gradient(x, g, kernel, padding):
    """∂L/∂w (O, C, kh, kw) of x (N, C, H, W) and g (N, O, H', W'); kernel: (kh, kw).

    The sum runs over all pixels, and there may be few weights: it is cut into parts, whose sums a last kernel adds.
    """
    xp = cupy()
    c, o, places = x.shape[1], g.shape[1], kernel[0] * kernel[1]
    shape, pixels = _shape(x.shape, g.shape, kernel, (padding, padding))
    tiles, slabs = -(-c // SIDE) * -(-o // SIDE) * places, -(-pixels // RUN)
    length = -(-slabs // max(min(BLOCKS // tiles, slabs // SHORTEST), 1))
    count = -(-slabs // length)

    parts = xp.empty((count, places, o, c), np.float32)
    grid = -(-c // SIDE), -(-o // SIDE), count * places
    _kernel("weight_gradient")(grid, (128,), (x, g, parts, shape, np.int32(length)))
    dw = xp.empty((o, c, *kernel), np.float32)
    numbers = [np.int32(k) for k in (count, places, o * c)]
    launch(_kernel("add_parts"), dw.size, parts, dw, *numbers)
    return dw


def _shape(x_shape, y_shape, kernel, paddings):
    """The struct Shape of tf32.cu, and the number of output pixels of all images."""
    pixels = y_shape[0] * y_shape[2] * y_shape[3]
    return np.array((*x_shape[1:], *y_shape[1:], *kernel, *paddings, pixels), SHAPE)[()], pixels


def _kernel(name):
    return load_kernels(Path(__file__).with_suffix(".cu")).get_function(name)
