"""tinyface: a deep-learning framework written by hand on NumPy and CuPy; on it networks for face attributes."""

from . import checkpoint, kernels, moved, ops
from .core import Function, Parameter, Tensor, no_grad
from .errors import TinyfaceError

__version__ = "0.1.0"
__all__ = ["Function", "Parameter", "Tensor", "TinyfaceError", "checkpoint", "kernels", "no_grad", "ops"]

moved.install()
