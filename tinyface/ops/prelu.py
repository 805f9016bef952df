"""Parametric ReLU (He et al. 2015, "Delving Deep into Rectifiers", equations 1 and 8).

    y = x            where x > 0            ∂L/∂x = g            where x > 0,   slope·g   elsewhere
        slope·x      elsewhere              ∂L/∂slope = Σ g·min(x, 0)     over all values with this slope

At x = 0 both one-sided slopes are subgradients; like PyTorch we take `slope`.
"""

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from .add import sum_to


class PReLU(Function):
    op = "prelu"
    computes_in_float = True

    def check(self, x, slope):
        if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
            raise ValueError(
                f"prelu: x of shape {x.shape} needs a slope of shape (1,) or (channels,), got {slope.shape}"
            )

    def forward(self, x, slope):
        xp = get_array_module(x)
        self.x, self.slope = x, slope.reshape(-1, *[1] * (x.ndim - 2))
        return xp.where(x > 0, x, self.slope * x)

    def backward(self, g):
        xp, x, slope = get_array_module(g), self.x, self.slope
        dx = xp.where(x > 0, g, slope * g)
        dslope = sum_to(g * xp.minimum(x, 0), slope.shape)
        return dx, dslope.reshape(-1)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """max(x, 0) + slope·min(x, 0) for x (N, C, …); slope (C,), one per channel, or (1,), one for all."""
    return PReLU()(x, slope)
