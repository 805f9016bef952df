"""Batch normalisation followed by PReLU: one operation, as kernels do both in the same passes over memory."""

import numpy as np

from ..core import Tensor
from .batch_norm import BatchNorm
from .prelu import PReLU


class BatchNormPReLU(BatchNorm):
    op = "batch_norm_prelu"

    def forward(self, x, gamma, beta, slope):
        self.prelu = PReLU()
        return self.prelu.forward(super().forward(x, gamma, beta), slope)

    def backward(self, g):
        dz, dslope = self.prelu.backward(g)
        return *super().backward(dz), dslope


def batch_norm_prelu(
    x: Tensor, gamma: Tensor, beta: Tensor, slope: Tensor,
    running_mean: np.ndarray, running_var: np.ndarray, training: bool, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """prelu(batch_norm(x, …), slope); slope: tensor (C,)."""
    return BatchNormPReLU(running_mean, running_var, training, momentum, eps)(x, gamma, beta, slope)
