"""The algorithm of convolutions, chosen by shape unless a test or a measurement forces one."""

import contextlib

forced = None


@contextlib.contextmanager
def force(algorithm):
    """Compute every convolution that can be in one way: for tests and measurements.

    "winograd4", "winograd6", "shift_and_add" or "im2col" on the CPU, "direct", "winograd" or "im2col" on a GPU.
    """
    global forced
    before, forced = forced, algorithm
    try:
        yield
    finally:
        forced = before
