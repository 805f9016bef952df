"""Maximum over windows.

    y[n,c,i,j] = max over the cells (u, v) of the window of x[n, c, i·s + u − p, j·s + v − p]
    ∂L/∂x      = every g[n,c,i,j] added to the one cell that is the maximum of its window

Padding is −∞, so it is never the maximum. Of equal cells the first in reading order counts, as in PyTorch. Ceil mode
rounds the number of windows up; a last window that would begin beyond the image (in the padding) is dropped.
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from .windows import add_windows, pooled_size, windows_of


class MaxPool2d(Function):
    op = "max_pool2d"
    computes_in_float = True

    def __init__(self, kernel, stride, padding, ceil_mode):
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def check(self, x):
        self.out = pooled_size(self.op, x.shape, self.kernel, self.stride, self.padding, self.ceil_mode)

    def forward(self, x):
        xp, k = get_array_module(x), self.kernel
        windows = windows_of(x, (k, k), self.stride, self.padding, self.out, value=-xp.inf)
        windows = windows.reshape(*windows.shape[:4], k * k)
        self.shape, self.argmax = x.shape, windows.argmax(axis=-1)[..., None]
        return xp.take_along_axis(windows, self.argmax, axis=-1)[..., 0]

    def backward(self, g):
        xp, k = get_array_module(g), self.kernel
        contributions = xp.where(xp.arange(k * k) == self.argmax, g[..., None], 0)
        contributions = contributions.reshape(*g.shape, k, k)
        return add_windows(contributions, self.shape, self.stride, self.padding)


def max_pool2d(
    x: Tensor, kernel: int, stride: int | None = None, padding: int = 0, ceil_mode: bool = False
) -> Tensor:
    """Maximum of each kernel×kernel window of x (N, C, H, W); stride is the kernel's size unless given."""
    return MaxPool2d(kernel, kernel if stride is None else stride, padding, ceil_mode)(x)
