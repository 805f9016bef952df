import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tinyface import TinyfaceError
from tinyface.runtime import threads as threads_module


@pytest.fixture(autouse=True, scope="module")
def threads_alone():
    """Another module's worker processes would take the blocks that these tests hand out."""
    threads_module.stop_workers()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_piece_runs_once(threads, workers, count):
    threads(workers)
    runs = np.zeros(count, int)

    def body(index):
        runs[index] += 1

    threads_module.parallel_for(body, count)
    assert (runs == 1).all()


def test_pieces_run_side_by_side(threads):
    threads(3)
    meeting = threading.Barrier(3, timeout=20)  # passes when three bodies run at the same time
    threads_module.parallel_for(lambda index: meeting.wait(), 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_exception_comes_out_and_leaves_no_trace(threads, workers):
    threads(workers)

    def body(index):
        if index == 5:
            raise KeyError("piece 5")

    for _ in range(3):
        with pytest.raises(KeyError, match="piece 5"):
            threads_module.parallel_for(body, 10)
    test_pieces_run_side_by_side(threads)


def test_an_exception_of_another_thread_comes_out(threads):
    threads(2)
    meeting, caller = threading.Barrier(2, timeout=20), threading.get_ident()

    def body(index):
        meeting.wait()
        if threading.get_ident() != caller:
            raise KeyError("in the other thread")

    with pytest.raises(KeyError, match="in the other thread"):
        threads_module.parallel_for(body, 2)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_nested_call_runs_in_its_own_thread(threads, workers):
    threads(workers)
    ran_in = np.zeros((4, 5), int)

    def outer(i):
        def inner(j):
            ran_in[i, j] = threading.get_ident()

        threads_module.parallel_for(inner, 5)
        assert (ran_in[i] == threading.get_ident()).all()

    threads_module.parallel_for(outer, 4)
    assert ran_in.all()


def test_calls_from_several_threads_at_once(threads):
    threads(2)
    sums = np.zeros((4, 50), int)

    def call(row):
        def body(index):
            sums[row, index] += 1

        threads_module.parallel_for(body, 50)

    callers = [threading.Thread(target=call, args=(row,)) for row in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert (sums == 1).all()


def test_number_of_threads(threads):
    threads(3)
    assert threads_module.get_threads() == 3
    with pytest.raises(TinyfaceError, match="threads: must be at least 1, got 0"):
        threads(0)
    assert threads_module.get_threads() == 3


def test_number_of_threads_from_the_environment():
    code = "from tinyface import backend; print(backend.get_threads())"
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for value, expected in (("3", "3"), ("", str(ours))):
        environment = os.environ | {"TINYFACE_THREADS": value}
        printed = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert printed.stdout.strip() == expected


def test_blas_keeps_to_one_thread():
    np.ones((2, 2)) @ np.ones((2, 2))
    threads_module.parallel_for(lambda index: None, 1)
    ours = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert all(pool["num_threads"] == 1 for pool in ours)


@pytest.mark.parametrize(
    "length, step, expected",
    [(0, 3, []), (5, 2, [(0, 2), (2, 4), (4, 5)]), (4, 2, [(0, 2), (2, 4)]), (3, 9, [(0, 3)])],
)
def test_slices(length, step, expected):
    assert threads_module.slices(length, step) == [slice(*pair) for pair in expected]


@pytest.mark.parametrize("length, parts", [(7, 4), (8, 4), (3, 4), (0, 4), (165, 4)])
def test_equal_slices(length, parts):
    parts_of = threads_module.equal_slices(length, parts)
    assert [i for part in parts_of for i in range(length)[part]] == list(range(length))
    sizes = [part.stop - part.start for part in parts_of]
    assert len(sizes) == min(parts, length) and (not sizes or max(sizes) - min(sizes) <= 1)
