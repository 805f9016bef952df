"""First values of weights, drawn from `backend.rng()` in order of definition, so that a seed fixes a network."""

import math

import numpy as np

from .. import backend
from ..core import Parameter


def he_normal(shape: tuple[int, ...], fan_in: float, slope: float = 0.0) -> Parameter:
    """N(0, 2 / ((1 + slope²)·fan_in)), which keeps the variance through (P)ReLU layers (He et al. 2015, eq. 15)."""
    std = math.sqrt(2 / ((1 + slope**2) * fan_in))
    values = backend.rng().standard_normal(shape, dtype=np.float32) * np.float32(std)
    return Parameter(backend.as_oihw(backend.as_hwio(values)) if values.ndim == 4 else backend.share(values))


def constant(shape: int | tuple[int, ...], value: float) -> Parameter:
    """All the same."""
    return Parameter(np.full(shape, value, dtype=np.float32))
