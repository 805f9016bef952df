"""Worker processes: shared memory, functions that travel, and the same bits as threads."""

import os
import pickle
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tinyface import Tensor, backend, models, ops, optim
from tinyface.runtime import threads as threads_module
from tinyface.runtime import workers

arena = workers.Arena.create()
pytestmark = pytest.mark.skipif(arena is None, reason="shared memory needs Linux")


@pytest.fixture(scope="module")
def pool():
    """Two workers and the arena they share."""
    pool = workers.Pool(arena, 2)
    wait_for(pool)
    yield pool
    pool.close()


def wait_for(pool):
    until = time.monotonic() + 60
    while not all(member.ready() for member in pool.members):
        assert time.monotonic() < until, "the workers did not start"
        time.sleep(0.01)


# ---------------------------------------------------------------- the arena


def test_arrays_dont_overlap_and_are_aligned():
    arrays = [arena.empty((n,), np.float32) for n in (1, 100, 3, 5000)]
    for value, array in enumerate(arrays):
        array[...] = value
    for value, array in enumerate(arrays):
        assert (array == value).all() and array.__array_interface__["data"][0] % workers.ALIGN == 0


def test_memory_is_used_again_when_the_last_view_is_gone():
    first = arena.empty((1000,), np.float64)
    place = arena.place_of(first)
    view = first.reshape(10, 100)[3:, ::2]
    del first
    assert arena.place_of(arena.empty((1000,), np.float64)) != place  # a view of a view still looks at it
    del view
    assert arena.place_of(arena.empty((1000,), np.float64)) == place


def test_free_neighbours_merge():
    own = workers.Arena.create()
    arrays = [own.empty((1000,), np.uint8) for _ in range(5)]
    order = [1, 3, 2, 0, 4]
    for number in order:
        arrays[number] = None
        own.merge()
    assert own.free == {0: own.size} and own.ends == {own.size: 0}


@pytest.mark.parametrize("plenty, used", [(0, 2048), (2048, 4096)])
def test_freed_parts_are_joined_once_much_is_in_use(monkeypatch, plenty, used):
    monkeypatch.setattr(workers, "MERGE_BYTES", plenty)
    own = workers.Arena.create()
    for _ in range(2):  # the second time finds what the first has left
        pair = [own.empty((1024,), np.uint8) for _ in range(2)]
        del pair
        whole = own.empty((2048,), np.uint8)
        assert own.size - max(own.free.values()) == used
        del whole


def test_joining_makes_room_in_an_arena_that_is_used_up():
    own = workers.Arena.create()
    own.free, own.ends = {0: 256}, {256: 0}
    parts = [own.empty((128,), np.uint8) for _ in range(2)]
    del parts
    assert own.place_of(own.empty((256,), np.uint8)) == 0


def test_a_full_arena_gives_private_memory():
    own = workers.Arena.create()
    own.free, own.ends = {0: 128}, {128: 0}
    assert own.place_of(own.empty((16,), np.float64)) == 0
    assert own.place_of(own.empty((17,), np.float64)) is None


def test_place_of_private_memory():
    assert arena.place_of(np.empty(5)) is None


# ---------------------------------------------------------------- functions


def test_pieces_run_in_the_workers(pool):
    """Each piece once, by three processes; the closure brings arrays, numbers and inner functions."""
    out, by = arena.empty((9,), np.float64), arena.empty((9,), np.int64)
    out[...] = by[...] = 0
    factor, x = 2.5, np.arange(9.0)

    def twice(value):
        return factor * value

    def body(index):
        out[index] += twice(x[index])
        by[index] = os.getpid()

    assert pool.run(body, 9, 3)
    assert out.tolist() == [2.5 * k for k in range(9)]
    assert set(by) <= {os.getpid(), *(member.process.pid for member in pool.members)}


def test_a_free_process_takes_the_next_piece(pool):
    """The main process is held up by its first piece; the others do the rest."""
    by, main = arena.empty((12,), np.int64), os.getpid()

    def body(index):
        by[index] = os.getpid()
        if os.getpid() == main:
            time.sleep(0.3)

    assert pool.run(body, 12, 3)
    assert (by == main).sum() <= 1


def test_each_process_begins_with_its_own_share_and_then_helps():
    first = workers.Tickets.create(3)
    second = workers.Tickets(first.outs, own=1)
    first.put(9, 3)
    assert list(islice(second, 4)) == [3, 4, 5, 6]
    assert list(first) == [0, 1, 2, 7, 8]
    first.put(1, 3)  # fewer pieces than processes
    assert list(second) == [0] and list(first) == []
    first.close()


