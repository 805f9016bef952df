"""Worker processes that share the memory of large arrays, so that several cores compute in one program.

Threads would share everything, but also Python's interpreter lock: between two NumPy calls a thread must hold it,
and with calls of 20 to 50 µs, as cache-sized blocks make them, threads sleep and wake each other all the time.
Processes have a lock each. What they need is common memory for the arrays and a way to be told what to do:

Arena     one large block of memory that all processes have mapped, and who has which part of it.
ship      a function made into bytes: its code by reference, the arrays it uses by their place in the arena,
          everything else by value. Arrays sent by value are read-only in the worker, so nothing is lost silently.
Pool      the workers. Each waits at a pipe for a function and the numbers of the blocks to run.

Linux only (memfd). Elsewhere, and for functions that cannot be shipped, `threads.parallel_for` uses threads.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib
import io
import marshal
import mmap
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
import types
import weakref
from array import array

import numpy as np

from ..errors import TinyfaceError

PAGE = mmap.PAGESIZE
ALIGN = 64  # bytes: a cache line, so that no two arrays share one
MERGE_BYTES = 1 << 27  # in use, from which on saving memory is worth the time that joining free parts takes
LARGEST_COPY = 1 << 16  # bytes of an array that may be sent by value
# With the modules whose functions will come, and from where the main process has them: not from the current folder.
PROGRAM = (
    "import sys; sys.path = [path for path in sys.path if path]; "
    "import tinyface; from tinyface.runtime import threads, workers; threads.be_a_worker(); workers.serve"
)
LENGTH = struct.Struct("=q")  # what goes before a function
# How long a worker looks for work before it sleeps: waking up takes longer than most work.
SPIN_SECONDS = 2e-3


class CannotShip(Exception):
    """A function uses something that a worker process cannot have."""


# ---------------------------------------------------------------- shared memory


class _Use(weakref.ref):
    """To the array that uses a part of the arena."""

    __slots__ = "length", "start"


class Arena:
    """Shared memory, handed out as arrays. A part is free again when no array uses it any more."""

    def __init__(self, file, size):
        self.file, self.size = file, size
        self.map = mmap.mmap(file, size)
        with contextlib.suppress(AttributeError, OSError):
            self.map.madvise(mmap.MADV_HUGEPAGE)
        self.address = np.frombuffer(self.map, np.uint8).__array_interface__["data"][0]
        self.free = {0: size}  # start → length; no two of them are neighbours
        self.ends = {size: 0}  # end → start of the same free parts
        self.just_freed = {}  # length → starts: a training step asks for the same lengths again and again
        self.uses = {}  # start → the array there
        self.lock = threading.RLock()  # a collected array gives its part back at any moment

    @classmethod
    def create(cls):
        """A new arena as large as the machine's memory; what is never used takes none. None where it can't be."""
        try:
            size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            file = os.memfd_create("tinyface")
            os.ftruncate(file, size)
            return cls(file, size)
        except (AttributeError, OSError, ValueError):
            return None

    def empty(self, shape, dtype):
        """An uninitialised array, C-contiguous."""
        dtype = np.dtype(dtype)
        nbytes = dtype.itemsize
        for length in shape:
            nbytes *= length
        length = -(-max(nbytes, 1) // ALIGN) * ALIGN
        start = self._take(length)
        if start is None:
            return np.empty(shape, dtype)
        array = np.ndarray(shape, dtype, self.map, start)
        # Every view, and every view of a view, keeps this very array alive.
        use = _Use(array, self._give_back)
        use.start, use.length = start, length
        self.uses[start] = use
        return array

    def _take(self, length):
        with self.lock:
            same = self.just_freed.get(length)
            if same:
                return same.pop()
            rest = max(self.free.values(), default=0)  # the largest part, most of it untouched
            start = self._smallest_fitting(length, but=rest)
            if start is None:
                if self.size - rest > MERGE_BYTES:
                    self.merge()
                start = self._smallest_fitting(length)
            if start is not None:
                have = self._remove(start)
                if have > length:
                    self._add(start + length, have - length)
            return start

    def _smallest_fitting(self, length, but=None):
        fitting = [(have, start) for start, have in self.free.items() if have >= length and have != but]
        return min(fitting)[1] if fitting else None

    def _give_back(self, use):
        with self.lock:
            del self.uses[use.start]
            self.just_freed.setdefault(use.length, []).append(use.start)

    def merge(self):
        """Join neighbours among the parts that were freed."""
        with self.lock:
            freed, self.just_freed = self.just_freed, {}  # more may come at any moment
            for length, starts in freed.items():
                for start in starts:
                    self._merge(start, length)

    def _merge(self, start, length):
        if start + length in self.free:
            length += self._remove(start + length)
        if start in self.ends:
            before = self.ends[start]
            length += self._remove(before)
            start = before
        self._add(start, length)

    def _add(self, start, length):
        self.free[start], self.ends[start + length] = length, start

    def _remove(self, start):
        length = self.free.pop(start)
        del self.ends[start + length]
        return length

    def make_private(self):
        """In the child of a fork: the same contents at the same place, but no longer shared with the parent.

        A private mapping shows what the parent writes until the child has written to the page itself; so each page
        in use is written to once. Writes of other threads of the parent meanwhile may still come through.
        """
        MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000
        self.lock = threading.RLock()  # a thread that stayed with the parent may have held the old one
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        access = mmap.PROT_READ | mmap.PROT_WRITE
        how = mmap.MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        place = libc.mmap(self.address, self.size, access, how, self.file, 0)
        if place != self.address:
            raise OSError(ctypes.get_errno(), "the memory of arrays can't be made private after a fork")
        memory, used = np.frombuffer(self.map, np.uint8), 0
        for start, length in sorted({**self.free, self.size: 0}.items()):
            pages = memory[used // PAGE * PAGE : start : PAGE]
            pages[...] = pages.copy()
            used = start + length

    def place_of(self, array):
        """Where the first element is, in bytes from the arena's beginning; None if outside."""
        place = array.__array_interface__["data"][0] - self.address
        return place if 0 <= place < self.size else None


