"""From the definition to the kernel, one change at a time: the times of docs/kernels.md.

    python benchmarks/kernel_steps.py

Maps of 16 × 32 × 55 × 45, float32, one thread; the least of several runs, the steps in turn. Each step's result is
compared with the reference's.
"""

import argparse
import time

import numpy as np

from tinyface import Tensor, backend, kernels, no_grad, ops
from tinyface.kernels import algorithms
from tinyface.runtime.layout import as_hwnc, as_nchw, channels_last

N, C, H, W = 16, 32, 55, 45


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


X, G = channels_last(numbers(N, C, H, W)), channels_last(numbers(N, C, H, W))
FILTERS = numbers(C, C, 3, 3) / 17
GAMMA, BETA, SLOPE = numbers(C), numbers(C), np.full(C, 0.25, np.float32)
MEAN, VAR = numbers(C), np.ones(C, np.float32)


def run(implementation, operation, *arrays, algorithm=None):
    """Forward of an operation."""
    with kernels.use(implementation), algorithms.force(algorithm), no_grad():
        return [operation(*map(Tensor, arrays)).data]


def run_both(implementation, operation, *arrays, g=G):
    """Forward and backward."""
    inputs = [Tensor(a, requires_grad=True) for a in arrays]
    with kernels.use(implementation):
        y = operation(*inputs)
        y.backward(g)
    return [y.data, *(x.grad for x in inputs)]


# ---------------------------------------------------------------- convolution, forward


def convolve(x, w):
    return ops.conv2d(x, w, padding=1)


def one_matrix(x, w):
    """im2col on maps (H, W, N, C), where a window's rows are contiguous, without blocks."""
    x = np.pad(as_hwnc(x), ((1, 1), (1, 1), (0, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1)).transpose(0, 1, 2, 4, 5, 3)
    matrix = w.transpose(2, 3, 1, 0).reshape(9 * C, C)
    return [as_nchw((windows.reshape(-1, 9 * C) @ matrix).reshape(H, W, N, C))]


def normalised(x, w):
    return ops.batch_norm_prelu(convolve(x, w), GAMMA, BETA, SLOPE, MEAN, VAR, training=False)


def with_epilogue(x, w):
    return ops.conv_norm_prelu(x, w, GAMMA, BETA, SLOPE, MEAN, VAR, padding=1)


CONVOLUTION = {
    "reference": lambda: run("reference", convolve, X, FILTERS),
    "layout (H, W, N, C), one matrix": lambda: one_matrix(X, FILTERS),
    "in blocks": lambda: run("optimized", convolve, X, FILTERS, algorithm="im2col"),
    "Winograd, 4×4 tiles": lambda: run("optimized", convolve, X, FILTERS, algorithm="winograd4"),
    "Winograd, 6×6 tiles": lambda: run("optimized", convolve, X, FILTERS, algorithm="winograd6"),
}
BLOCK = {
    "reference": lambda: run("reference", with_epilogue, X, FILTERS),
    "two kernels": lambda: run("optimized", normalised, X, FILTERS),
    "one kernel with an epilogue": lambda: run("optimized", with_epilogue, X, FILTERS),
}

# ---------------------------------------------------------------- batch normalisation and PReLU, both ways


def norm_then_prelu(x, gamma, beta, slope):
    running = np.zeros(C, np.float32), np.ones(C, np.float32)
    return ops.prelu(ops.batch_norm(x, gamma, beta, *running, training=True), slope)


def norm_prelu(x, gamma, beta, slope):
    return ops.batch_norm_prelu(x, gamma, beta, slope, np.zeros(C, np.float32), np.ones(C, np.float32), True)


NORM_INPUTS = X, GAMMA, BETA, SLOPE
NORM = {
    "reference": lambda: run_both("reference", norm_then_prelu, *NORM_INPUTS),
    "in blocks": lambda: run_both("optimized", norm_then_prelu, *NORM_INPUTS),
    "one kernel": lambda: run_both("optimized", norm_prelu, *NORM_INPUTS),
}

# ---------------------------------------------------------------- max pooling, both ways


def pool(x):
    return ops.max_pool2d(x, 2, ceil_mode=True)


POOLED = G[:, :, :28, :23]


def whole_maps():
    """Comparisons of four views of the padded map, whole maps at a time."""
    x = np.pad(as_hwnc(X), ((0, 1), (0, 1), (0, 0), (0, 0)), constant_values=-np.inf)
    best, argmax = x[::2, ::2].copy(), np.zeros((28, 23, N, C), np.uint8)
    for cell, (u, v) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        later = x[u::2, v::2] > best
        np.copyto(best, x[u::2, v::2], where=later)
        argmax[later] = cell
    g, dx = as_hwnc(POOLED), np.zeros_like(x)
    for cell, (u, v) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        dx[u::2, v::2] = np.where(argmax == cell, g, 0)
    return [as_nchw(best), as_nchw(dx[:H, :W])]


POOL = {
    "reference": lambda: run_both("reference", pool, X, g=POOLED),
    "layout (H, W, N, C), whole maps": whole_maps,
    "in blocks, without branches": lambda: run_both("optimized", pool, X, g=POOLED),
}

TABLES = {
    "convolution 3×3, forward": CONVOLUTION,
    "convolution, batch norm, PReLU in evaluation": BLOCK,
    "batch norm and PReLU in training, both ways": NORM,
    "max pooling 2×2, both ways": POOL,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="runs of each step (default: 15)")
    rounds = parser.parse_args().rounds
    backend.set_threads(1)
    for title, steps in TABLES.items():
        wanted, best = steps["reference"](), dict.fromkeys(steps, float("inf"))
        for name, step in steps.items():
            for got, reference in zip(step(), wanted, strict=True):
                # Not closer, as near 0 rounding decides on which side of PReLU a number lies.
                assert np.linalg.norm(got - reference) < 5e-3 * np.linalg.norm(reference), name
        for _ in range(rounds):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                best[name] = min(best[name], time.perf_counter() - start)
        print(f"| {title} | ms |\n|---|---|")
        for name, seconds in best.items():
            print(f"| {name} | {seconds * 1e3:.1f} |")
        print()


if __name__ == "__main__":
    main()
