import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import row_matrix

SHAPES = [(2, 3, 2, 3), (4, 2), (1, 2, 3, 1), (3, 1, 2), (2, 1, 1, 1), (2, 2, 2, 2, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
train_and_eval = pytest.mark.parametrize("training", [True, False])


def statistics(channels, dtype=np.float64):
    """Running mean and variance, fresh on every call and not the initial ones."""
    rng = np.random.default_rng(5)
    return rng.standard_normal(channels).astype(dtype), rng.uniform(0.5, 2, channels).astype(dtype)


@pytest.fixture
def norm(put):
    """norm(training): batch_norm of x, gamma, beta with fresh running statistics."""

    def make(training, **options):
        def fn(x, gamma, beta):
            running = map(put, statistics(x.shape[1], x.dtype))
            return ops.batch_norm(x, gamma, beta, *running, training, **options)

        return fn

    return make


@pytest.mark.reference
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5)).flatmap(
        lambda nc: st.lists(st.integers(1, 6), max_size=3).map(lambda rest: (*nc, *rest))
    ),
    training=st.booleans(),
    eps=st.sampled_from([1e-5, 1e-2]),
    offset=st.sampled_from([0, 3]),
)
def test_equals_pytorch(compare_with_torch, torch, put, normal, shape, training, eps, offset):
    if training and np.prod(shape) // shape[1] < 3:  # with two values dx is nothing but rounding errors
        shape = (3, *shape[1:])

    def ours(x, gamma, beta):
        return ops.batch_norm(x, gamma, beta, *map(put, statistics(shape[1], x.dtype)), training, eps=eps)

    def theirs(x, gamma, beta):
        mean, var = map(torch.tensor, statistics(shape[1], x.detach().numpy().dtype))
        return torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training, eps=eps)

    x, gamma, beta = normal(shape) + offset, normal(shape[1], 1), normal(shape[1], 2)
    compare_with_torch(ours, theirs, x, gamma, beta, scale=5)


@pytest.mark.reference
@train_and_eval
@pytest.mark.parametrize("shape", [(3, 2, 37, 41), (2, 1, 150, 130), (3000, 2), (61, 3, 6, 7), (1, 2, 2100)])
def test_sums_of_several_shares_equal_pytorchs(compare_with_torch, torch, put, norm, normal, shape, training):
    """Far from 0 as well, and where the first value is nothing like the others."""
    channels, (mean, var) = shape[1], statistics(shape[1])

    def theirs(x, gamma, beta):
        running = (torch.tensor(a).to(x.dtype) for a in (mean, var))
        return torch.nn.functional.batch_norm(x, *running, gamma, beta, training)

    x = normal(shape)
    x[0, 0] += 5
    x.reshape(-1)[0] = -90
    compare_with_torch(norm(training), theirs, x, normal(channels, 1), normal(channels, 2))


@pytest.mark.reference
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_equal_pytorchs(torch, put, normal, dtype):
    gamma, beta = (a.astype(dtype) for a in (normal(3, 1), normal(3, 2)))
    ours, theirs = [put(a) for a in statistics(3, dtype)], [torch.tensor(a) for a in statistics(3, dtype)]

    def both(x, training, momentum):
        y = ops.batch_norm(put(x), put(gamma), put(beta), *ours, training, momentum)
        expected = torch.nn.functional.batch_norm(
            torch.tensor(x), *theirs, torch.tensor(gamma), torch.tensor(beta), training, momentum
        )
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)
        for got, wanted in zip(ours, theirs, strict=True):
            assert got.dtype == dtype
            got = backend.to_device(got, "cpu")
            np.testing.assert_allclose(got, wanted.numpy(), rtol=tolerance, atol=tolerance)

    for seed, (size, momentum) in enumerate([(2, 0.1), (5, 0.3), (1, 0.1), (3, 0.05)]):
        both((normal((size, 3, 4, 5), seed) * (seed + 1) + 2).astype(dtype), True, momentum)
    both(normal((2, 3, 4, 5), 9).astype(dtype), False, 0.1)


@every_shape
@train_and_eval
def test_gradients(check_gradients, norm, normal, shape, training):
    # ε large against the eps of gradcheck: with two values per channel x̂ is otherwise all but constant
    channels = shape[1]
    check_gradients(norm(training, eps=0.1), normal(shape), normal(channels, 1), normal(channels, 2))


@every_shape
@train_and_eval
def test_manners(check_op_contract, norm, normal, shape, training):
    channels = shape[1]
    check_op_contract(norm(training), normal(shape), normal(channels, 1), normal(channels, 2))


@pytest.mark.cpu
@train_and_eval
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, norm, normal, training):
    monkeypatch.setattr(row_matrix, "BLOCK_BYTES", 10_000)
    check_threads(norm(training), normal((3, 17, 13, 11)), normal(17, 1), normal(17, 2))


@pytest.mark.cpu
@train_and_eval
def test_pieces_make_no_difference(monkeypatch, put, normal, training):
    def run(limit):
        monkeypatch.setattr(row_matrix, "BLOCK_BYTES", limit)
        inputs = [
            Tensor(put(a), requires_grad=True) for a in (normal((2, 5, 3, 4)), normal(5, 1), normal(5, 2))
        ]
        running = [put(a) for a in statistics(5)]
        y = ops.batch_norm(*inputs, *running, training)
        y.backward(put(normal(y.shape, 3)))
        return [y.numpy(), *running, *(t.grad for t in inputs)]

    for cut, whole in zip(run(1), run(1 << 30), strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-12, atol=1e-12)


