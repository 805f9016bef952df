"""Where the time of a training step or an inference goes: each operation's own time, watched from outside."""

import contextlib
import math
import time
from collections import defaultdict
from dataclasses import dataclass

from tinyface.core import Function

VIEWS = ("getitem", "reshape")  # they move no bytes


@dataclass
class Spent:
    """Of one operation, over a step: seconds, products' floating-point operations, bytes in and out."""

    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0


OPTIMIZER, REST = ("optimizer", "step"), ("the rest", "")


def profile_step(ours, kind, rounds):
    """Profile a training step or an inference of `pairs.Ours` after a warm-up; of the rounds, the fastest.

    → seconds of the whole, and {(operation, "forward" or "backward"): Spent} with OPTIMIZER and REST, which
    add up to it. The rest is the engine's: sums of gradients, memory given back, the walk through the graph.
    """
    getattr(ours, kind)()
    return min((_one_step(ours, kind) for _ in range(rounds)), key=lambda profile: profile[0])


def _one_step(ours, kind):
    spent = defaultdict(Spent)
    with watching(spent), _watching_optimizer(ours.optimizer, spent):
        started = time.perf_counter()
        getattr(ours, kind)()
        total = time.perf_counter() - started
    spent[REST] = Spent(1, total - sum(s.seconds for s in spent.values()))
    return total, dict(spent)


@contextlib.contextmanager
def _watching_optimizer(optimizer, spent):
    step = optimizer.step

    def timed():
        started = time.perf_counter()
        step()
        seconds = time.perf_counter() - started
        # AdaGrad reads weight, gradient and sum of squares, and writes the first and the last.
        nbytes = 5 * sum(parameter.data.nbytes for parameter in optimizer.parameters)
        spent[OPTIMIZER] = Spent(1, seconds, 0, nbytes)

    optimizer.step = timed
    try:
        yield
    finally:
        del optimizer.step


@contextlib.contextmanager
def watching(spent):
    """Note every Function's forward and backward in `spent` while the context lasts.

    Time is a method's own: what it spends in another Function's is that one's.
    """
    clock, before = _SelfTime(), []
    for kind in subclasses(Function):
        for method in {"forward", "backward"} & set(vars(kind)):
            original = vars(kind)[method]
            before.append((kind, method, original))
            setattr(kind, method, _watched(original, method, spent, clock))
    try:
        yield
    finally:
        for kind, method, original in before:
            setattr(kind, method, original)


def subclasses(kind):
    """All classes below `kind`."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


class _SelfTime:
    """A stack of the methods under way; each call that ends takes its time off the one that made it."""

    def __init__(self):
        self.inner = [0.0]
        self.functions = [None]

    def run(self, method, function, *arrays):
        """(what the method returns, its own seconds)."""
        self.inner.append(0.0)
        self.functions.append(function)
        started = time.perf_counter()
        try:
            result = method(function, *arrays)
        finally:
            total = time.perf_counter() - started
            self.functions.pop()
            own = total - self.inner.pop()
            self.inner[-1] += total
        return result, own


def _watched(method, name, spent, clock):
    def call(function, *arrays):
        if clock.functions[-1] is function:  # super().forward(…): the call is being watched already
            return method(function, *arrays)
        result, seconds = clock.run(method, function, *arrays)
        inputs = arrays if name == "forward" else tuple(tensor.data for tensor in function.inputs)
        results = result if isinstance(result, tuple) else (result,)
        output = results[0] if name == "forward" else arrays[0]
        products = 1 if name == "forward" else sum(function.needs_grad[:2])  # one for each gradient
        op = name_of(function)
        entry = spent[label(op, inputs), name]
        entry.calls += 1
        entry.seconds += seconds
        entry.flops += products * flops(op, [x.shape for x in inputs], output.shape)
        if function.name not in VIEWS:
            moved = results if name == "forward" else (*arrays, *results)
            entry.nbytes += sum(array.nbytes for array in (*inputs, *moved) if array is not None)
        return result

    return call


def name_of(function):
    """The operation's name; conv_norm_prelu's tells which convolution it has."""
    return (
        function.name.replace("conv", "conv_transpose")
        if getattr(function, "transposed", False)
        else function.name
    )


def label(op, inputs):
    """The operation's name; convolutions of different shapes are told apart."""
    if not op.startswith("conv") or len(inputs) < 2:
        return op
    x, w = inputs[:2]
    before, after = w.shape[:2] if op.startswith("conv_transpose") else w.shape[1::-1]
    kernel, size = (f"{a}×{b}" for a, b in (w.shape[2:], x.shape[2:]))
    return f"{op} {kernel}, {before} → {after}, {size}"


def flops(op, inputs, output):
    """Of the products in forward, from the shapes; 0 for what is not a product. A multiply-add counts as two."""
    if op.startswith("conv_transpose"):
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if op.startswith("conv") and len(inputs) > 1:
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    if op == "linear":
        return 2 * math.prod(output) * inputs[1][1]
    if op == "region_pool":
        return 2 * math.prod(output) * math.prod(inputs[0][2:])
    return 0
