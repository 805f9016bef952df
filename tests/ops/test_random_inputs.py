"""Random inputs to every op: whatever their layouts, types and sizes, the result is that of plain float64 arrays.

On a GPU an op also does with types what it does on the CPU: the same type of result, or the same kind of error.
`TINYFACE_CASES=1000` tries a thousand cases of each op; a failure names its op and the case's number.
"""

import contextlib
import os
from dataclasses import dataclass, field

import numpy as np
import pytest

from tinyface import Tensor, TinyfaceError, backend, ops
from tinyface.gradcheck import EXAMPLES
from tinyface.kernels import algorithms

COUNT = int(os.environ.get("TINYFACE_CASES", 10))  # of each op
FLOATS = [np.float32, np.float64]
OTHERS = [np.float16, np.int32, np.int64, np.uint8, np.bool_]
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
WAYS = {"cpu": ["winograd4", "winograd6", "im2col"], "cuda": ["winograd", "direct", "im2col", "tf32"]}
TOLERANCE = {
    np.float16: 1e-2,
    np.float32: 3e-5,
    np.float64: 1e-10,
}  # as a share of the largest value beside it


@dataclass
class Case:
    """run(*tensors, *others) → tensor. inputs: what becomes tensors; others: arrays, each with types it may have."""

    run: callable
    inputs: list
    others: list = field(default_factory=list)
    trained: bool = True  # whether it has a gradient
    ways: bool = False  # whether it is a convolution that may be computed in several
    scale: float = 1.0  # of what cancels


# ---------------------------------------------------------------- a random case of each op


def length(rng, most, least=0):
    """Mostly small, also 1 and 0."""
    if least == 0 and rng.random() < 0.04:
        return 0
    return int(rng.integers(max(least, 1), most + 1))


def shape(rng, ndim, most=7):
    return tuple(length(rng, most) for _ in range(ndim))


def maps(rng, most=12, channels=9):
    return length(rng, 3), length(rng, channels), length(rng, most), length(rng, most)


def option(rng, chance=0.5):
    return bool(rng.random() < chance)


def elementwise(op):
    def case(rng):
        a = list(shape(rng, rng.integers(0, 5)))
        b = [1 if option(rng, 0.3) else n for n in a][rng.integers(0, len(a) + 1) if option(rng) else 0 :]
        shapes = [a, b] if option(rng) else [b, a]
        return Case(op, [rng.standard_normal(s) for s in shapes])

    return case


def reduction(op):
    def case(rng):
        ndim = int(rng.integers(0, 5))
        axis = tuple(int(i) for i in range(ndim) if option(rng))
        axis = None if option(rng, 0.3) else axis[0] - ndim if len(axis) == 1 else axis
        keepdims = option(rng)
        return Case(lambda x: op(x, axis=axis, keepdims=keepdims), [rng.standard_normal(shape(rng, ndim))])

    return case


def concat(rng):
    ndim = int(rng.integers(1, 5))
    axis, same = int(rng.integers(-ndim, ndim)), list(shape(rng, ndim))
    arrays = []
    for _ in range(rng.integers(1, 5)):
        same[axis] = length(rng, 5)
        arrays.append(rng.standard_normal(same))
    return Case(lambda *arrays: ops.concat(arrays, axis=axis), arrays)


def getitem(rng):
    x = rng.standard_normal([length(rng, 7, 1) for _ in range(rng.integers(1, 5))])
    index = []
    for n in x.shape[: rng.integers(0, x.ndim + 1)]:
        start, stop, step = (
            int(rng.integers(-n, n)),
            int(rng.integers(-n, n + 1)),
            int(rng.choice([1, 2, -1])),
        )
        index.append(start if option(rng, 0.3) else slice(start, stop, step))
    if option(rng):
        index.append(...)
    return Case(lambda x: ops.getitem(x, tuple(index)), [x])


def reshape(rng):
    x = rng.standard_normal(shape(rng, rng.integers(0, 5)))
    target, left = [], x.size
    while left > 1 and option(rng, 0.8):
        target.append(int(rng.choice([d for d in range(1, left + 1) if left % d == 0])))
        left //= target[-1]
    target.append(-1 if x.size and option(rng) else left)
    return Case(lambda x: ops.reshape(x, target), [x])


