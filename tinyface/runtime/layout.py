"""The memory layout of feature maps on the CPU.

Feature maps of shape (N, C, H, W) lie in memory as (H, W, N, C): rows of the image first, the channels of one pixel
next to each other. What a convolution, a pooling or an up-sampling takes from a row or a column of pixels is then one
long contiguous run for the whole batch, which is what NumPy and BLAS are fast on, and the matrices of a
convolution (pixels × channels) need no copy. To everybody else it is an (N, C, H, W) array like any other.
"""

from .memory import contiguous


def as_hwnc(x):
    """x (N, C, H, W) as a C-contiguous array (H, W, N, C): a view where it is so already, else a copy.

    Any number of axes behind the channels will do, none as well.
    """
    return contiguous(x.transpose(*range(2, x.ndim), 0, 1))


def as_nchw(y):
    """y (H, W, N, C) seen as (N, C, H, W): a view."""
    return y.transpose(-2, -1, *range(y.ndim - 2))


def as_hwio(w):
    """Kernels w (O, C, kh, kw) as a C-contiguous array (kh, kw, C, O): a view where they lie so already, else a copy.

    On the CPU they should: each (C, O) is a matrix that pixels · channels are multiplied with.
    """
    return contiguous(w.transpose(2, 3, 1, 0))


def as_oihw(w):
    """w (kh, kw, C, O) seen as (O, C, kh, kw): a view."""
    return w.transpose(3, 2, 0, 1)


def channels_last(x):
    """x (N, C, …) with its memory in the order (…, N, C): x itself where it is so already, else a copy."""
    if x.ndim < 2:
        return contiguous(x)
    hwnc = x.transpose(*range(2, x.ndim), 0, 1)
    return x if hwnc.flags.c_contiguous else as_nchw(contiguous(hwnc))
