"""Dropout (Srivastava et al. 2014), inverted: in training each element is zeroed with probability p.

    y = x·k,    k = 0 with probability p, else 1/(1 − p),        ∂L/∂x = g·k;      in evaluation y = x

The random numbers come from the host's generator for every device, so a run is the same on both.
"""

import numpy as np

from ..core import Function, Tensor
from ..runtime.devices import get_array_module
from ..runtime.random import rng


class Dropout(Function):
    op = "dropout"
    computes_in_float = True

    def __init__(self, p):
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
        self.p = p

    def draw(self, shape):
        """A NumPy array of truth values: which elements are kept."""
        return rng().random(shape, dtype=np.float32) >= self.p

    def forward(self, x):
        self.keep = get_array_module(x).asarray(self.draw(x.shape), x.dtype) / x.dtype.type(1 - self.p)
        return x * self.keep

    def backward(self, g):
        return g * self.keep


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements of x at random in training; x itself in evaluation."""
    return Dropout(p)(x) if training and p else x