def test_many_processes_have_a_share_together(monkeypatch):
    monkeypatch.setattr(workers.Tickets, "MOST_PARTS", 2)
    first = workers.Tickets.create(5)
    third, fourth = (workers.Tickets(first.outs, own=own) for own in (2, 3))
    first.put(6, 5)
    assert [next(iter(tickets)) for tickets in (first, third, fourth)] == [0, 1, 3]
    assert list(fourth) == [4, 5, 2] and list(first) == []
    first.close()


def test_workers_dont_take_what_lies_in_the_current_folder(tmp_path):
    (tmp_path / "tinyface").mkdir()
    (tmp_path / "tinyface" / "__init__.py").write_text("raise SystemExit('not this one')")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text("""
from tinyface import backend
backend.set_threads(2)
backend.start_workers(wait=True)
print("ready")
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(workers.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "ready\n", done.stderr


@pytest.mark.parametrize("layout", [lambda a: a[::2], lambda a: a[::-1], lambda a: a.T, lambda a: a[3:, 1:4]])
def test_views_keep_their_layout(pool, layout):
    whole, sums = arena.empty((6, 8), np.float32), arena.empty((3,), np.float64)
    whole[...] = np.arange(48).reshape(6, 8)
    view = layout(whole)

    def body(index):
        sums[index] = (view * np.arange(view.shape[1])).sum()

    assert pool.run(body, 3, 3)
    assert (sums == (view * np.arange(view.shape[1])).sum()).all()


def test_an_exception_arrives(pool):
    main = os.getpid()

    def body(index):
        if os.getpid() != main:
            raise ValueError(f"piece {index}")
        time.sleep(0.3)

    with pytest.raises(ValueError, match="piece"):
        pool.run(body, 3, 3)

    def here(index):
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        pool.run(here, 9, 3)
    done = arena.empty((3,), np.int64)
    done[...] = 0

    def well(index):
        done[index] = 1

    assert pool.run(well, 3, 3) and done.all()  # it goes on afterwards


def test_writing_to_an_array_sent_by_value_is_an_error(pool):
    private, main = np.zeros(3), os.getpid()

    def body(index):
        if os.getpid() == main:
            time.sleep(0.3)  # so that a worker has one of the pieces
        private[index] = 1

    with pytest.raises(ValueError, match="read-only"):
        pool.run(body, 3, 3)


def of_main():
    pass


of_main.__module__ = "__main__"  # what a user's script defines


@pytest.mark.parametrize("thing", [np.zeros(100_000), Tensor([1.0]), of_main, (x for x in "abc")])
def test_what_cannot_travel_is_left_to_threads(pool, thing):
    ran = []

    def body(index):
        ran.append((index, thing))

    assert not pool.run(body, 3, 3) and not ran


def test_a_worker_that_died_is_an_error_in_one_line():
    pool = workers.Pool(arena, 1)
    wait_for(pool)
    pool.members[0].process.kill()
    pool.members[0].process.wait()
    with pytest.raises(Exception, match=r"worker process has ended.*--resume"):
        pool.run(_nothing, 2, 3)
    assert list(pool.tickets) == []
    pool.close()


def _nothing(index):
    pass


def test_after_an_interruption_nothing_stale_is_taken_for_an_answer(monkeypatch):
    """Ctrl-C while the workers are heard: they are killed, no ticket is left, and threads take over."""
    pool = workers.Pool(arena, 2)
    wait_for(pool)
    processes = [member.process for member in pool.members]

    def interrupted(member):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers._Member, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.run(_nothing, 5, 3)
    assert all(process.poll() is not None for process in processes)
    assert list(pool.tickets) == [] and not pool.run(_nothing, 5, 3)
    pool.close()


def test_exceptions_can_be_sent():
    assert str(pickle.loads(pickle.dumps(ValueError("x")))) == "x"


# ---------------------------------------------------------------- the whole


@pytest.fixture
def processes(threads):
    """processes(count): that many processes compute; afterwards threads again."""

    def start(count):
        threads(count)
        backend.start_workers()
        if threads_module._processes is not None:
            wait_for(threads_module._processes)

    yield start
    backend.stop_workers()


@pytest.mark.slow
def test_a_training_step_has_the_same_bits_and_leaves_no_work_to_threads(monkeypatch, processes):
    """Threads, 2 and 3 processes; every piece of the networks' steps can travel."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 3, 109, 89)).astype(np.float32)
    labels = rng.integers(-1, 7, (8, 109, 89)).astype(np.int8)
    targets = (rng.random((8, 40)) < 0.5).astype(np.float32)
    left_over = []
    run = workers.Pool.run
    monkeypatch.setattr(
        workers.Pool,
        "run",
        lambda self, *call: run(self, *call) or left_over.append(call[0].__qualname__),
    )

    def train():
        bits = []
        for mode in ("segmentation", "ssp", "ssg"):
            backend.seed(0)
            parser = models.SegmentationNet(8, (109, 89))
            network = parser if mode == "segmentation" else models.AttributeNet(8, mode, (109, 89))
            optimizer = optim.AdaGrad(network.parameters(), 0.01, 5e-4)
            for _ in range(2):
                network.zero_grad()
                if mode == "segmentation":
                    loss = models.segmentation_loss(network(Tensor(images)), labels)
                else:
                    heads = [Tensor(head.data) for head in parser(Tensor(images), heads=3)]
                    loss = ops.sigmoid_cross_entropy(network(Tensor(images), heads), targets)
                loss.backward()
                optimizer.step()
            bits += [p.data.tobytes() for p in network.parameters()]
        return bits

    backend.set_threads(2)
    wanted = train()
    for count in (2, 3):
        processes(count)
        assert train() == wanted
    assert not left_over


class Stubborn(Exception):
    """Says too little of itself to be made again."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("kind", ["stubborn", "long"])
def test_an_exception_that_cannot_travel_is_told_of_and_the_workers_stay(pool, kind):
    done = arena.empty((2,), np.int64)

    def body(index):
        if os.getpid() != main:
            raise Stubborn("this", "that") if kind == "stubborn" else ValueError("x" * 100_000)
        time.sleep(0.2)

    main = os.getpid()
    with pytest.raises(RuntimeError, match="in a worker process: "):
        pool.run(body, 6, 3)
    assert pool.run(lambda index: done.__setitem__(index, 1), 2, 3) and done.tolist() == [1, 1]


FORKS = """
import faulthandler, multiprocessing, sys
import numpy as np
from tinyface import Tensor, backend, nn, ops

backend.set_threads(2)
if sys.argv[1] == "workers":
    backend.start_workers(wait=True)
w = Tensor(np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32))
layer = nn.Conv2d(8, 8, 3)
before = layer.weight.numpy().tobytes()

