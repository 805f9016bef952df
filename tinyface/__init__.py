"""tinyface: a deep-learning framework written by hand on NumPy and CuPy, and the networks that read a face on it."""

from . import kernels, moved, ops
from .core import Function, Parameter, Tensor, no_grad
from .errors import TinyfaceError

__version__ = "0.1.0"
__all__ = ["Function", "Parameter", "Tensor", "TinyfaceError", "kernels", "no_grad", "ops"]

moved.install()
