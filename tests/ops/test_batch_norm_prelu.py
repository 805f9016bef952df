"""batch_norm_prelu is prelu(batch_norm(·)): each half is tested by itself, here they are held together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import row_matrix

SHAPES = [(2, 3, 2, 3), (4, 2), (1, 2, 3, 1), (3, 1, 2), (2, 2, 2, 2, 2)]
LARGE = [(3, 2, 37, 41), (2, 1, 150, 130), (3000, 2), (61, 3, 6, 7)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
train_and_eval = pytest.mark.parametrize("training", [True, False])


def inputs_of(normal, shape):
    """x, gamma, beta, slope; slopes below 0, in [0, 1] and above."""
    channels = shape[1]
    return normal(shape), normal(channels, 1), normal(channels, 2), 2 * normal(channels, 3)


@pytest.fixture
def fused(put):
    """fused(training): the op with fresh running statistics."""

    def make(training, **options):
        def fn(x, gamma, beta, slope):
            rng = np.random.default_rng(5)
            mean, var = rng.standard_normal(x.shape[1]), rng.uniform(0.5, 2, x.shape[1])
            running = (put(a.astype(x.dtype)) for a in (mean, var))
            return ops.batch_norm_prelu(x, gamma, beta, slope, *running, training, **options)

        return fn

    return make


@pytest.mark.reference
@given(
    shape=st.tuples(st.integers(3, 4), st.integers(1, 5)).flatmap(
        lambda nc: st.lists(st.integers(1, 6), max_size=3).map(lambda rest: (*nc, *rest))
    ),
    training=st.booleans(),
)
def test_equals_pytorch(compare_with_torch, torch, put, normal, shape, training):
    def statistics(dtype):
        rng = np.random.default_rng(5)
        return rng.standard_normal(shape[1]).astype(dtype), rng.uniform(0.5, 2, shape[1]).astype(dtype)

    def ours(x, gamma, beta, slope):
        return ops.batch_norm_prelu(x, gamma, beta, slope, *map(put, statistics(x.dtype)), training)

    def theirs(x, gamma, beta, slope):
        mean, var = map(torch.tensor, statistics(x.detach().numpy().dtype))
        z = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training)
        return torch.nn.functional.prelu(z, slope)

    compare_with_torch(ours, theirs, *inputs_of(normal, shape), scale=5)


@pytest.mark.parametrize("shape", SHAPES + LARGE)
@train_and_eval
def test_equals_its_halves(put, normal, shape, training):
    """Output, running statistics and every gradient."""

    def run(fn):
        inputs = [Tensor(put(a), requires_grad=True) for a in inputs_of(normal, shape)]
        running = [put(np.full(shape[1], value)) for value in (0.5, 2.0)]
        y = fn(*inputs, *running)
        y.backward(put(normal(y.shape, 4)))
        return [backend.to_device(a, "cpu") for a in (y.data, *running, *(t.grad for t in inputs))]

    def halves(x, gamma, beta, slope, mean, var):
        return ops.prelu(ops.batch_norm(x, gamma, beta, mean, var, training), slope)

    whole = run(lambda *inputs: ops.batch_norm_prelu(*inputs, training))
    for got, wanted in zip(whole, run(halves), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


@every_shape
@train_and_eval
def test_gradients(check_gradients, fused, normal, shape, training):
    check_gradients(fused(training, eps=0.1), *inputs_of(normal, shape))


@every_shape
@train_and_eval
def test_manners(check_op_contract, fused, normal, shape, training):
    check_op_contract(fused(training), *inputs_of(normal, shape))


@pytest.mark.cpu
@train_and_eval
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, fused, normal, training):
    monkeypatch.setattr(row_matrix, "BLOCK_BYTES", 10_000)
    check_threads(fused(training), *inputs_of(normal, (3, 17, 13, 11)))


@pytest.mark.cpu
@train_and_eval
@pytest.mark.parametrize("row", [1, 20, 1000])
def test_cuts_make_no_difference(monkeypatch, fused, put, normal, training, row):
    """Rows of one pixel, of some or of all; pieces of one row or of all."""

    def run(piece_bytes, shortest_row):
        monkeypatch.setattr(row_matrix, "BLOCK_BYTES", piece_bytes)
        monkeypatch.setattr(row_matrix, "SHORTEST_ROW", shortest_row)
        inputs = [Tensor(put(a), requires_grad=True) for a in inputs_of(normal, (2, 5, 3, 4))]
        y = fused(training)(*inputs)
        y.backward(put(normal(y.shape, 4)))
        return [y.numpy(), *(t.grad for t in inputs)]

    for cut, whole in zip(run(1, row), run(1 << 30, 1), strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-11, atol=1e-11)


def test_shapes_that_dont_fit(put, normal):
    good = [put(normal(3)) for _ in range(5)]
    with pytest.raises(ValueError, match=r"batch_norm_prelu: x of shape \(2, 3, 4\) needs .* slope.*\(4,\)"):
        ops.batch_norm_prelu(put(normal((2, 3, 4))), *good[:2], put(normal(4)), *good[3:], True)


@train_and_eval
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gammas_of_every_sign(put, normal, training, dtype):
    """Where gamma is 0, z is beta everywhere; where it is negative, z ≤ 0 lies above a limit instead of below."""
    gamma, beta, slope = (
        np.array([0, 0, 0, -1, 1, -1e-6]),
        np.array([1, -1, 0, 0.5, -0.5, 0.1]),
        np.full(6, 0.25),
    )
    x = normal((3, 6, 4, 5)).astype(dtype)
    g = put(normal(x.shape, 1).astype(dtype))

    def gradients(fn):
        inputs = [Tensor(put(a.astype(dtype)), requires_grad=True) for a in (x, gamma, beta, slope)]
        fn(*inputs, *(put(a) for a in (np.zeros(6, dtype), np.ones(6, dtype)))).backward(g)
        return [Tensor(t.grad).numpy() for t in inputs]

    def in_two(x, gamma, beta, slope, *running):
        return ops.prelu(ops.batch_norm(x, gamma, beta, *running, training), slope)

    fused = gradients(lambda *a: ops.batch_norm_prelu(*a, training))
    for got, wanted in zip(fused, gradients(in_two), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=(2e-5 if dtype == np.float32 else 1e-11) * 60)
