"""First values of weights, drawn from `runtime.random.rng()` in order of definition, so that a seed fixes a network."""

import math

import numpy as np

from ..core import Parameter
from ..runtime.layout import as_hwio, as_oihw
from ..runtime.memory import contiguous_copy
from ..runtime.random import rng


def he_normal(shape: tuple[int, ...], fan_in: float, slope: float = 0.0) -> Parameter:
    """N(0, 2 / ((1 + slope²)·fan_in)), which keeps the variance through (P)ReLU layers (He et al. 2015, eq. 15)."""
    std = math.sqrt(2 / ((1 + slope**2) * fan_in))
    values = rng().standard_normal(shape, dtype=np.float32) * np.float32(std)
    return Parameter(as_oihw(as_hwio(values)) if values.ndim == 4 else contiguous_copy(values))


def constant(shape: int | tuple[int, ...], value: float) -> Parameter:
    """All the same."""
    return Parameter(np.full(shape, value, dtype=np.float32))
