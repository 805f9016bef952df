"""Windows of feature maps, as convolutions and poolings see them: how many there are, a view of all, its adjoint."""

from ..runtime.devices import get_array_module


def output_size(length, kernel, stride, padding):
    """Number of windows along an axis: ⌊(length + 2·padding − kernel) / stride⌋ + 1."""
    return (length + 2 * padding - kernel) // stride + 1


def pooled_size(op, shape, kernel, stride, padding, ceil_mode):
    """(H', W') of a pooling of x (N, C, H, W); in ceil mode ⌈ ⌉, without windows that begin beyond the image.

    Raises ValueError where options or shape don't fit.
    """
    if kernel < 1 or stride < 1:
        raise ValueError(f"{op}: kernel and stride must be at least 1, got {kernel} and {stride}")
    if not 0 <= padding <= kernel // 2:
        raise ValueError(f"{op}: padding must be between 0 and half the kernel {kernel}, got {padding}")
    if len(shape) != 4:
        raise ValueError(f"{op}: x must have shape (N, C, H, W), got {shape}")
    sizes = []
    for length in shape[2:]:
        count = output_size(length + (stride - 1 if ceil_mode else 0), kernel, stride, padding)
        if ceil_mode and (count - 1) * stride >= length + padding:
            count -= 1
        if count < 1 or not length:
            raise ValueError(f"{op}: a window of {kernel} does not fit into x of shape {shape}")
        sizes.append(count)
    return tuple(sizes)


def windows_of(x, kernel, stride, padding, out, value=0):
    """x (N, C, H, W), padded with `value`, → (N, C, H', W', kh, kw): all windows, a view.

    kernel: (kh, kw). out: (H', W'), how many windows; the last ones may extend beyond the padding.
    """
    xp = get_array_module(x)
    size = [(o - 1) * stride + k for o, k in zip(out, kernel, strict=True)]
    padded = xp.full((*x.shape[:2], *size), value, x.dtype)
    inside = padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]
    inside[...] = x[:, :, : inside.shape[2], : inside.shape[3]]
    return xp.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))[:, :, ::stride, ::stride]


def add_windows(windows, shape, stride, padding):
    """The adjoint of `windows_of`: numbers (N, C, H', W', kh, kw) added to the cells of x that they belong to.

    shape: x's, (N, C, H, W). Numbers of the padding are dropped.
    """
    xp = get_array_module(windows)
    n, c, h, w = shape
    out_h, out_w, kh, kw = windows.shape[2:]
    size = max(h + padding, (out_h - 1) * stride + kh), max(w + padding, (out_w - 1) * stride + kw)
    padded = xp.zeros((n, c, *size), windows.dtype)
    for u in range(kh):
        for v in range(kw):
            padded[:, :, u:, v:][:, :, ::stride, ::stride][:, :, :out_h, :out_w] += windows[..., u, v]
    return padded[:, :, padding : padding + h, padding : padding + w]
