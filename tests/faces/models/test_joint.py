"""Facts about the joint network: one encoder, used by two networks. Its numbers are compared with a twin elsewhere."""

import numpy as np
import pytest

from tinyface import Tensor, backend, checkpoint, no_grad, ops
from tinyface.faces.models import AttributeNet, JointNet, SegmentationNet, segmentation_loss

SIZE = (19, 15)


@pytest.fixture
def net():
    backend.seed(0)
    return JointNet(2, SIZE)


def faces(count, seed=0, size=SIZE):
    return Tensor(np.random.default_rng(seed).standard_normal((count, 3, *size)).astype(np.float32))


def losses(net):
    """The two losses of a batch of three and one of two."""
    rng = np.random.default_rng(1)
    heads, logits = net(faces(3), faces(2, seed=2))
    labels = rng.integers(0, 7, (3, *SIZE))
    return segmentation_loss(heads, labels), ops.sigmoid_cross_entropy(logits, rng.integers(0, 2, (2, 40)))


def test_the_encoder_is_one_and_counted_once(net):
    assert net.parser.encoder is net.reader.encoder is net.encoder
    parser, reader = SegmentationNet(2, SIZE), AttributeNet(2, "avg", SIZE)
    shared = {f"encoder.{name}" for name in net.encoder.state_dict()}
    own = {f"parser.{name}" for name in parser.state_dict()} | {
        f"reader.{name}" for name in reader.state_dict()
    }
    of_encoder = {name for name in own if ".encoder." in name}
    assert set(net.state_dict()) == shared | (own - of_encoder)
    assert len({id(p) for p in net.parameters()}) == len(net.parameters())


def test_outputs_are_those_of_the_two_networks(net):
    labelled, attributed = faces(3), faces(2, seed=2)
    net.eval()
    with no_grad():
        heads, logits = net(labelled, attributed)
        for head, expected in zip(heads, net.parser(labelled), strict=True):
            np.testing.assert_allclose(head.data, expected.data, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(logits.data, net.reader(attributed).data, rtol=1e-4, atol=1e-6)
    assert [head.shape[0] for head in heads] == [3] * 4 and logits.shape == (2, 40)


def test_both_losses_reach_the_encoder_and_each_only_its_own_part(net):
    gradients = []
    for index in range(2):
        net.zero_grad()
        losses(net)[index].backward()
        gradients.append(
            {n: p.grad for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
        )
    encoder = {name for name, _ in net.named_parameters() if name.startswith("encoder.")}
    parser = {name for name, _ in net.named_parameters() if name.startswith("parser.")}
    reader = {name for name, _ in net.named_parameters() if name.startswith("reader.")}
    assert gradients[0].keys() == encoder | parser and gradients[1].keys() == encoder | reader
    net.zero_grad()
    a, b = losses(net)
    (a + b).backward()
    for name, parameter in net.named_parameters():
        each = [g[name] for g in gradients if name in g]
        np.testing.assert_allclose(parameter.grad, sum(each), rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_encoder_normalises_both_batches_together(net):
    labelled, attributed = faces(3), faces(2, seed=2)
    convolved = net.encoder.conv11.conv(ops.concat((labelled, attributed), axis=0)).data
    net.train()(labelled, attributed)
    mean = convolved.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(net.encoder.conv11.norm.running_mean, 0.1 * mean, rtol=1e-3, atol=1e-6)


def test_faces_of_two_sizes_are_refused(net):
    with pytest.raises(ValueError, match="concat: shapes"):
        net(faces(2), faces(2, size=(19, 16)))


def test_a_checkpoint_gives_back_both(net, tmp_path):
    path = tmp_path / "joint.h5"
    checkpoint.save(path, checkpoint.Checkpoint(net))
    loaded = checkpoint.load_network(path)
    assert isinstance(loaded, JointNet) and loaded.reader.encoder is loaded.parser.encoder
    for part in ("parser", "reader"):
        one, other = (getattr(n, part).state_dict() for n in (net, loaded))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
