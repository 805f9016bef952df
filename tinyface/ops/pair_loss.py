"""How far apart the features of one identity lie (ANet's pre-training, Liu et al. 2015):

    L = Σ over pairs i < j with id_i = id_j of ‖f_i − f_j‖²

With M[i,j] = [i = j] · |group of i| − [id_i = id_j], so that row i of M f is (how many share i's identity) · f_i − (the
sum of their features):

    L = Σ_i f_i · (M f)_i,     ∂L/∂f = 2 M f
"""

from .. import backend
from ..core import Function


class PairLoss(Function):
    op = "pair_loss"

    def __init__(self, identities):
        self.identities = identities

    def forward(self, f):
        xp, ids = backend.get_array_module(f), self.identities
        if f.ndim != 2 or ids.shape != f.shape[:1]:
            raise ValueError(f"pair_loss: f of shape {f.shape} (N, D) needs identities (N,), got {ids.shape}")
        same = (ids[:, None] == ids).astype(f.dtype)
        self.f = f
        self.spread = f * same.sum(axis=1)[:, None] - same @ f  # M f
        return xp.asarray((self.f * self.spread).sum())

    def backward(self, g):
        return 2 * g * self.spread


def pair_loss(f, identities):
    """f (N, D), identities an integer array (N,) beside it → scalar, the sum over pairs of one identity."""
    return PairLoss(identities)(f)
