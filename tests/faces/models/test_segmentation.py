"""Facts about the segmentation network: sizes, heads, loss, names. Its numbers are compared with a twin elsewhere."""

import numpy as np
import pytest

from tinyface import Tensor, backend, no_grad
from tinyface.faces.data.transforms import resize_labels
from tinyface.faces.models import SegmentationNet, segmentation_loss


@pytest.fixture
def net():
    backend.seed(0)
    return SegmentationNet(width=2, size=(55, 45))


def image(height=55, width=45, count=2, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, height, width)).astype(np.float32)


def test_the_four_heads_have_the_sizes_of_table_1(net):
    heads = net(Tensor(image(218, 178, count=1)))
    assert [head.shape for head in heads] == [
        (1, 7, 28, 23),
        (1, 7, 55, 45),
        (1, 7, 109, 89),
        (1, 7, 218, 178),
    ]


@pytest.mark.parametrize("size", [(8, 8), (9, 16), (15, 1), (17, 31), (1, 1)])
def test_any_size_works_and_every_head_halves_it_upwards(net, size):
    height, width = size
    heads = net.eval()(Tensor(image(height, width, count=1)))
    for head, factor in zip(heads, (8, 4, 2, 1), strict=True):
        assert head.shape == (1, 7, -(-height // factor), -(-width // factor))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_stopping_early_gives_the_same_first_heads(net, count):
    x = Tensor(image())
    net.eval()
    every, first = net(x), net(x, heads=count)
    assert len(first) == count
    for a, b in zip(every, first, strict=False):
        np.testing.assert_array_equal(a.data, b.data)


def test_heads_are_plain_logits_unless_head_norm(net):
    names = [name for name, _ in net.named_parameters()]
    assert {"deconv43.weight", "deconv43.bias"} <= set(names)
    normed = SegmentationNet(width=2, head_norm=True)
    names = [name for name, _ in normed.named_parameters()]
    assert {"deconv43.deconv.weight", "deconv43.norm.gamma", "deconv43.act.slope"} <= set(names)
    assert [head.shape[1] for head in normed.eval()(Tensor(image()))] == [7, 7, 7, 7]


def test_parameters_come_in_order_of_definition_and_only_heads_have_a_bias(net):
    names = [name for name, _ in net.named_parameters()]
    assert names[0] == "encoder.conv11.conv.weight" and names[-1] == "deconv13.bias"
    biased = {name.split(".")[0] for name in names if name.endswith(".bias")}
    assert biased == {"deconv43", "deconv33", "deconv23", "deconv13"}


def test_every_parameter_gets_a_gradient(net):
    labels = np.random.default_rng(1).integers(0, 7, (2, 55, 45))
    segmentation_loss(net(Tensor(image())), labels).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and np.abs(parameter.grad).max() > 0, name


def test_loss_adds_the_four_heads_with_equal_weight(net):
    labels = np.random.default_rng(1).integers(0, 7, (2, 55, 45))
    heads = net(Tensor(image()))
    expected = 0
    for head in heads:
        small = resize_labels(labels, head.shape[2:])
        x = head.data.astype(np.float64)
        log = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        expected -= np.take_along_axis(log, small[:, None], axis=1).mean()
    assert segmentation_loss(heads, labels).item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_a_network_that_knows_nothing_is_four_times_log_7():
    heads = [Tensor(np.zeros((1, 7, *size), np.float32)) for size in ((7, 6), (14, 12), (28, 23), (55, 45))]
    labels = np.zeros((1, 55, 45), np.uint8)
    assert segmentation_loss(heads, labels).item() == pytest.approx(4 * np.log(7), rel=1e-6)


def test_unlabelled_pixels_do_not_count(net):
    labels = np.random.default_rng(1).integers(0, 7, (2, 55, 45))
    labels[:, ::2] = -1
    heads = net(Tensor(image()))
    before = segmentation_loss(heads, labels).item()
    heads[3].data[:, :, ::2] += np.random.default_rng(2).standard_normal(heads[3].data[:, :, ::2].shape)
    assert segmentation_loss(heads, labels).item() == before


@pytest.mark.parametrize("size", [(109, 89), (55, 45), (34, 27), (8, 8)])
def test_the_label_of_a_head_comes_from_the_pixels_it_was_pooled_from(size):
    """By one pooling, that is: of the coarsest heads' pixels the last few reach over a ragged edge."""
    rows, cols = np.indices(size)
    half = tuple(-(-length // 2) for length in size)
    for labels, index in zip((rows, cols), np.indices(half), strict=True):
        np.testing.assert_array_equal(resize_labels(labels, half) // 2, index)


def test_a_seed_fixes_the_weights_and_width_scales_them():
    def weights(seed, width=2):
        backend.seed(seed)
        return SegmentationNet(width).state_dict()

    same, again, other = weights(1), weights(1), weights(2)
    assert all((same[name] == again[name]).all() for name in same)
    assert (same["encoder.conv11.conv.weight"] != other["encoder.conv11.conv.weight"]).any()
    assert weights(1, width=3)["encoder.conv42.conv.weight"].shape == (24, 24, 3, 3)


def test_evaluation_looks_at_each_image_alone(net):
    x = image(count=2)
    net(Tensor(x))  # running statistics leave their first values
    net.eval()
    with no_grad():
        both, alone = net(Tensor(x))[-1].data, net(Tensor(x[:1]))[-1].data
    # how to convolve is chosen by the batch too, so the last bits may differ
    np.testing.assert_allclose(both[:1], alone, rtol=1e-5, atol=5e-5)


def test_config_builds_the_same_network_again(net):
    again = SegmentationNet(**net.config)
    again.load_state_dict(net.state_dict())
    x = Tensor(image())
    np.testing.assert_array_equal(net.eval()(x)[-1].data, again.eval()(x)[-1].data)
