import numpy as np
import pytest

from tinyface.faces.models.svm import fit_svm


def problem(n=200, d=6, a=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.3, 3, d) + rng.standard_normal(d)
    scores = x @ rng.standard_normal((d, a)) + rng.standard_normal((n, a))
    return x, (scores > 0.5).astype(np.uint8)


def objective(x, y, w, b, c):
    return 0.5 * (w @ w + b * b) + c * (np.maximum(0, 1 - np.where(y == 1, 1, -1) * (x @ w + b)) ** 2).sum()


@pytest.mark.reference
@pytest.mark.parametrize("c", [0.001, 0.1, 10])
def test_equals_scikit_learn(c):
    svm = pytest.importorskip("sklearn.svm")
    x, targets = problem()
    weights, biases = fit_svm(x, targets, c)
    for w, b, y in zip(weights, biases, targets.T, strict=True):
        theirs = svm.LinearSVC(C=c, dual=False, tol=1e-10, max_iter=100_000).fit(x, y)
        np.testing.assert_allclose(w, theirs.coef_[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(b, theirs.intercept_[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_no_neighbour_is_lower(c):
    x, targets = problem()
    weights, biases = fit_svm(x, targets, c)
    rng = np.random.default_rng(1)
    for w, b, y in zip(weights, biases, targets.T, strict=True):
        lowest = objective(x, y, w, b, c)
        for scale in (1e-3, 0.1, 1):
            for _ in range(20):
                assert (
                    objective(x, y, w + scale * rng.standard_normal(6), b + scale * rng.standard_normal(), c)
                    > lowest
                )


def test_separates_what_can_be_separated():
    x = np.array([[-2.0, 1], [-1, 0], [1, 0], [2, -1]])
    weights, biases = fit_svm(x, np.array([[0], [0], [1], [1]]), c=100)
    assert ((x @ weights.T + biases)[:, 0] > 0).tolist() == [False, False, True, True]


def test_one_class_alone_gets_its_sign():
    x, _ = problem()
    weights, biases = fit_svm(x, np.stack([np.zeros(200), np.ones(200)], axis=1), c=1)
    scores = x @ weights.T + biases
    assert (scores[:, 0] < 0).all() and (scores[:, 1] > 0).all()


@pytest.mark.parametrize(("x", "y"), [((3, 2), (2, 1)), ((3,), (3, 1)), ((0, 2), (0, 1)), ((3, 2), (3,))])
def test_refuses_shapes_that_do_not_fit(x, y):
    with pytest.raises(ValueError, match="fit_svm"):
        fit_svm(np.zeros(x), np.zeros(y))
