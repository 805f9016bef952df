import numpy as np
import pytest

from tinyface.runtime import random


@pytest.fixture(autouse=True)
def same_random_numbers():
    state = random.get_random_state()
    yield
    random.set_random_state(state)


def test_a_seed_fixes_the_numbers():
    random.seed(3)
    first = random.rng().random(5)
    random.seed(3)
    np.testing.assert_array_equal(random.rng().random(5), first)
    random.seed(4)
    assert (random.rng().random(5) != first).all()


def test_random_state_goes_on_where_it_was_taken():
    random.seed(3)
    random.rng().standard_normal(7, dtype=np.float32)  # leaves half a draw behind
    state = random.get_random_state()
    expected = random.rng().random(5, dtype=np.float32)
    random.seed(9)
    random.set_random_state(state)
    np.testing.assert_array_equal(random.rng().random(5, dtype=np.float32), expected)
    assert isinstance(state, dict)