def linear(rng):
    lead, n_in, n_out = shape(rng, rng.integers(0, 3)), length(rng, 20), length(rng, 20)
    inputs = [rng.standard_normal(s) for s in ((*lead, n_in), (n_out, n_in), (n_out,))]
    return Case(ops.linear, inputs[: 2 + option(rng)])


def pair_loss(rng):
    n = length(rng, 9)
    return Case(
        ops.pair_loss, [rng.standard_normal((n, length(rng, 9)))], [(rng.integers(0, 4, n), INTEGERS)]
    )


def convolution(rng, transposed=False):
    """x, w and the keyword options of a convolution."""
    k = (3, 3) if option(rng) else tuple(int(rng.integers(1, 5)) for _ in range(2))
    s, padding = (1 if option(rng) else int(rng.integers(1, 4))), int(rng.integers(0, 3))
    most, least = [(5, 0), (9, 0), (24, 16)][rng.integers(3)]  # tensor cores are for 16 channels and more
    n, c, o, h, w = (
        length(rng, 3),
        length(rng, most, least),
        length(rng, most, least),
        length(rng, 12),
        length(rng, 12),
    )
    x, w = rng.standard_normal((n, c, h, w)), rng.standard_normal((c, o, *k) if transposed else (o, c, *k))
    return x, w, o, {"stride": s, "padding": padding}


def conv2d(rng):
    x, w, o, options = convolution(rng)
    inputs = [x, w, rng.standard_normal(o)][: 2 + option(rng)]
    return Case(lambda *xs: ops.conv2d(*xs, **options), inputs, ways=True, scale=5)


def conv_transpose2d(rng):
    x, w, o, options = convolution(rng, transposed=True)
    options["output_padding"] = int(rng.integers(0, options["stride"]))
    inputs = [x, w, rng.standard_normal(o)][: 2 + option(rng)]
    return Case(lambda *xs: ops.conv_transpose2d(*xs, **options), inputs, ways=True, scale=5)


def conv_norm_prelu(rng):
    transposed = option(rng)
    x, w, o, options = convolution(rng, transposed)
    gamma, beta, slope, mean, var = (rng.standard_normal(o) for _ in range(5))

    def run(x, w, gamma, beta, slope, mean, var):
        options_here = {"padding": options["padding"], "transposed": transposed}
        return ops.conv_norm_prelu(x, w, gamma, beta, slope, mean, var, **options_here)

    others = [(mean, FLOATS), (var**2 + 0.1, FLOATS)]
    return Case(run, [x, w, gamma, beta, slope], others, trained=False, ways=True, scale=5)


def locally_shared_conv2d(rng):
    (r, s), (kh, kw), dilation = (rng.integers(1, 4, 2), rng.integers(1, 4, 2), int(rng.integers(1, 3)))
    n, c, o = length(rng, 3), length(rng, 5), length(rng, 5)
    h, w = (int(m + (k - 1) * dilation + rng.integers(0, 5)) for m, k in ((r, kh), (s, kw)))
    shapes = [(n, c, h, w), (r, s, o, c, kh, kw), (r, s, o)][: 2 + option(rng)]
    return Case(
        lambda *xs: ops.locally_shared_conv2d(*xs, dilation=dilation),
        [rng.standard_normal(q) for q in shapes],
    )


