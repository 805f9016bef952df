"""Linear support vector machines, one per attribute, on features (Liu et al. 2015, section 3.2).

    L(w) = ½ ‖w‖² + C Σ_i max(0, 1 − y_i w·x_i)²,      y_i = ±1, x_i with a 1 behind it for the bias

which is what scikit-learn's LinearSVC(loss="squared_hinge") minimises. Newton's method: with the samples I inside
their margin, y_i w·x_i < 1,

    ∇L = w − 2C Σ_I (y_i − w·x_i) x_i,      H = 1 + 2C Σ_I x_i x_iᵀ

The step −H⁻¹∇L leads to the minimum if I stays the same; halved until L goes down, it takes about ten steps.
"""

import numpy as np

STEPS, HALVINGS = 100, 30


def fit_svm(features, targets, c=0.01, tolerance=1e-8):
    """Weights (A, D) and biases (A,) float64 for features (N, D) and targets (N, A) of 0 and 1.

    tolerance: where to stop, the gradient's length as a share of the gradient's at w = 0. Raises ValueError for shapes
    that do not fit.
    """
    features, targets = np.asarray(features, dtype=np.float64), np.asarray(targets)
    if (
        features.ndim != 2
        or targets.shape[:1] != features.shape[:1]
        or targets.ndim != 2
        or not len(features)
    ):
        raise ValueError(
            f"fit_svm: features {features.shape} and targets {targets.shape} are not (N, D) and (N, A)"
        )
    x = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    w = np.stack([_newton(x, np.where(column == 1, 1.0, -1.0), c, tolerance) for column in targets.T])
    return w[:, :-1], w[:, -1]


def _newton(x, y, c, tolerance):
    w = np.zeros(x.shape[1])
    margin, loss = _loss(x, y, w, c)
    first = None
    for _ in range(STEPS):
        inside = x[margin > 0]
        gradient = w - 2 * c * (inside.T @ (y[margin > 0] * margin[margin > 0]))
        length = np.linalg.norm(gradient)
        first = length if first is None else first
        if length <= tolerance * first:
            break
        step = np.linalg.solve(np.eye(len(w)) + 2 * c * (inside.T @ inside), -gradient)
        share = 1.0
        for _ in range(HALVINGS):
            new_margin, new_loss = _loss(x, y, w + share * step, c)
            if new_loss <= loss + 1e-4 * share * (gradient @ step):
                break
            share /= 2
        else:
            break  # no lower in float64
        w, margin, loss = w + share * step, new_margin, new_loss
    return w


def _loss(x, y, w, c):
    """(how far each sample is inside its margin, L)."""
    margin = np.maximum(1 - y * (x @ w), 0)
    return margin, 0.5 * w @ w + c * margin @ margin
