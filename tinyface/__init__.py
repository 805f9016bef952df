"""tinyface: a deep-learning framework written by hand on NumPy and CuPy; on it networks for face attributes."""

<<<<<<< HEAD
from . import kernels, moved, ops
=======
from . import checkpoint, moved, ops
>>>>>>> faces
from .core import Function, Parameter, Tensor, no_grad
from .errors import TinyfaceError

__version__ = "0.1.0"
<<<<<<< HEAD
__all__ = ["Function", "Parameter", "Tensor", "TinyfaceError", "kernels", "no_grad", "ops"]
=======
__all__ = ["Function", "Parameter", "Tensor", "TinyfaceError", "checkpoint", "no_grad", "ops"]
>>>>>>> faces

moved.install()
