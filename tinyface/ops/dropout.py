"""Dropout (Srivastava et al. 2014), inverted: in training each element is zeroed with probability p.

    y = x·k,    k = 0 with probability p, else 1/(1 − p),        ∂L/∂x = g·k;      in evaluation y = x

The random numbers come from the host's generator for every device, so a run is the same on both. A GPU gets them as one
byte for each element (dropout.cu).
"""

from pathlib import Path

import numpy as np

from .. import backend
from ..core import Function, Tensor

KERNELS = Path(__file__).with_suffix(".cu")


class Dropout(Function):
    op = "dropout"

    def __init__(self, p):
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, x):
        backend.need_float(self.op, x)
        keep = backend.rng().random(x.shape, dtype=np.float32) >= self.p
        if backend.on_gpu(x):
            self.keep = backend.to_device(keep, "cuda")
            return self._apply(x)
        keep = keep.astype(x.dtype) / (1 - self.p)
        self.keep = keep.astype(x.dtype)
        return x * self.keep

    def backward(self, g):
        if backend.on_gpu(g):
            return self._apply(g)
        return g * self.keep

    def _apply(self, x):
        x, one = backend.contiguous(x), x.dtype.type(1)
        y = backend.get_array_module(x).empty_like(x)
        kernel = backend.load_kernels(KERNELS, x.dtype).get_function("dropout")
        backend.launch(kernel, x.size, x, self.keep, y, one / x.dtype.type(1 - self.p), np.int64(x.size))
        return y


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements of x at random in training; x itself in evaluation."""
    return Dropout(p)(x) if training and p else x
