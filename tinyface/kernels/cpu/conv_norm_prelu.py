"""Convolution with batch normalisation and PReLU as its epilogue: done to each block of y while it is in the cache."""

import numpy as np

from ...ops.conv_norm_prelu import ConvNormPReLU
from ...runtime.dispatch import register
from .batch_norm import is_flat, scale_shift_prelu
from .conv2d import convolve, input_gradient


@register(ConvNormPReLU, "cpu")
class ConvNormPReLUCpu(ConvNormPReLU):
    def forward(self, x, w, gamma, beta, slope):
        scale = gamma / np.sqrt(self.running_var + self.eps)
        epilogue = make_epilogue(x, scale, beta - self.running_mean * scale, slope)
        if self.transposed:
            return input_gradient(x, w, self.y_shape, 1, self.padding, epilogue)
        return convolve(x, w, None, 1, self.padding, epilogue)


def make_epilogue(x, scale, shift, slope):
    """A function that does this to some pixels (…, N, O) in place, or to some channels of them."""
    over_images = [np.tile(a.astype(x.dtype), (len(x), 1)) for a in (scale, shift, slope)]
    flat = is_flat(slope)

    def epilogue(pixels, channels=slice(None)):
        z = pixels.reshape(*pixels.shape[:-2], -1)
        scale_shift_prelu(z, z, *(a[:, channels].reshape(-1) for a in over_images), flat)

    return epilogue
