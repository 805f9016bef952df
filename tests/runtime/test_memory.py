import threading

import numpy as np
import pytest

from tinyface.runtime import memory
from tinyface.runtime import threads as threads_module


@pytest.mark.parametrize("size", [0, 1, 63, 64, 100_000])
def test_aligned(size):
    array = memory.aligned(size)
    assert array.nbytes == size and (not size or array.ctypes.data % memory.CACHE_LINE == 0)
    for nbytes in (1, 1000):  # scratch memory and arrays for results begin there too
        assert memory.scratch(f"aligned{nbytes}", (nbytes,), np.uint8).ctypes.data % memory.CACHE_LINE == 0
        assert memory.empty((nbytes,), np.uint8).ctypes.data % memory.CACHE_LINE == 0


def test_scratch_is_used_over_and_over():
    first = memory.scratch("test.reuse", (4, 5), np.float64)
    assert first.shape == (4, 5) and first.dtype == np.float64 and first.flags.c_contiguous
    for shape, dtype in (
        ((4, 5), np.float64),
        ((2, 3), np.float32),
        ((160,), np.uint8),
        ((0, 3), np.float32),
    ):
        again = memory.scratch("test.reuse", shape, dtype)
        assert again.shape == shape and again.dtype == dtype
        assert not again.size or np.shares_memory(first, again)


def test_scratch_grows():
    small, large = (memory.scratch("test.grow", (n,), np.float32) for n in (10, 1000))
    large[...] = 1
    assert not np.shares_memory(small, large)
    assert np.shares_memory(large, memory.scratch("test.grow", (10,), np.float32))


def test_scratch_under_two_names_is_two_places():
    a, b = (memory.scratch(name, (10,), np.float32) for name in ("test.a", "test.b"))
    assert not np.shares_memory(a, b)


def test_each_thread_has_scratch_of_its_own(threads):
    threads(3)
    meeting, places = threading.Barrier(3, timeout=20), [None] * 3

    def body(index):
        places[index] = memory.scratch("test.threads", (10,), np.float32)
        meeting.wait()

    threads_module.parallel_for(body, 3)
    assert not any(np.shares_memory(places[i], places[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