def normalisation(op, prelu):
    def case(rng):
        x = rng.standard_normal((length(rng, 4), length(rng, 9), *shape(rng, rng.integers(0, 3))))
        c, training = x.shape[1], option(rng)
        gamma, beta, slope, mean, var = (rng.standard_normal(c) for _ in range(5))
        # Few values may lie close together, and the gradient is divided by their deviation; z = 0 is a kink.
        x += 3 * (np.arange(x.size // max(c, 1)) % 5).reshape(len(x), 1, *x.shape[2:]) if c else 0
        beta += np.where(beta < 0, -9, 9) if prelu else 0

        def run(x, *arrays):
            *parameters, mean, var = arrays
            return op(x, *parameters, mean, var, training)

        inputs = [x, gamma, beta, slope] if prelu else [x, gamma, beta]
        return Case(run, inputs, [(mean, FLOATS), (var**2 + 0.1, FLOATS)], scale=30)

    return case


def dropout(rng):
    p, seed = float(rng.choice([0.1, 0.5, 0.9])), int(rng.integers(1000))

    def run(x):
        backend.seed(seed)
        return ops.dropout(x, p)

    return Case(run, [rng.standard_normal(shape(rng, rng.integers(0, 5)))])


def pooling(op):
    def case(rng):
        k, s = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        p, ceil_mode = int(rng.integers(0, k // 2 + 1)), option(rng)
        x = rng.integers(-3, 4, maps(rng)).astype(np.float64)  # many ties
        return Case(lambda x: op(x, k, s, p, ceil_mode), [x])

    return case


def global_avg_pool2d(rng):
    return Case(ops.global_avg_pool2d, [rng.standard_normal(maps(rng))])


def spatial_pyramid_pool(rng):
    levels = tuple(int(level) for level in rng.integers(1, 5, rng.integers(1, 4)))
    return Case(lambda x: ops.spatial_pyramid_pool(x, levels), [rng.standard_normal(maps(rng))])


def upsample_nearest(rng):
    x = rng.standard_normal(maps(rng))
    size = tuple(int(n + rng.integers(0, n + 4)) for n in x.shape[2:])
    return Case(lambda x: ops.upsample_nearest(x, size), [x])


def prelu(rng):
    x = rng.standard_normal(shape(rng, rng.integers(2, 6), 5))
    return Case(ops.prelu, [x, rng.standard_normal(1 if option(rng, 0.3) else x.shape[1])])


def of_regions(op):
    def case(rng):
        n, c, h, w = maps(rng)
        r = length(rng, 20)
        masks = rng.random((n, r, h, w)) + 0.1
        return Case(op, [rng.standard_normal((n, c, h, w)), masks])

    return case


def pointwise(op):
    return lambda rng: Case(op, [4 * rng.standard_normal(shape(rng, rng.integers(0, 5)))])


def softmax(rng):
    ndim = int(rng.integers(1, 5))
    axis, x = int(rng.integers(-ndim, ndim)), 4 * rng.standard_normal(shape(rng, ndim, 20))
    return Case(lambda x: ops.softmax(x, axis=axis), [x])


def softmax_cross_entropy(rng):
    n, c, *rest = shape(rng, rng.integers(2, 5), 20)
    c, ignore = max(c, 1), int(rng.choice([-1, 0, 255]))
    labels = rng.integers(0, c, (n, *rest))
    types = INTEGERS
    if option(rng):
        labels[rng.random(labels.shape) < 0.3] = ignore
        types = {-1: INTEGERS[::2], 0: INTEGERS, 255: INTEGERS[1:]}[ignore]
    return Case(
        lambda x, labels: ops.softmax_cross_entropy(x, labels, ignore),
        [4 * rng.standard_normal((n, c, *rest))],
        [(labels, types)],
    )


def sigmoid_cross_entropy(rng):
    x = 4 * rng.standard_normal(shape(rng, rng.integers(0, 4), 9))
    others = [(rng.integers(0, 2, x.shape), [*FLOATS, *OTHERS])]
    if option(rng):
        weights = x.shape[rng.integers(0, x.ndim + 1) :]
        weights = tuple(1 if option(rng, 0.3) else n for n in weights)
        others.append((rng.random(weights) * 4, FLOATS))
    return Case(ops.sigmoid_cross_entropy, [x], others)


CASES = {
    name: lambda rng, draw=draw: Case(*draw(rng)) for name, draw in EXAMPLES.items()
}  # for an op not below
CASES |= {
    "add": elementwise(ops.add),
    "avg_pool2d": pooling(ops.avg_pool2d),
    "batch_norm": normalisation(ops.batch_norm, prelu=False),
    "batch_norm_prelu": normalisation(ops.batch_norm_prelu, prelu=True),
    "concat": concat,
    "conv2d": conv2d,
    "conv_norm_prelu": conv_norm_prelu,
    "conv_transpose2d": conv_transpose2d,
    "dropout": dropout,
    "getitem": getitem,
    "global_avg_pool2d": global_avg_pool2d,
    "linear": linear,
    "locally_shared_conv2d": locally_shared_conv2d,
    "max_pool2d": pooling(ops.max_pool2d),
    "mean": reduction(ops.mean),
    "mul": elementwise(ops.mul),
    "pair_loss": pair_loss,
    "prelu": prelu,
    "region_gate": of_regions(ops.region_gate),
    "region_pool": of_regions(ops.region_pool),
    "relu": pointwise(ops.relu),
    "reshape": reshape,
    "sigmoid": pointwise(ops.sigmoid),
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "softmax": softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "spatial_pyramid_pool": spatial_pyramid_pool,
    "sum": reduction(ops.sum),
    "upsample_nearest": upsample_nearest,
}


@pytest.fixture(autouse=True)
def same_random_numbers():
    state = backend.get_random_state()
    yield
    backend.set_random_state(state)


def test_every_op_is_here():
    assert set(CASES) == set(ops.__all__)


# ---------------------------------------------------------------- types and layouts


def as_type(array, dtype):
    """The array's values in that type, rounded where that has no fractions, and positive where it has no signs."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iub" and array.dtype.kind == "f":
        array = np.rint(3 * array)
        array = array if dtype.kind == "i" else abs(array)
    return array.astype(dtype)


def draw_types(rng, count):
    """Mostly the float type of the first for all; now and then another."""
    first = rng.choice(FLOATS if option(rng, 0.92) else OTHERS)
    types = [first]
    for _ in range(count - 1):
        types.append(first if option(rng, 0.7) else rng.choice(FLOATS if option(rng, 0.85) else OTHERS))
    return types


def laid_out(array, seed, device, repeats=True):
    """The array on that device: a view of something larger, its axes in any order and direction, with gaps.

    repeats: equal numbers may be one number in memory, which nobody can write to.
    """
    rng = np.random.default_rng(seed)
    xp = np if device == "cpu" else backend.cupy()
    if option(rng, 0.2):
        return backend.to_device(np.array(array, order="C"), device)
    if array.ndim and repeats and option(rng, 0.2):
        axis = int(rng.integers(array.ndim))
        first = array[(slice(None),) * axis + (slice(1),)]
        if array.size and (first == array).all():
            return xp.broadcast_to(laid_out(first, seed + 1, device), array.shape)
    order, steps = rng.permutation(array.ndim), rng.choice([1, 1, 1, 2, -1, -2], array.ndim)
    starts, ends = rng.integers(0, 3, array.ndim), rng.integers(0, 3, array.ndim)
    sizes = [int(a + n * abs(s) + b) for a, n, s, b in zip(starts, array.shape, steps, ends, strict=True)]
    gap = np.nan if array.dtype.kind == "f" else 1
    large = xp.full([sizes[axis] for axis in order], gap, array.dtype).transpose(
        [int(i) for i in np.argsort(order)]
    )
    inside = (
        slice(int(a), int(a + n * abs(s)), int(abs(s)))
        for a, n, s in zip(starts, array.shape, steps, strict=True)
    )
    view = large[(..., *inside)][(..., *(slice(None, None, 1 if s > 0 else -1) for s in steps))]
    view[...] = backend.to_device(np.array(array, order="C"), device)
    return view


@contextlib.contextmanager
def way_of_computing(case, device, rng):
    """A convolution may be forced to one way; → it."""
    way = str(rng.choice(WAYS[device])) if case.ways and option(rng) else None
    try:
        if way == "tf32":
            backend.set_tf32(True)
    except TinyfaceError:  # a GPU without tensor cores
        way = None
    try:
        with algorithms.force(way) if way not in (None, "tf32") else contextlib.nullcontext():
            yield way
    finally:
        backend.set_tf32(False)


def outcome(case, inputs, others, needs, device, seed, layouts=True, upstream=None):
    """{what: array} of output, gradients and the other arrays afterwards; or the error that came instead.

    upstream: the type that the output's gradient is rounded to; the output's own unless given.
    """

    def put(array, number, repeats=True):
        if layouts:
            return laid_out(array, seed + number, device, repeats)
        return backend.to_device(array.copy(), device)

    tensors = [
        Tensor(put(a, 100 * i), need and a.dtype.kind == "f")
        for i, (a, need) in enumerate(zip(inputs, needs, strict=True), 1)
    ]
    others = [put(a, 1000 * i, repeats=False) for i, a in enumerate(others, 1)]
    try:
        y = case.run(*tensors, *others)
        if y.requires_grad:
            y.backward(
                put(np.random.default_rng(seed).standard_normal(y.shape).astype(upstream or y.dtype), 0)
            )
    except (TypeError, ValueError) as error:
        return error
    arrays = {"y": y.data} | {f"other {i}": a for i, a in enumerate(others)}
    arrays |= {f"gradient {i}": t.grad for i, t in enumerate(tensors) if t.grad is not None}
    return {what: backend.to_device(array, "cpu") for what, array in arrays.items()}


def assert_close(got, wanted, tolerance, scale):
    assert set(got) == set(wanted)
    for what, array in wanted.items():
        assert got[what].shape == array.shape, what
        numbers, right = got[what].astype(np.float64), array.astype(np.float64)
        close = tolerance * max(np.abs(right[np.isfinite(right)]).max(initial=0), scale)
        np.testing.assert_allclose(numbers, right, rtol=0, atol=close, err_msg=what)


def types_of(result):
    """The types of all arrays, or the type of an error."""
    if isinstance(result, Exception):
        return TypeError if isinstance(result, TypeError) else ValueError
    return {what: array.dtype for what, array in result.items()}


def one_case(name, number, device):
    rng = np.random.default_rng([sum(name.encode()), number])
    case = CASES[name](rng)
    for array in case.inputs:
        if array.size and array.ndim and option(rng, 0.1):
            array[...] = array.take([0], axis=int(rng.integers(array.ndim)))  # repeated along one axis
    types = draw_types(rng, len(case.inputs))
    inputs = [as_type(a, t) for a, t in zip(case.inputs, types, strict=True)]
    others = [as_type(a, rng.choice(allowed)) for a, allowed in case.others]
    needs = [case.trained and option(rng, 0.8) for _ in inputs]
    given, seed = (case, inputs, others, needs), int(rng.integers(1 << 30))
    floats = [TOLERANCE[a.dtype.type] for a in (*inputs, *others) if a.dtype.kind == "f"]
    tolerance = max(floats, default=TOLERANCE[np.float64])

    with way_of_computing(case, device, rng) as way:
        got = outcome(*given, device, seed)
    if way == "tf32":
        tolerance = 5e-3
    on_cpu = outcome(*given, "cpu", seed) if device == "cuda" else got
    assert types_of(got) == types_of(on_cpu), (got, on_cpu)
    if not isinstance(got, Exception):
        assert_close(got, on_cpu, tolerance, case.scale)
    if not set(types) <= set(FLOATS):
        return
    inputs, others = (
        [a.astype(np.float64) if a.dtype.kind == "f" else a for a in b] for b in (inputs, others)
    )
    upstream = None if isinstance(got, Exception) else got["y"].dtype
    plain = outcome(case, inputs, others, needs, "cpu", seed, layouts=False, upstream=upstream)
    if isinstance(got, Exception):  # shapes that don't fit; or x and w of two types
        assert types_of(got) == types_of(plain) or (isinstance(got, TypeError) and len(set(types)) > 1), got
    else:
        assert_close(got, plain, tolerance, case.scale)
        assert got["y"].dtype in (types[0], np.result_type(*types))
        assert all(got[f"gradient {i}"].dtype == t for i, t in enumerate(types) if f"gradient {i}" in got)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("name", CASES)
def test_equals_plain_float64(name, device):
    for number in range(COUNT):
        try:
            with np.errstate(all="ignore"):
                one_case(name, number, device)
        except (Exception, pytest.fail.Exception) as error:
            raise AssertionError(f"{name}, case {number}: {error}") from error
