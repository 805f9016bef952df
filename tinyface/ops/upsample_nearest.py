"""Nearest-neighbour up-sampling to a given size.

    y[n,c,i,j] = x[n, c, ⌊i·H/H'⌋, ⌊j·W/W'⌋]
    ∂L/∂x[n,c,a,b] = Σ of g over all (i, j) that copied from (a, b)

For H' = 2H or 2H − 1 this is "twice, then cropped": what undoes a ceil-mode 2×2 pooling (28 → 55).
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module


class UpsampleNearest(Function):
    op = "upsample_nearest"
    computes_in_float = True

    def __init__(self, size):
        self.size = tuple(size)

    def check(self, x):
        if x.ndim != 4 or any(not 0 < n <= out for out, n in zip(self.size, x.shape[2:], strict=True)):
            raise ValueError(f"upsample_nearest: cannot bring x of shape {x.shape} up to {self.size}")

    def forward(self, x):
        xp = get_array_module(x)
        self.rows, self.columns = (
            xp.arange(out) * n // out for out, n in zip(self.size, x.shape[2:], strict=True)
        )
        self.shape = x.shape
        return x[:, :, self.rows[:, None], self.columns]

    def backward(self, g):
        xp, (h, w) = get_array_module(g), self.shape[2:]
        from_row = (self.rows == xp.arange(h)[:, None]).astype(g.dtype)  # (H, H'): 1 where i copied from a
        from_column = (self.columns == xp.arange(w)[:, None]).astype(g.dtype)
        sums = xp.tensordot(from_row, g, (1, 2))  # (H, N, C, W')
        return xp.tensordot(sums, from_column, (3, 1)).transpose(1, 2, 0, 3)


def upsample_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x (N, C, H, W) → (N, C, *size); size = (H', W'), no smaller than x in either direction."""
    return UpsampleNearest(size)(x)
