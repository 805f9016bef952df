"""NumPy in blocks that stay in a core's cache, on all threads. Importing this registers the kernels."""

from . import max_pool2d, prelu
