import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint
from tinyface.faces.models import ANet, AttributeSVM, LNet
from tinyface.faces.models.lnet_anet import NO_TAG, cell_side, shared_length


@pytest.fixture(autouse=True)
def seed():
    backend.seed(0)


def test_lnet_is_alexnets_five_layers():
    net = LNet(32, (227, 227), 4)
    shapes = [layer.conv.weight.shape for layer in (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5)]
    assert shapes == [(96, 3, 11, 11), (256, 96, 5, 5), (384, 256, 3, 3), (384, 384, 3, 3), (256, 384, 3, 3)]


@pytest.mark.parametrize(("size", "stride", "cells"), [(227, 4, 14), (80, 2, 10), (32, 2, 4), (114, 2, 14)])
def test_lnets_map(put, device, normal, size, stride, cells):
    net = LNet(1, (size, size), stride).to(device)
    x = Tensor(put(normal((2, 3, size, size)).astype(np.float32)))
    c5 = net.features(x)
    assert c5.shape == (2, 8, cells, cells) and net(x).shape == (2, 40)
    np.testing.assert_allclose(net.response(x).numpy(), c5.numpy().mean(axis=1), rtol=1e-5, atol=1e-6)
    loudest = c5.numpy().max(axis=(2, 3))
    tags = loudest @ backend.to_device(net.tags.weight.data, "cpu").T + NO_TAG
    np.testing.assert_allclose(net(x).numpy(), tags, rtol=1e-4, atol=1e-4)


def test_a_silent_map_has_no_tags(put, device):
    net = LNet(1, (48, 48), 2).to(device)
    np.testing.assert_allclose(net.tags(Tensor(put(np.zeros((1, 8, 6, 6), np.float32)))).numpy(), NO_TAG)


@pytest.mark.parametrize(("size", "stride"), [((80, 60), 2), ((31, 31), 2), ((115, 115), 2), ((80, 80), 3)])
def test_lnet_refuses_sizes(size, stride):
    with pytest.raises(ValueError, match="LNet"):
        LNet(1, size, stride)


@pytest.mark.parametrize(("size", "cell"), [(56, 1), (80, 2), (104, 3), (224, 8)])
def test_anets_cells(put, device, normal, size, cell):
    net = ANet(2, (size, size), features=5, outputs=3).to(device)
    x = Tensor(put(normal((2, 3, size, size)).astype(np.float32)))
    c2 = net.shared(x)
    assert (
        net.cell == cell
        and c2.shape == (2, 4, 3 * cell + 2, 3 * cell + 2)
        and shared_length(size) == 3 * cell + 2
    )
    assert net.local(c2).shape == (2, 8, 2 * cell, 2 * cell)
    assert net.features(x).shape == (2, 5) and net(x).shape == (2, 3)


def test_a_cell_of_c4_reads_four_cells_of_c3(normal):
    """Cell 2 of C4 (the upper right one) reads cells 2, 3, 5 and 6 of C3, and nothing else."""
    net = ANet(2, (80, 80), features=5)
    c3 = normal((1, 6, 6, 6)).astype(np.float32)
    before = net.conv4(Tensor(c3)).numpy()[:, :, :2, 2:].copy()
    for row in range(3):
        for column in range(3):
            changed = c3.copy()
            changed[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 1
            after = net.conv4(Tensor(changed)).numpy()[:, :, :2, 2:]
            assert (after != before).any() == (row < 2 and column > 0)


@pytest.mark.parametrize("size", [(80, 56), (64, 64), (20, 20)])
def test_anet_refuses_sizes(size):
    with pytest.raises(ValueError, match=r"ANet: .*56, 80, 104"):
        ANet(2, size)
    assert cell_side((80, 80)) == 2


def test_attributes_begin_with_identities(normal):
    people, faces = ANet(2, (56, 56), 5, outputs=9), ANet(2, (56, 56), 5)
    head = faces.head.weight.data.copy()
    faces.load_encoder_from(people)
    x = Tensor(normal((2, 3, 56, 56)).astype(np.float32))
    np.testing.assert_array_equal(faces.features(x).numpy(), people.features(x).numpy())
    np.testing.assert_array_equal(faces.head.weight.data, head)


def test_machines_are_saved_and_separate(tmp_path):
    rng = np.random.default_rng(0)
    features = 40 * rng.standard_normal((300, 4)).astype(np.float32) + [0, 9, 100, 1]
    features[:, 3] = 5  # one that never changes
    targets = np.stack([features[:, 0] > 3, features[:, 1] < features[:, 2] - 95], axis=1).astype(np.uint8)
    svm = AttributeSVM(4, 2).fit(features, targets, c=10)
    assert ((svm.scores(features) > 0) == targets).mean() > 0.97
    checkpoint.save(tmp_path / "svm.h5", checkpoint.Checkpoint(svm))
    again = checkpoint.load_network(tmp_path / "svm.h5")
    np.testing.assert_array_equal(again.scores(features), svm.scores(features))