# ---------------------------------------------------------------- functions as bytes


class _Shipper(pickle.Pickler):
    """Pickle that knows shared arrays and inner functions."""

    def __init__(self, file, arena, known):
        super().__init__(file, protocol=5)
        self.arena, self.known, self.new = arena, known, {}

    def reducer_override(self, value):
        kind = type(value)
        if kind is np.ndarray:
            place = self.arena.place_of(value) if value.size else None
            if place is not None:
                return _shared_array, (place, value.shape, value.strides, value.dtype.str)
            if value.nbytes > LARGEST_COPY:
                raise CannotShip(f"array of shape {value.shape} in private memory")
            return _read_only, (value.shape, value.dtype.str, value.tobytes())
        if kind is types.FunctionType and "<locals>" in value.__qualname__ and value.__module__ != "__main__":
            code = value.__code__
            bytes_of_code = None
            if id(code) not in self.known and id(code) not in self.new:
                bytes_of_code = marshal.dumps(code)
                self.new[id(code)] = code
            cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
            return _function, (id(code), bytes_of_code, value.__module__, value.__defaults__, cells)
        _check_travels(value if isinstance(value, type | types.FunctionType) else kind)
        return NotImplemented


@functools.lru_cache(maxsize=1024)
def _check_travels(kind):
    """Raises CannotShip for types and functions that a worker process cannot have, or shall not."""
    if kind.__module__ == "__main__":
        raise CannotShip("a worker process has a __main__ of its own")
    if getattr(kind, "stays_home", False) is True:
        raise CannotShip(f"{kind.__name__} belongs to the main process")


def _shared_array(place, shape, strides, dtype):
    return np.ndarray(shape, dtype, _arena.map, place, strides)


def _read_only(shape, dtype, data):
    return np.frombuffer(data, dtype).reshape(shape)  # of bytes, which nobody can write to


