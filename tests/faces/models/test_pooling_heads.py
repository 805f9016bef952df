"""SSP's features of the regions as means or as sums; the heads in their networks are compared with twins elsewhere."""

import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint
from tinyface.faces.models import AttributeNet
from tinyface.faces.models.pooling_heads import REGION_POOLINGS, ConcatHead, RegionHead, pool_regions

X, MASKS = (2, 3, 4, 5), (2, 6, 4, 5)


def masks(normal):
    """Regions that share each pixel; the last one is empty."""
    weights = np.exp(normal(MASKS, seed=1))
    weights[:, -1] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def test_sum_and_mean_by_the_formula(put, normal):
    x, m = normal(X), masks(normal)
    total = np.einsum("nrhw,nchw->nrc", m, x)
    got = {how: pool_regions(Tensor(put(x)), Tensor(put(m)), how).numpy() for how in REGION_POOLINGS}
    np.testing.assert_allclose(got["sum"], total, rtol=1e-10, atol=1e-12)
    area = np.maximum(m.sum(axis=(2, 3)), 1e-9)[..., None]
    np.testing.assert_allclose(got["mean"], total / area, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("how", REGION_POOLINGS)
def test_gradients(check_gradients, put, normal, how):
    m = Tensor(put(masks(normal)))
    check_gradients(lambda x: pool_regions(x, m, how), normal(X))


def test_gradients_of_the_masks(check_gradients, normal):
    check_gradients(lambda x, m: pool_regions(x, m, "sum"), normal(X), masks(normal)[:, :-1])


@pytest.mark.parametrize("head", [RegionHead, ConcatHead])
def test_heads_tell_sums_from_means(put, normal, head):
    regions = [MASKS[1]] if head is ConcatHead else []
    answers = {}
    for how in REGION_POOLINGS:
        backend.seed(0)
        net = head(X[1], 4, *regions, pooling=how)
        net.to("cuda" if backend.on_gpu(put(np.zeros(1))) else "cpu")
        x, m = (Tensor(put(a.astype(np.float32))) for a in (normal(X), masks(normal)))
        answers[how] = net(x, m).numpy()
    assert np.abs(answers["sum"] - answers["mean"]).max() > 1e-3


@pytest.mark.parametrize("mode", ["ssp", "bbox", "concat", "joint"])
def test_a_saved_network_keeps_its_pooling(tmp_path, mode):
    net = AttributeNet(1, mode, (16, 16), region_pooling="sum")
    checkpoint.save(tmp_path / "net.h5", checkpoint.Checkpoint(net))
    loaded = checkpoint.load_network(tmp_path / "net.h5")
    assert loaded.config["region_pooling"] == "sum" and loaded.head.pooling == "sum"


def test_networks_of_before_the_option_pool_means(tmp_path):
    net = AttributeNet(1, "ssp", (16, 16))
    del net.config["region_pooling"]
    checkpoint.save(tmp_path / "net.h5", checkpoint.Checkpoint(net))
    assert checkpoint.load_network(tmp_path / "net.h5").head.pooling == "mean"


def test_unknown_pooling():
    with pytest.raises(ValueError, match="region_pooling 'max' is none of mean, sum"):
        AttributeNet(1, "ssp", region_pooling="max")
