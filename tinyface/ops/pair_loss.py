"""How far apart the features of one identity lie (ANet's pre-training, Liu et al. 2015):

    L = Σ over pairs i < j with id_i = id_j of ‖f_i − f_j‖²

With n_i, how many share i's identity, and d_i = f_i − the mean of their features:

    L = Σ_i n_i · ‖d_i‖²,     ∂L/∂f_i = 2 n_i · d_i
"""

import numpy as np

from ..core import Function, Tensor


class PairLoss(Function):
    op = "pair_loss"

    def __init__(self, identities):
        self.identities = identities

    def check(self, f):
        ids = self.identities
        if f.ndim != 2 or ids.shape != f.shape[:1]:
            raise ValueError(f"pair_loss: f of shape {f.shape} (N, D) needs identities (N,), got {ids.shape}")

    def forward(self, f):
        ids = self.identities
        same = (ids[:, None] == ids).astype(f.dtype)
        self.count = same.sum(axis=1)[:, None]
        self.apart = f - same @ f / self.count
        self.apart -= same @ self.apart / self.count  # what rounding left of a mean far from 0
        return (self.count * self.apart * self.apart).sum()

    def backward(self, g):
        return 2 * g * self.count * self.apart


def pair_loss(f: Tensor, identities: np.ndarray) -> Tensor:
    """f (N, D), identities an integer array (N,) beside it → scalar, the sum over pairs of one identity."""
    return PairLoss(identities)(f)
