"""Gradients held against differences: the check that students, tests and `cli.py gradcheck` share.

For a function f of tensors and random weights v, L = Σ v·f(…) is a scalar. For each element x_i of an input

    right = (L(x_i + ε) − L(x_i)) / ε,     left = (L(x_i) − L(x_i − ε)) / ε

On smooth ground both agree with ∂L/∂x_i, and their mean is exact to ε². Where they disagree there is a kink
(PReLU at 0, a tie in max pooling): any slope between the two is a valid subgradient.
"""

import numpy as np

from . import backend
from .core import Tensor, no_grad


class GradcheckError(AssertionError):
    """A gradient that its differences contradict. The text names op, input, index and both numbers."""


def gradcheck(fn, *inputs, eps=1e-6, rtol=1e-5, atol=1e-7, samples=None, seed=0):
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
            before = x[index]
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
        raise GradcheckError(
            f"{op}: gradient of input {i} at {index} is {analytic:.9g}, differences say {numeric:.9g}{between}"
        )