def test_by_hand(put):
    """Training: biased variance for the result, unbiased for the running one."""
    x = put(np.array([[1.0], [3.0]]))
    gamma, beta, mean, var = (put(np.array([value])) for value in (2.0, 10.0, 0.0, 1.0))
    y = ops.batch_norm(x, gamma, beta, mean, var, True, momentum=0.5, eps=0)
    assert y.numpy().tolist() == [[8], [12]]
    assert mean.tolist() == [1] and var.tolist() == [1.5]
    y = ops.batch_norm(x, gamma, beta, mean, var, False, eps=0.75)
    np.testing.assert_allclose(y.numpy(), [[10], [10 + 2 * 2 / 1.5]])
    assert mean.tolist() == [1] and var.tolist() == [1.5]


def test_a_mean_far_from_zero_costs_no_precision(put, normal):
    """The variance is taken of the centred values, not as E[x²] − μ²."""
    x = (normal((4, 1, 8, 8)) + 1000).astype(np.float32)
    one = np.ones(1, np.float32)
    y = ops.batch_norm(put(x), put(one), put(0 * one), put(0 * one), put(one.copy()), True).numpy()
    exact = (x - x.mean(dtype=np.float64)) / np.sqrt(x.var(dtype=np.float64) + 1e-5)
    np.testing.assert_allclose(y, exact, atol=2e-4)


def test_running_statistics_of_another_type(put, normal):
    x, running = put(normal((2, 3, 4))), [put(np.ones(3, np.float32)) for _ in range(2)]
    y = ops.batch_norm(x, put(np.ones(3)), put(np.zeros(3)), *running, True, momentum=1)
    assert y.dtype == np.float64 and all(a.dtype == np.float32 for a in running)
    mean = backend.to_device(running[0], "cpu")
    np.testing.assert_allclose(mean, normal((2, 3, 4)).mean((0, 2)), rtol=1e-6)


def test_the_same_bits_every_time(put, normal):
    def run():
        arrays = normal((3, 2, 50, 40)), normal(2, 1), normal(2, 2)
        inputs = [Tensor(put(a.astype(np.float32)), requires_grad=True) for a in arrays]
        y = ops.batch_norm(*inputs, *(put(np.ones(2, np.float32)) for _ in range(2)), True)
        y.backward(put(normal(y.shape, 3)))
        return [backend.to_device(a, "cpu").tobytes() for a in (y.data, *(t.grad for t in inputs))]

    assert run() == run()


@pytest.mark.parametrize("wrong", range(4))
def test_shapes_that_dont_fit(put, normal, wrong):
    per_channel = [put(normal(4 if i == wrong else 3)) for i in range(4)]
    shapes = ", ".join(r"\(4,\)" if i == wrong else r"\(3,\)" for i in range(4))
    with pytest.raises(ValueError, match=rf"batch_norm: x of shape \(2, 3, 4\) needs .* got \[{shapes}\]"):
        ops.batch_norm(put(normal((2, 3, 4))), *per_channel, True)


def test_no_channels_axis(put, normal):
    with pytest.raises(ValueError, match=r"batch_norm: x of shape \(3,\) needs"):
        ops.batch_norm(*(put(normal(3)) for _ in range(5)), True)


def test_a_single_value_per_channel_has_no_variance(put):
    ones = [put(np.ones(3)) for _ in range(4)]
    x = put(np.ones((1, 3, 1, 1)))
    with pytest.raises(
        ValueError, match=r"batch_norm: needs more than one value per channel .*\(1, 3, 1, 1\)"
    ):
        ops.batch_norm(x, *ones, True)
    assert ops.batch_norm(x, *ones, False).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("prelu", [False, True])
def test_statistics_that_move_before_backward_change_no_gradient(put, normal, prelu):
    op = ops.batch_norm_prelu if prelu else ops.batch_norm
    grads = []
    for moves in (False, True):
        x, *rest = (
            Tensor(put(normal(shape, seed)), requires_grad=True)
            for seed, shape in enumerate([(2, 3, 4, 5)] + [(3,)] * (2 + prelu))
        )
        statistics = put(np.zeros(3)), put(np.ones(3))
        y = op(x, *rest, *statistics, False)
        if moves:
            op(x * 3.0 + 5.0, *rest, *statistics, True)
        y.backward(put(normal(y.shape, 9)))
        grads.append([backend.to_device(t.grad, "cpu") for t in (x, *rest)])
    for moved, still in zip(*grads, strict=True):
        np.testing.assert_array_equal(moved, still)


def test_a_slope_of_zero_lets_infinity_through(put):
    """0 · ∞ would be NaN."""
    x = put(np.array([[[[-np.inf, -1, 0, np.inf]]]], np.float32))
    one, zero = put(np.ones(1, np.float32)), put(np.zeros(1, np.float32))
    with np.errstate(invalid="ignore"):
        y = ops.batch_norm_prelu(x, one, zero, zero, zero, one, False).numpy().ravel()
    assert y[1:].tolist() == [0, 0, np.inf]
