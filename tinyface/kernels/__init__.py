"""Optimized implementations of the operations in `tinyface.ops`. To understand the framework nobody needs them.

with kernels.use("reference"):  # every operation as its formula says, two to five times slower
    ...
"""

from ..runtime.dispatch import IMPLEMENTATIONS, get_implementation, register, set_implementation, use
from . import cpu, cuda

__all__ = ["IMPLEMENTATIONS", "cpu", "cuda", "get_implementation", "register", "set_implementation", "use"]
