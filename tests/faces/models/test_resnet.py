"""Facts about ResNet-18: sizes, shortcuts, what it begins with. Its numbers are compared with a twin elsewhere."""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops
from tinyface.faces.models import AttributeNet, ResNetAttributes, SegmentationNet, SSPLNet
from tinyface.faces.models.attribute_networks import ATTRIBUTE_NETWORKS, make_attribute_network
from tinyface.faces.models.attributes import HEADS_NEEDED
from tinyface.faces.models.resnet import BasicBlock, ResNet18

SIZE = (55, 45)


def images(size=SIZE, count=2, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal((count, 3, *size)).astype(np.float32))


@pytest.mark.parametrize("size", [SIZE, (218, 178), (33, 9)])
def test_five_halvings_each_rounded_up(size):
    h, w = size
    for _ in range(ResNet18.halvings):
        h, w = -(-h // 2), -(-w // 2)
    assert ResNet18(2)(images(size)).shape == (2, 16, h, w)
    assert ResNetAttributes(2, size)(images(size)).shape == (2, 40)


def test_the_paper_s_number_of_parameters():
    """11.7 M with ImageNet's 1000 classes, 512,000 weights and 1000 biases of which belong to the classifier."""
    assert sum(p.size for p in ResNet18(64).parameters()) == 11_689_512 - 513_000


def test_a_block_that_learned_nothing_hands_its_input_on():
    block = BasicBlock(2, 2)
    block.norm2.gamma.data[...] = 0
    x = images()[:, :2]
    np.testing.assert_array_equal(block(x).data, np.maximum(x.data, 0))
    assert block.shortcut is None and BasicBlock(2, 4, 2).shortcut is not None


def test_every_parameter_gets_a_gradient():
    backend.seed(0)
    net = ResNetAttributes(2, SIZE)
    targets = np.random.default_rng(2).integers(0, 2, (2, 40))
    ops.sigmoid_cross_entropy(net(images()), targets).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_config_builds_the_same_network_again():
    net = ResNetAttributes(2, SIZE)
    again = ResNetAttributes(**net.config)
    again.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(net.eval()(images()).data, again.eval()(images()).data)


def test_predictors_are_called_by_their_mode():
    assert set(ATTRIBUTE_NETWORKS) == set(HEADS_NEEDED)
    for name in ATTRIBUTE_NETWORKS:
        net = make_attribute_network(name, 1, SIZE)
        assert net.mode == name and net.config["width"] == 1 and net.config["size"] == SIZE


def test_it_begins_with_what_was_pretrained_and_nothing_else():
    net, trained = ResNetAttributes(2, SIZE), SSPLNet("resnet18", 2, SIZE)
    trained.encoder.norm1.running_mean += 3  # its statistics come along
    before = net.state_dict()
    net.load_encoder_from(trained)
    theirs = trained.state_dict()
    for name, array in net.state_dict().items():
        expected = theirs[name] if name.startswith("encoder.") else before[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


@pytest.mark.parametrize(
    ("net", "trained", "why"),
    [
        (lambda: ResNetAttributes(2), lambda: SSPLNet("encoder", 2), "resnet18 can't .* backbone encoder"),
        (
            lambda: ResNetAttributes(2),
            lambda: SSPLNet("resnet18", 1),
            "width 2 can't load an encoder of width 1",
        ),
        (lambda: ResNetAttributes(2), lambda: SegmentationNet(2), "resnet18 can't .* backbone encoder"),
        (lambda: AttributeNet(2), lambda: SSPLNet("resnet18", 2), "avg can't .* backbone resnet18"),
        (
            lambda: AttributeNet(2),
            lambda: SSPLNet("encoder", 1),
            "width 2 can't load the encoder of one of width 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(net, trained, why):
    net = net()
    before = net.state_dict()
    with pytest.raises(ValueError, match=why):
        net.load_encoder_from(trained())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
