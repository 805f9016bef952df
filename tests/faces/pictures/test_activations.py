import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, no_grad
from tinyface.faces.data.loader import Batch
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.models.attributes import MODES
from tinyface.faces.pictures import activations
from tinyface.faces.pictures.activations import region_lift, spread, top_channels
from tinyface.faces.tasks import AttributeTask, segmentation_heads

SIZE = (35, 21)


def build(mode, segmentation_net=True, device="cpu"):
    backend.seed(0)
    network, segmentation_net = (
        AttributeNet(2, mode, SIZE),
        SegmentationNet(2, SIZE).to(device) if segmentation_net else None,
    )
    return AttributeTask(network.to(device), segmentation_net)


def images(count=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, *SIZE)).astype(np.float32)


# Spread


def test_spread_by_hand():
    maps = np.zeros((4, 3, 4))
    maps[0] = 0.7  # all alike
    maps[1, 2, 1] = 5  # one cell
    maps[2, 0, :3] = 2  # three alike
    np.testing.assert_allclose(spread(maps), [1, 1 / 12, 3 / 12, np.nan])
    two = np.array([[3.0, 1.0]])
    assert spread(two) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))) / 2)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_spread_knows_no_scale_no_order_and_no_negative_values(seed, scale):
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((3, 4, 5))
    value = spread(maps)
    assert (value >= 1 / 20 - 1e-12).all() and (value <= 1).all()
    np.testing.assert_allclose(spread(scale * maps), value)
    np.testing.assert_allclose(spread(np.maximum(maps, 0)), value)
    np.testing.assert_allclose(spread(maps[:, ::-1, ::-1]), value)


# Lift


def test_lift_by_hand():
    """Six cells; region 0 covers four, region 1 two: a channel that lives in the two is three times as strong there."""
    masks = np.array([[[1, 1, 0], [1, 1, 0]], [[0, 0, 1], [0, 0, 1]]])
    maps = np.array(
        [[[0, 0, 4], [0, 0, 4]], [[1, 1, 0], [1, 1, 0]], [[2, 2, 2], [2, 2, 2]], np.zeros((2, 3))]
    )
    np.testing.assert_allclose(region_lift(maps, masks), [3, 1.5, 1, np.nan])


def test_an_even_map_has_lift_one_whatever_the_masks():
    masks = np.random.default_rng(0).random((7, 4, 3))
    np.testing.assert_allclose(region_lift(np.full((1, 4, 3), 0.1), masks), 1)


def test_a_region_that_is_not_on_the_face_does_not_count():
    masks = np.stack([np.ones((2, 2)), [[0.49, 0], [0, 0]]])
    peak = np.array([[[1.0, 0], [0, 0]]])
    assert region_lift(peak, masks) == 1
    masks[1] *= 2
    assert region_lift(peak, masks) == 4
    assert np.isnan(region_lift(peak, 0 * masks)).all()


# Channels


def test_top_channels_have_the_largest_mean():
    maps = np.zeros((4, 2, 2))
    maps[1], maps[3], maps[2, 0, 0] = 0.5, 1, 3  # means 0, 0.5, 0.75, 1
    assert top_channels(maps, 3).tolist() == [3, 2, 1]
    assert top_channels(maps, 50).tolist() == top_channels(maps, None).tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("mode", MODES)
def test_last_maps_are_the_features_in_evaluation(mode, device, put):
    task = build(mode, device=device)
    found = activations.last_maps(task, images())
    with no_grad():
        heads = segmentation_heads(task.segmentation_net, images(), 4)
        expected = task.network.eval().features(Tensor(put(images())), heads).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert isinstance(found, np.ndarray) and found.shape == (2, 32, 3, 2)


@pytest.mark.parametrize("mode", ["avg", "spp", "bbox"])
def test_last_maps_of_a_network_without_a_segmentation_net(mode):
    assert activations.last_maps(build(mode, segmentation_net=False), images(1)).shape == (1, 32, 3, 2)


def test_focus_is_the_mean_over_faces_and_their_top_channels(monkeypatch):
    task = build("avg")
    maps = np.random.default_rng(1).standard_normal((3, 5, 3, 2))
    maps[2, 0] = -1  # silent
    masks = np.random.default_rng(2).random((3, 7, 3, 2))
    monkeypatch.setattr(activations, "last_maps", lambda task, images: maps[np.rint(images).astype(int)])
    monkeypatch.setattr(
        activations, "last_masks", lambda segmentation_net, images: masks[np.rint(images).astype(int)]
    )
    batches = [Batch(0, None, None, np.array([0, 1]), None), Batch(1, None, None, np.array([2]), None)]
    for top in (None, 2):
        found = activations.focus(task, task.segmentation_net, batches, top)
        chosen = [m[np.argsort(-m.mean(axis=(1, 2)))[:top]] for m in maps]
        spreads = np.concatenate([spread(c) for c in chosen])
        lifts = np.concatenate([region_lift(c, r) for c, r in zip(chosen, masks, strict=True)])
        assert found.spread == pytest.approx(np.nanmean(spreads)) and found.faces == 3
        assert found.lift == pytest.approx(np.nanmean(lifts))
        assert found.inactive == pytest.approx(np.isnan(spreads).mean())
    assert activations.focus(task, task.segmentation_net, batches, None).inactive == pytest.approx(1 / 15)


def test_focus_of_a_network_and_a_segmentation_net(device):
    task = build("ssp", device=device)
    found = activations.focus(task, task.segmentation_net, [Batch(0, None, None, images(3), None)])
    assert 1 / 6 <= found.spread <= 1 and found.lift >= 1 and found.faces == 3
