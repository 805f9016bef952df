"""Batch normalisation on a GPU, alone or with PReLU (batch_norm.cu): sums of parts first, then the result."""

import math
from pathlib import Path

import numpy as np

from ...ops.batch_norm import BatchNorm
from ...ops.batch_norm_prelu import BatchNormPReLU
from ...runtime.cuda import load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register

KERNELS = Path(__file__).with_suffix(".cu")
BLOCKS = 2048  # as many keep every GPU busy
SMALLEST_PART, LARGEST_PART = 1024, 8192  # values of a channel for one block of 256 threads


@register(BatchNorm, "cuda")
class BatchNormCuda(BatchNorm):
    def forward(self, x, gamma, beta, slope=None):
        xp, dtype, self.x = cupy(), x.dtype, x
        running = [xp.ascontiguousarray(a, dtype) for a in (self.running_mean, self.running_var)]
        c, p = x.shape[1], math.prod(x.shape[2:])
        part = min(max(-(-x.size // BLOCKS), SMALLEST_PART), LARGEST_PART)
        self.parts = max(-(-self.m // part), 1)
        self.sizes = tuple(map(np.int32, (c, p, x.size // c, part)))
        if self.training:
            sums, mean, var = xp.empty((c, self.parts, 2)), xp.empty(c, dtype), xp.empty(c, dtype)
            self._launch("statistics", x, sums, *self.sizes)
            sizes = *self.sizes[1:3], np.int32(self.parts)
            self._reduce("reduce_statistics", x, sums, mean, var, *running, *sizes, np.float64(self.momentum))
            for ours, new in zip((self.running_mean, self.running_var), running, strict=True):
                if new is not ours:  # a copy, as ours is of another type or not contiguous
                    ours[...] = new
        elif any(self.needs_grad):
            mean, var = (a.copy() for a in running)  # a training pass may come before backward
        else:
            mean, var = running
        self.channel = gamma, beta, slope, mean, var
        y = xp.empty_like(x)
        self._launch("normalise", x, *self.channel, y, *self.sizes, dtype.type(self.eps))
        return y

    def backward(self, g):
        x, c = self.x, self.x.shape[1]
        xp, eps = cupy(), x.dtype.type(self.eps)
        sums = xp.empty((c, self.parts, 3))
        grads = [xp.empty(c, x.dtype) for _ in self.needs_grad[1:]]
        dgamma, dbeta, dslope = grads if len(grads) == 3 else (*grads, None)
        through = xp.empty((2, c), x.dtype)
        self._launch("gradient_sums", x, g, *self.channel, sums, *self.sizes, eps)
        sizes = self.sizes[2], np.int32(self.parts)
        options = np.float64(self.eps), np.bool_(self.training)
        var = self.channel[-1]
        self._reduce("reduce_gradients", sums, var, dgamma, dbeta, dslope, through, *sizes, *options)
        dx = None
        if self.needs_grad[0]:
            dx = xp.empty_like(x)
            self._launch("input_gradient", x, g, *self.channel, through, dx, *self.sizes, eps)
        return dx, *grads

    def _launch(self, name, *arguments):
        """A kernel of batch_norm.cu on all values: blocks for each channel and part."""
        block = max(min(-(-self.m // 32) * 32, 256), 32)
        kernel = load_kernels(KERNELS, self.x.dtype).get_function(name)
        kernel((self.x.shape[1], self.parts), (block,), arguments)

    def _reduce(self, name, *arguments):
        """A kernel that makes something of the parts' sums: a warp for each channel."""
        kernel = load_kernels(KERNELS, self.x.dtype).get_function(name)
        kernel((self.x.shape[1],), (32,), arguments)


@register(BatchNormPReLU, "cuda")
class BatchNormPReLUCuda(BatchNormCuda, BatchNormPReLU):
    pass
