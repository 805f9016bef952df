"""Random numbers of initialisation and dropout, drawn on the host for every device."""

import numpy as np

_generator = np.random.default_rng(0)


def seed(value):
    """Seed the random numbers of initialisation and dropout."""
    global _generator
    _generator = np.random.default_rng(value)


def rng():
    """The generator behind initialisation and dropout (numpy.random.Generator)."""
    return _generator


def get_random_state():
    """The generator's state as a plain dictionary, for checkpoints."""
    return _generator.bit_generator.state


def set_random_state(state):
    """Continue exactly where `get_random_state` was taken."""
    _generator.bit_generator.state = state