def _function(key, bytes_of_code, module, defaults, cells):
    if bytes_of_code is not None:
        _code[key] = marshal.loads(bytes_of_code)
    names = vars(importlib.import_module(module))
    return types.FunctionType(_code[key], names, None, defaults, tuple(map(types.CellType, cells)))


_code = {}  # in a worker: what it was sent before
_arena = None


# ---------------------------------------------------------------- the workers


class Pool:
    """`count` worker processes."""

    def __init__(self, arena, count):
        self.arena, self.lock = arena, threading.Lock()
        self.known = {}  # id → code that every worker has been sent; kept, so that no other gets its id
        self.tickets = Tickets.create(1 + count)
        self.members = [_Member(arena, self.tickets, 1 + i) for i in range(count)]
        atexit.register(self.close)

    def __len__(self):
        return len(self.members)

    def run(self, body, count, processes):
        """body(0) … body(count − 1), distributed over this process and up to `processes` − 1 workers; True when done.

        False, and nothing done, where `body` can't be shipped or the workers are not ready or busy.
        """
        ready = self.members and count <= Tickets.MOST and all(member.ready() for member in self.members)
        if not ready or not self.lock.acquire(blocking=False):
            return False
        try:
            buffer = io.BytesIO()
            shipper = _Shipper(buffer, self.arena, self.known)
            try:
                shipper.dump(body)
            except (CannotShip, pickle.PicklingError, TypeError, AttributeError):
                return False
            busy = self.members[: min(processes, count) - 1]
            in_step = False
            try:
                self.tickets.put(count, 1 + len(busy))
                for member in busy:
                    member.send(buffer.getbuffer())
                if len(busy) == len(self.members):
                    self.known.update(shipper.new)
                try:
                    for index in self.tickets:
                        body(index)
                finally:
                    for _ in self.tickets:  # left by an exception
                        pass
                    failures = [member.wait() for member in busy]
                    in_step = True
            finally:
                if not in_step:
                    self._abandon()
            for failure in filter(None, failures):
                self.known.clear()  # it may have failed before it had read the code
                raise failure
            return True
        finally:
            self.lock.release()

    def _abandon(self):
        """Kill the workers: one is gone, or Ctrl-C came while they were being told or heard.

        What is left in the pipes belongs to that work, and must not be taken for an answer to the next.
        """
        members, self.members = self.members, []
        for member in members:
            member.process.kill()
            member.close()
        for _ in self.tickets:
            pass

    def forget(self):
        """In the child of a fork: the workers are the parent's."""
        atexit.unregister(self.close)
        for member in self.members:
            os.close(member.tasks)  # or a worker would not see the parent end
            os.close(member.results)
        self.tickets.close()

    def wait(self):
        """Until all of them are ready. Raises TinyfaceError where they can't be."""
        until = time.monotonic() + 60
        while not all(member.ready() for member in self.members):
            if time.monotonic() > until or any(m.process.poll() is not None for m in self.members):
                raise TinyfaceError("the worker processes did not start; use TINYFACE_THREADS=1")
            time.sleep(0.005)

    def close(self):
        """End the workers."""
        atexit.unregister(self.close)
        for member in self.members:
            member.close()
        self.tickets.close()


