import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend
from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES, REGIONS
from tinyface.faces.data.loader import Batch
from tinyface.faces.data.toyfaces import ATTRIBUTE_REGIONS
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.models.attributes import MODES
from tinyface.faces.pictures import localization
from tinyface.faces.pictures.localization import attribute_maps, heaviest_regions, localization_share
from tinyface.faces.tasks import AttributeTask, segmentation_heads

SIZE = (35, 21)


def build(mode, device="cpu"):
    backend.seed(0)
    return AttributeTask(AttributeNet(2, mode, SIZE).to(device), SegmentationNet(2, SIZE).to(device))


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, *SIZE)).astype(np.float32)


def batch(count, seed):
    targets = np.random.default_rng(seed + 100).integers(0, 2, (count, 40)).astype(np.float32)
    return Batch(0, np.arange(count), np.zeros(count, bool), images(count, seed), targets)


# Weights of a network


@pytest.mark.parametrize("mode", localization.WEIGHTED)
def test_weights_of_all_faces_in_order(mode, device, put):
    task, batches = build(mode, device), [batch(3, 0), batch(2, 1)]
    weights, targets = localization.gather_weights(task, iter(batches))
    assert isinstance(weights, np.ndarray) and weights.shape == (5, 7, 40)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(targets, np.concatenate([b.targets for b in batches]))
    last = np.concatenate([b.images for b in batches])[4:]
    task.network.eval()
    task.network(Tensor(put(last)), segmentation_heads(task.segmentation_net, last, 3))
    np.testing.assert_allclose(weights[4:], task.network.region_weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in localization.WEIGHTED])
def test_a_network_without_weights_of_the_regions(mode):
    with pytest.raises(
        TinyfaceError, match=f"of mode {mode} has no weights of the 7 regions; take one of mode"
    ):
        localization.gather_weights(build(mode), [batch(1, 0)])


# The heaviest region


def test_only_faces_that_have_the_attribute_count():
    weights = np.zeros((3, 2, 3))
    weights[:, 0, 0] = 0.9, 0.2, 0.1  # attribute 0: over all faces region 1 were the heavier
    weights[:, 1, 0] = 0.1, 0.8, 0.9
    weights[:, :, 1] = 0.3, 0.7
    weights[:, :, 2] = 0.6, 0.4
    mean, heaviest = heaviest_regions(weights, np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]]))
    np.testing.assert_allclose(mean, [[0.9, 0.3, np.nan], [0.1, 0.7, np.nan]])
    assert heaviest.tolist() == [0, 1, -1]


def test_the_mean_is_over_several_faces():
    weights = np.array([[[0.9], [0.1]], [[0.2], [0.8]], [[0.2], [0.8]]], np.float32)
    mean, heaviest = heaviest_regions(weights, np.ones((3, 1)))
    np.testing.assert_allclose(mean[:, 0], [1.3 / 3, 1.7 / 3], rtol=1e-6)
    assert heaviest.tolist() == [1]


@pytest.mark.parametrize("shapes", [((2, 7, 3), (2, 4)), ((2, 7, 3), (3, 3)), ((7, 3), (2, 3))])
def test_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match="are not"):
        heaviest_regions(np.zeros(shapes[0]), np.zeros(shapes[1]))


# The share of attributes in the right place


def small():
    """Four attributes and two regions: right, wrong, without a place, on no face."""
    weights = np.zeros((2, 2, 4))
    weights[:, :, 0] = weights[:, :, 2] = 0.9, 0.1
    weights[:, :, 1] = weights[:, :, 3] = 0.3, 0.7
    targets = np.array([[1, 1, 1, 0]] * 2)
    truth = {"Hat": ("hair",), "Smile": ("hair",), "Beard": ("skin",)}
    return weights, targets, truth, ("Hat", "Smile", "Male", "Beard"), ("hair", "skin")


def test_share_by_hand():
    result = localization_share(*small())
    assert [(row.attribute, row.heaviest, row.right) for row in result.rows] == [
        ("Hat", "hair", True),
        ("Smile", "skin", False),
        ("Beard", None, False),
    ]
    assert (result.share, result.chance, result.constant) == (0.5, 0.5, 1.0)
    assert result.constant_region == "hair" and result.counted == 2
    assert localization.format_localization_table(result) == "\n".join(
        [
            "attribute  true  heaviest    weight",
            "------------------------------------------",
            "Hat        hair  hair          0.90  right",
            "Smile      hair  skin          0.70  wrong",
            "Beard      skin  -                -",
            "------------------------------------------",
            "heaviest region is a true one for 1 of 2 attributes, 50.0 % (at random 50.0 %, always hair 100.0 %)",
            "left out, because no face has it: Beard",
        ]
    )


def test_any_of_several_true_regions_is_right():
    weights, targets, _, names, regions = small()
    result = localization_share(weights, targets, {"Smile": ("hair", "skin")}, names, regions)
    assert (result.share, result.chance, result.constant) == (1, 1, 1)


def test_no_face_has_any():
    weights, targets, *rest = small()
    result = localization_share(weights, 0 * targets, *rest)
    assert np.isnan([result.share, result.chance, result.constant]).all() and result.counted == 0
    assert localization.format_localization_table(result).endswith("no face has any of these attributes")


def test_toy_faces_know_where_their_attributes_show():
    weights = np.zeros((1, 7, 40))
    for index, name in enumerate(ATTRIBUTES):
        weights[0, REGIONS.index(ATTRIBUTE_REGIONS.get(name, ("nose",))[0]), index] = 1
    result = localization_share(weights, np.ones((1, 40)))
    assert result.share == 1 and result.counted == len(ATTRIBUTE_REGIONS)
    places = [len(places) for places in ATTRIBUTE_REGIONS.values()]
    assert result.chance == pytest.approx(np.mean(places) / 7)
    moved = localization_share(np.roll(weights, 1, axis=1), np.ones((1, 40)))
    assert moved.share < 0.1
    with pytest.raises(ValueError, match="not 7 regions"):
        localization_share(np.zeros((1, 16, 40)), np.ones((1, 40)))


# Maps


@given(st.integers(0, 1000))
def test_maps_are_the_weighted_sum_of_the_masks(seed):
    rng = np.random.default_rng(seed)
    weights, masks = rng.random((2, 3, 4)), rng.random((2, 3, 5, 6))
    weights /= weights.sum(axis=1, keepdims=True)
    maps = attribute_maps(weights, masks)
    assert maps.shape == (2, 4, 5, 6) and maps.min() >= 0 and maps.max() <= 1
    np.testing.assert_allclose(maps[1, 2, 3, 4], sum(weights[1, r, 2] * masks[1, r, 3, 4] for r in range(3)))


def test_maps_need_as_many_masks_as_weights():
    with pytest.raises(ValueError, match="differ in faces or regions"):
        attribute_maps(np.zeros((1, 16, 40)), np.zeros((1, 7, 4, 3)))
