"""Facts about SSPL's network: sizes, gradients, what goes to which attribute network."""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops
from tinyface.faces.models import AttributeNet, SSPLNet
from tinyface.faces.models.attributes import MODES

SIZE = (55, 45)


def images(size=SIZE, count=3, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal((count, 3, *size)).astype(np.float32))


@pytest.mark.parametrize("backbone", ["encoder", "resnet18"])
@pytest.mark.parametrize("size", [SIZE, (109, 89), (33, 10)])
def test_what_comes_out_at_any_size(backbone, size):
    place, angle, maps, presence = SSPLNet(backbone, 1, size)(images(size))
    h, w = (-(-length // 2) for length in size)
    shapes = [x.shape for x in (place, angle, maps, presence)]
    assert shapes == [(3, 9), (3, 4), (3, 7, h, w), (3, 7, 3, 3)]


@pytest.mark.parametrize("backbone", ["encoder", "resnet18"])
def test_every_parameter_gets_a_gradient(backbone):
    backend.seed(0)
    net = SSPLNet(backbone, 2, (109, 89))
    place, angle, maps, presence = net(images((109, 89)))
    rng = np.random.default_rng(1)
    loss = ops.softmax_cross_entropy(place, np.array([0, 4, 8]))
    loss = loss + ops.softmax_cross_entropy(angle, np.array([0, 1, 3]))
    loss = loss + ops.softmax_cross_entropy(maps, rng.integers(0, 7, (3, 55, 45)))
    loss = loss + ops.sigmoid_cross_entropy(presence, rng.integers(0, 2, (3, 7, 3, 3)))
    loss.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_tile_s_regions_are_told_from_its_own_cells():
    """Presence is pooled tile by tile: a change far below the first row of tiles leaves that row's logits alone."""
    net = SSPLNet("encoder", 2, (300, 300)).eval()
    x = images((300, 300), 1).data
    before = net(Tensor(x))[3].data
    x = x.copy()
    x[:, :, 250:] += 1
    after = net(Tensor(x))[3].data
    np.testing.assert_allclose(after[:, :, 0], before[:, :, 0], rtol=1e-4, atol=1e-5)
    assert np.abs(after[:, :, 2] - before[:, :, 2]).max() > 1e-3


def test_an_unknown_backbone():
    with pytest.raises(ValueError, match="'vgg' is none of encoder, resnet18"):
        SSPLNet("vgg")


def test_config_builds_the_same_network_again():
    net = SSPLNet("resnet18", 2, SIZE)
    again = SSPLNet(**net.config)
    again.load_state_dict(net.state_dict())
    for ours, theirs in zip(net.eval()(images()), again.eval()(images()), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.parametrize("mode", MODES)
def test_any_attribute_network_begins_with_the_encoder(mode):
    trained, net = SSPLNet("encoder", 2, SIZE), AttributeNet(2, mode, SIZE)
    trained.encoder.conv11.norm.running_mean += 3
    theirs, before = trained.state_dict(), net.state_dict()
    net.load_encoder_from(trained)
    for name, array in net.state_dict().items():
        same = name in theirs and theirs[name].shape == array.shape
        np.testing.assert_array_equal(array, theirs[name] if same else before[name], err_msg=name)
    assert np.all(net.encoder.conv11.norm.running_mean == 3)
