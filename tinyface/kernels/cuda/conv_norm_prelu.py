"""Convolution, then batch normalisation and PReLU in place (conv_norm_prelu.cu)."""

from pathlib import Path

import numpy as np

from ...ops.conv_norm_prelu import ConvNormPReLU
from ...runtime.cuda import launch, load_kernels
from ...runtime.devices import cupy
from ...runtime.dispatch import register
from .conv2d import convolve, input_gradient

KERNELS = Path(__file__).with_suffix(".cu")
PIXELS = 1024  # of a block, as in the .cu file
BLOCK = 256  # threads


@register(ConvNormPReLU, "cuda")
class ConvNormPReLUCuda(ConvNormPReLU):
    def forward(self, x, w, gamma, beta, slope):
        if self.transposed:
            y = input_gradient(x, w, None, self.y_shape, 1, self.padding)
        else:
            y = convolve(x, w, None, 1, self.padding)
        n, o, height, width = y.shape
        statistics = (cupy().ascontiguousarray(a, y.dtype) for a in (self.running_mean, self.running_var))
        segments = -(-height * width // PIXELS)
        kernel = load_kernels(KERNELS, y.dtype).get_function("norm_prelu")
        numbers = y.dtype.type(self.eps), np.int32(o), np.int64(height * width), np.int32(segments)
        blocks = n * o * segments
        launch(kernel, blocks * BLOCK, y, gamma, beta, slope, *statistics, *numbers, block=BLOCK)
        return y
