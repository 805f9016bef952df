import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import ops

IDS = np.array([3, 1, 3, 3, 7, 1])


def pair_by_pair(torch):
    def reference(f, identities=IDS):
        pairs = [(i, j) for j in range(len(f)) for i in range(j) if identities[i] == identities[j]]
        return torch.stack([((f[i] - f[j]) ** 2).sum() for i, j in pairs]).sum()

    return reference


@pytest.mark.reference
def test_equals_pytorch(compare_with_torch, torch, put, normal):
    compare_with_torch(lambda f: ops.pair_loss(f, put(IDS)), pair_by_pair(torch), normal((6, 5)))


def test_gradients(check_gradients, put, normal):
    check_gradients(lambda f: ops.pair_loss(f, put(IDS)), normal((6, 5)))


def test_manners(check_op_contract, put, normal):
    check_op_contract(lambda f: ops.pair_loss(f, put(IDS)), normal((6, 5)))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_is_the_sum_over_pairs(put, normal, identities):
    f, wanted = normal((len(identities), 4)), 0.0
    for i, a in enumerate(identities):
        wanted += sum(((f[i] - f[j]) ** 2).sum() for j, b in enumerate(identities[:i]) if a == b)
    assert abs(ops.pair_loss(put(f), put(np.array(identities))).item() - wanted) < 1e-9


def test_nothing_in_common_is_nothing(put, normal):
    assert abs(ops.pair_loss(put(normal((4, 3))), put(np.arange(4))).item()) < 1e-12


def test_refuses_shapes_that_do_not_fit(put):
    for f, ids in ((np.zeros((3, 2)), np.zeros(2, int)), (np.zeros(3), np.zeros(3, int))):
        with pytest.raises(ValueError, match="pair_loss"):
            ops.pair_loss(put(f), put(ids))


@pytest.mark.parametrize(("mean", "deviation"), [(1000, 0.01), (1, 1e-4), (0, 1)])
def test_features_far_from_zero_and_close_together(put, normal, mean, deviation):
    """Differences of what lies far from zero keep their digits, and the loss is never negative."""
    ids = np.array([0, 0, 1, 1, 2, 2, 2, 3])
    f = (mean + deviation * normal((8, 160))).astype(np.float32)
    apart = f.astype(np.float64)[:, None] - f.astype(np.float64)
    expected = (apart**2).sum(axis=2)[np.triu(ids[:, None] == ids, 1)].sum()
    assert ops.pair_loss(put(f), put(ids)).item() == pytest.approx(expected, rel=1e-5)
