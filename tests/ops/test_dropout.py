import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops


@pytest.fixture(autouse=True)
def same_random_numbers():
    state = backend.get_random_state()
    yield
    backend.set_random_state(state)


def seeded(p):
    """Dropout that zeroes the same elements at each call."""

    def fn(x):
        backend.seed(7)
        return ops.dropout(x, p)

    return fn


@pytest.mark.reference
@given(shape=st.lists(st.integers(1, 5), max_size=3), p=st.sampled_from([0, 0.1, 0.5, 0.9]))
def test_equals_pytorch_with_the_same_mask(compare_with_torch, torch, normal, shape, p):
    backend.seed(7)
    keep = torch.tensor(backend.rng().random(shape, dtype=np.float32) >= p)
    compare_with_torch(seeded(p), lambda x: x * keep / (1 - p), normal(shape))


@pytest.mark.parametrize("p", [0, 0.3, 0.8])
def test_gradients(check_gradients, normal, p):
    check_gradients(seeded(p), normal((3, 4)))


def test_manners(check_op_contract, normal):
    check_op_contract(seeded(0.4), normal((3, 4, 5)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(put, p):
    """Each element is 0 with probability p, else 1/(1 − p): the mean stays."""
    y = seeded(p)(put(np.ones(100_000))).numpy()
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p))
    assert abs((y == 0).mean() - p) < 0.01


def test_new_elements_each_time(put):
    x = put(np.ones(100))
    assert (ops.dropout(x).numpy() != ops.dropout(x).numpy()).any()


def test_evaluation_hands_x_on_and_draws_nothing(put):
    x = Tensor(put(np.ones(5)))
    state = backend.get_random_state()
    assert ops.dropout(x, 0.5, training=False) is x
    assert backend.get_random_state() == state


@pytest.mark.parametrize("p", [-0.1, 1, 1.5])
def test_probability_out_of_range(put, p):
    with pytest.raises(ValueError, match="dropout: p must be at least 0 and below 1"):
        ops.dropout(put(np.ones(5)), p)