def wrong(value):
    x = Tensor(np.full((2, 8, 24, 24), value, np.float32))
    first = ops.conv2d(x, w, padding=1).numpy().copy()
    return sum(not np.array_equal(first, ops.conv2d(x, w, padding=1).numpy()) for _ in range(40))

def child(value):
    faulthandler.dump_traceback_later(90, exit=True)  # one that hangs must not stay behind
    layer.weight.data[...] = 0
    return wrong(value)

kept = ops.conv2d(Tensor(np.ones((2, 8, 24, 24), np.float32)), w)
bits = kept.numpy().tobytes()
with multiprocessing.get_context("fork").Pool(2) as children:
    answers = children.map_async(child, range(4))
    here = wrong(7)
    there = answers.get(60)
print(here, there, kept.numpy().tobytes() == bits, layer.weight.numpy().tobytes() == before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["threads", "workers"])
def test_after_a_fork_parent_and_children_compute_each_for_itself(how):
    done = subprocess.run([sys.executable, "-c", FORKS, how], capture_output=True, text=True, timeout=100)
    assert done.stdout.split("\n")[0] == "0 [0, 0, 0, 0] True True", done.stdout + done.stderr


def test_what_a_worker_cannot_read_does_not_spoil_what_comes_next(pool):
    done, stubborn = arena.empty((6,), np.int64), Stubborn("this", "that")

    def body(index):
        time.sleep(0.05)
        done[index] = stubborn is not None

    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        pool.run(body, 6, 3)
    stubborn = 1
    assert pool.run(body, 6, 3) and done.tolist() == [1] * 6


def test_at_the_end_of_the_program_one_thread_does_it_all():
    code = """
import atexit
import numpy as np
from tinyface import backend, ops
backend.set_threads(2)
x, w = np.ones((8, 8, 64, 64), np.float32), np.ones((8, 8, 3, 3), np.float32)
y = ops.conv2d(x, w).numpy()
atexit.register(lambda: print(np.array_equal(ops.conv2d(x, w).numpy(), y)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "True\n", done.stderr


def test_the_first_operation_finds_blas_on_one_thread():
    code = """
import numpy as np
from threadpoolctl import threadpool_info
from tinyface import ops
ops.linear(np.ones((3, 4)), np.ones((5, 4)))
print({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "{1}\n", done.stderr