class _Member:
    """One worker process and the two pipes to it."""

    def __init__(self, arena, tickets, number):
        task_out, self.tasks = os.pipe()
        self.results, result_in = os.pipe()
        os.set_blocking(self.results, False)
        pipes = task_out, result_in, *tickets.outs
        numbers = ", ".join(map(str, (arena.file, arena.size, number, *pipes)))
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{PROGRAM}({numbers})"],
            pass_fds=(arena.file, *pipes),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the main process
        )
        os.close(task_out)
        os.close(result_in)
        self.started = False

    def ready(self):
        """Whether it has said that it is there."""
        if not self.started:
            with contextlib.suppress(BlockingIOError):
                self.started = os.read(self.results, 1) == b"+"
        return self.started

    def send(self, function):
        view = memoryview(LENGTH.pack(len(function)) + function)
        try:
            while view:
                view = view[os.write(self.tasks, view) :]
        except BrokenPipeError:
            raise self._gone() from None

    def wait(self):
        """Until it has answered: None, or the exception that stopped it."""
        while True:
            try:
                answer = os.read(self.results, 1 << 16)
            except BlockingIOError:
                os.sched_yield()
                continue
            if not answer:
                return self._gone()
            return None if answer == b"." else pickle.loads(answer)

    def _gone(self):
        return TinyfaceError(
            "a worker process has ended, perhaps out of memory; continue with --resume, or use TINYFACE_THREADS=1"
        )

    def close(self):
        with contextlib.suppress(OSError):
            os.close(self.tasks)  # it reads the end of the pipe, and leaves
        self.process.wait()
        os.close(self.results)


class Tickets:
    """Numbers of blocks, to be drawn by any process: its own part first, then what is left of the others.

    Shares are cut like the rows of an image, so a process finds in its cache what it wrote for the operation before.
    Pipes serve, one for each part: what one process has read from them no other gets.
    """

    SIZE, MOST = 2, 1 << 14  # bytes of a number; as many of them as fit into a pipe's buffer
    MOST_PARTS = 8  # pipes at most, each to be found empty at the end; more processes have one part together

    def __init__(self, outs, intos=(), own=0):
        own %= len(outs)
        self.outs, self.intos = outs[own:] + outs[:own], intos

    @classmethod
    def create(cls, processes):
        outs, intos = zip(*(os.pipe() for _ in range(min(processes, cls.MOST_PARTS))), strict=True)
        for out in outs:
            os.set_blocking(out, False)
        return cls(outs, intos)

    def put(self, count, processes):
        """The numbers 0 … count − 1, in parts for the first so many processes."""
        intos = self.intos[:processes]
        for i, into in enumerate(intos):
            part = range(i * count // len(intos), (i + 1) * count // len(intos))
            if part:
                os.write(into, array("H", part).tobytes())

    def __iter__(self):
        for out in self.outs:
            with contextlib.suppress(BlockingIOError):  # none left
                while True:
                    yield int.from_bytes(os.read(out, self.SIZE), sys.byteorder)

    def close(self):
        for end in (*self.outs, *self.intos):
            os.close(end)


def serve(file, size, number, tasks, results, *tickets):
    """What a worker process does until the main process closes the pipe or dies."""
    global _arena
    _arena = Arena(file, size)
    tickets = Tickets(tickets, own=number)
    os.set_blocking(tasks, False)
    os.write(results, b"+")
    while (length := _read(tasks, LENGTH.size)) is not None:
        answer = b"."
        try:
            body = pickle.loads(_read(tasks, *LENGTH.unpack(length)))
            for index in tickets:
                body(index)
        except BaseException as error:
            try:
                answer = pickle.dumps(error)
                pickle.loads(answer)  # some can't be made again from what they say of themselves
                if len(answer) > LARGEST_COPY:
                    raise ValueError("too long for the pipe")
            except Exception:
                answer = pickle.dumps(RuntimeError(f"in a worker process: {error!r:.1000}"))
        body = None  # lets go of the arrays
        os.write(results, answer)


def memory_of(processes, arena):
    """Bytes that these processes hold by themselves, and those of the arena that were ever written to."""
    private = 0
    for process in processes:
        with open(f"/proc/{process}/status", encoding="ascii", errors="replace") as file:
            private += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))
    return private + (os.fstat(arena.file).st_blocks * 512 if arena else 0)


def _read(pipe, length):
    """`length` bytes, None at the end of the pipe. Looks again and again for a while, then sleeps."""
    import select

    parts, since = [], time.perf_counter()
    while length:
        try:
            part = os.read(pipe, length)
        except BlockingIOError:
            if time.perf_counter() - since > SPIN_SECONDS:
                select.select([pipe], [], [])
            continue
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
