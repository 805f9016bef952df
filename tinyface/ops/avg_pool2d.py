"""Average over windows; a window that extends beyond the image is divided by the cells it really has.

    y[n,c,i,j] = (1/|W_ij|) Σ_{cells of W_ij inside the image} x
    ∂L/∂x      = every g[n,c,i,j] / |W_ij| added to all real cells of its window

(PyTorch's count_include_pad=False.)
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from .windows import add_windows, pooled_size, windows_of


class AvgPool2d(Function):
    op = "avg_pool2d"
    computes_in_float = True

    def __init__(self, kernel, stride, padding, ceil_mode):
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def check(self, x):
        self.out = pooled_size(self.op, x.shape, self.kernel, self.stride, self.padding, self.ceil_mode)

    def forward(self, x):
        xp, options = get_array_module(x), ((self.kernel,) * 2, self.stride, self.padding, self.out)
        self.cells = windows_of(xp.ones((1, 1, *x.shape[2:]), x.dtype), *options).sum(axis=(4, 5))  # |W_ij|
        self.shape = x.shape
        return windows_of(x, *options).sum(axis=(4, 5)) / self.cells

    def backward(self, g):
        g = (g / self.cells)[..., None, None]
        contributions = get_array_module(g).broadcast_to(g, (*g.shape[:4], self.kernel, self.kernel))
        return add_windows(contributions, self.shape, self.stride, self.padding)


def avg_pool2d(
    x: Tensor, kernel: int, stride: int | None = None, padding: int = 0, ceil_mode: bool = False
) -> Tensor:
    """Mean of each kernel×kernel window of x (N, C, H, W), over real cells; stride is the kernel's unless given."""
    return AvgPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)
