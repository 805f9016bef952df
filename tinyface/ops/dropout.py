"""Dropout (Srivastava et al. 2014), inverted: in training each element is zeroed with probability p.

    y = x·k,    k = 0 with probability p, else 1/(1 − p),        ∂L/∂x = g·k;      in evaluation y = x

The random numbers come from the host's generator for every device, so a run is the same on both.
"""

import numpy as np

from .. import backend
from ..core import Function


class Dropout(Function):
    op = "dropout"

    def __init__(self, p):
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, x):
        keep = backend.rng().random(x.shape, dtype=np.float32) >= self.p
        keep = keep.astype(x.dtype) / (1 - self.p)
        self.keep = backend.to_device(keep.astype(x.dtype), backend.device_of(x))
        return x * self.keep

    def backward(self, g):
        return g * self.keep


def dropout(x, p=0.5, training=True):
    """Zero elements of x at random in training; x itself in evaluation."""
    return Dropout(p)(x) if training and p else x
