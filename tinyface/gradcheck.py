"""Gradients compared with finite differences, for users, tests and `cli.py gradcheck`.

For a function f of tensors and random weights v, L = Σ v·f(…) is a scalar. For each element x_i of an input

    right = (L(x_i + ε) − L(x_i)) / ε,     left = (L(x_i) − L(x_i − ε)) / ε

Where f is smooth both agree with ∂L/∂x_i, and their mean is exact to ε². Where they disagree there is a kink
(PReLU at 0, a tie in max pooling): any slope between the two is a valid subgradient.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from . import backend, ops
from .core import Tensor, no_grad


class GradcheckError(AssertionError):
    """A gradient that its differences contradict. The text names op, input, index and both numbers."""


def gradcheck(
    fn: Callable[..., Tensor],
    *inputs: Tensor | np.ndarray,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    samples: int | None = None,
    seed: int = 0,
) -> bool:
    """Compare fn's gradients with central differences in float64; True if they agree.

    fn: tensors → tensor; must give the same result each time it is called.
    inputs: tensors or arrays; floating ones are checked (in float64), others are handed on as they are.
    samples: check only so many random elements of each input; all unless given.
    Raises GradcheckError naming op, input, index and both numbers.
    """
    rng = np.random.default_rng(seed)
    tensors = [_to_float64(x) for x in inputs]
    checked = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
    output = fn(*tensors)
    op = output.creator.name if output.creator else getattr(fn, "__name__", "function")
    v = backend.to_device(np.asarray(rng.standard_normal(output.shape)), output.device)
    output.backward(v)

    def projected():
        with no_grad():
            return float((fn(*tensors).data * v).sum())

    here = projected()
    for i in checked:
        x, grad = tensors[i].data, tensors[i].grad
        grad = np.zeros_like(x) if grad is None else grad
        chosen = range(x.size)
        if samples is not None and samples < x.size:
            chosen = sorted(rng.choice(x.size, samples, replace=False))
        for flat in chosen:
            index = tuple(int(k) for k in np.unravel_index(flat, x.shape))
            before = float(x[index])  # a view on a GPU, which would change with x
            x[index] = before + eps
            above = projected()
            x[index] = before - eps
            below = projected()
            x[index] = before
            right, left, analytic = (above - here) / eps, (here - below) / eps, float(grad[index])
            _compare(op, i, index, analytic, right, left, abs(here) * 1e-15 / eps + atol, rtol)
    return True


def _to_float64(x):
    data = x.data if isinstance(x, Tensor) else x
    if not hasattr(data, "dtype") or data.dtype.kind != "f":
        return x
    return Tensor(data.astype(np.float64), requires_grad=True)


def _compare(op, i, index, analytic, right, left, atol, rtol):
    numeric = (right + left) / 2
    slack = atol + rtol * max(abs(analytic), abs(numeric))
    kink = abs(right - left) > 100 * slack
    low, high = (min(left, right), max(left, right)) if kink else (numeric, numeric)
    if not low - slack <= analytic <= high + slack:
        between = f", at a kink between {left:.9g} and {right:.9g}" if kink else ""
        here = f"{op}: gradient of input {i} at {index}"
        raise GradcheckError(f"{here} is {analytic:.9g}, differences say {numeric:.9g}{between}")


# ---------------------------------------------------------------- one example of every op

# Small, but awkward: odd sizes, broadcasting, ties, kinks, labels to ignore. `cli.py gradcheck` runs them.


def check_example(name: str, seed: int = 0, device: str = "cpu") -> int:
    """`gradcheck` of the example of one op, on "cpu" or "cuda"; returns how many elements were compared."""
    fn, inputs = EXAMPLES[name](np.random.default_rng(seed))
    gradcheck(fn, *(backend.to_device(x, device) for x in inputs))
    return sum(x.size for x in inputs)


def _of(fn, *shapes):
    """An example: fn on normally distributed inputs of these shapes."""
    return lambda rng: (fn, [rng.standard_normal(shape) for shape in shapes])


def _with_kinks(shape):
    """Random numbers, every third of them exactly 0."""

    def draw(rng):
        x = rng.standard_normal(shape)
        x.ravel()[::3] = 0
        return x

    return draw


def _max_pool2d(rng):
    x = rng.integers(0, 3, (2, 2, 5, 7)).astype(np.float64)  # few values: most windows have a tie
    return lambda x: ops.max_pool2d(x, 2, ceil_mode=True), [x]


def _batch_norm(rng):
    x, gamma, beta = rng.standard_normal((3, 3, 3, 5)) * 2 + 1, rng.standard_normal(3), rng.standard_normal(3)
    return lambda x, *tensors: ops.batch_norm(x, *tensors, *_statistics(x), training=True), [x, gamma, beta]


def _batch_norm_prelu(rng):
    inputs = [*_batch_norm(rng)[1], rng.standard_normal(3)]
    return lambda x, *tensors: ops.batch_norm_prelu(x, *tensors, *_statistics(x), training=True), inputs


def _statistics(x):
    """Running mean and variance on the device of x."""
    return [backend.to_device(a, x.device) for a in (np.zeros(3), np.ones(3))]


def _dropout(rng):
    state = backend.get_random_state()

    def fn(x):
        backend.set_random_state(state)  # the same elements each time
        return ops.dropout(x, 0.4)

    return fn, [rng.standard_normal((3, 7))]


def _masked(op):
    def example(rng):
        masks = rng.random((2, 3, 3, 5))
        masks[0, 1] = 0
        masks[0, 1, 1, 2] = 1  # a region of a single pixel
        return op, [rng.standard_normal((2, 2, 3, 5)), masks]

    return example


def _softmax_cross_entropy(rng):
    labels = rng.integers(-1, 4, (2, 3, 5))  # −1: not labelled
    return lambda x: ops.softmax_cross_entropy(x, labels), [3 * rng.standard_normal((2, 4, 3, 5))]


def _pair_loss(rng):
    ids = np.array([2, 0, 2, 1, 2, 0])
    return lambda f: ops.pair_loss(f, backend.to_device(ids, f.device)), [rng.standard_normal((6, 3))]


def _sigmoid_cross_entropy(rng):
    targets, weights = rng.integers(0, 2, (3, 5)), rng.random(5) * 4
    return lambda x: ops.sigmoid_cross_entropy(x, targets, weights), [4 * _with_kinks((3, 5))(rng)]


_deconvolve = partial(ops.conv_transpose2d, stride=2, padding=1, output_padding=1)
_dilated = partial(ops.locally_shared_conv2d, dilation=2)
EXAMPLES = {
    "add": _of(ops.add, (2, 3, 5), (3, 1)),
    "avg_pool2d": _of(lambda x: ops.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 2, 5, 6)),
    "batch_norm": _batch_norm,
    "batch_norm_prelu": _batch_norm_prelu,
    "concat": _of(lambda *x: ops.concat(x), (2, 1, 3), (2, 4, 3), (2, 2, 3)),
    "conv2d": _of(lambda x, w, b: ops.conv2d(x, w, b, stride=2, padding=1), (2, 3, 5, 7), (4, 3, 3, 3), (4,)),
    "conv_transpose2d": _of(_deconvolve, (2, 3, 3, 4), (3, 2, 3, 3), (2,)),
    "dropout": _dropout,
    "getitem": _of(lambda x: ops.getitem(x, (slice(None), slice(1, 4, 2), ..., -1)), (2, 5, 3, 3)),
    "global_avg_pool2d": _of(ops.global_avg_pool2d, (2, 3, 5, 7)),
    "linear": _of(ops.linear, (2, 3, 5), (4, 5), (4,)),
    "locally_shared_conv2d": _of(_dilated, (2, 2, 5, 7), (2, 3, 3, 2, 2, 2), (2, 3, 3)),
    "max_pool2d": _max_pool2d,
    "mean": _of(lambda x: ops.mean(x, axis=(0, 2)), (2, 3, 5)),
    "mul": _of(ops.mul, (2, 3, 5), (3, 1)),
    "pair_loss": _pair_loss,
    "prelu": lambda rng: (ops.prelu, [_with_kinks((2, 3, 3, 5))(rng), rng.standard_normal(3)]),
    "region_gate": _masked(ops.region_gate),
    "region_pool": _masked(ops.region_pool),
    "relu": lambda rng: (ops.relu, [_with_kinks((3, 7))(rng)]),
    "reshape": _of(lambda x: ops.reshape(x, (3, -1)), (2, 3, 5)),
    "sigmoid": lambda rng: (ops.sigmoid, [6 * _with_kinks((3, 7))(rng)]),
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "softmax": _of(lambda x: ops.softmax(x, axis=1), (2, 4, 3, 3)),
    "softmax_cross_entropy": _softmax_cross_entropy,
    "spatial_pyramid_pool": _of(lambda x: ops.spatial_pyramid_pool(x, (1, 2, 3)), (2, 3, 5, 7)),
    "sum": _of(lambda x: ops.sum(x, axis=1, keepdims=True), (2, 3, 5)),
    "upsample_nearest": _of(lambda x: ops.upsample_nearest(x, (5, 9)), (2, 2, 3, 4)),
}
