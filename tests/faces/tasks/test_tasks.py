import dataclasses

import numpy as np
import pytest

from tinyface import Tensor, backend, no_grad, optim
from tinyface.errors import NotFiniteError
from tinyface.faces import tasks
from tinyface.faces.data.landmarks import landmarks_from_regions
from tinyface.faces.data.loader import Batch
from tinyface.faces.metrics import attribute_metrics
from tinyface.faces.models import AttributeNet, JointNet, SegmentationNet
from tinyface.faces.models.attributes import HEADS_NEEDED, MODES
from tinyface.ops.sigmoid import logistic

SIZE = (19, 15)
REGIONS, ATTRIBUTES = 7, 40


@pytest.fixture(scope="module")
def batches():
    """Three batches of noise with attributes and label maps; the last is short, as in validation."""
    rng = np.random.default_rng(0)
    made = {"attributes": [], "labels": []}
    for number, count in enumerate((3, 3, 2)):
        images = rng.uniform(-1, 1, (count, 3, *SIZE)).astype(np.float32)
        attributes = rng.integers(0, 2, (count, ATTRIBUTES)).astype(np.float32)
        labels = rng.integers(0, REGIONS, (count, *SIZE), dtype=np.uint8)
        for name, targets in (("attributes", attributes), ("labels", labels)):
            made[name].append(Batch(number, np.arange(count), np.zeros(count, bool), images, targets))
    return made


def make_segmentation_net():
    """A segmentation network whose running statistics are not those of the start, so that training mode would show."""
    backend.seed(1)
    segmentation_net = SegmentationNet(2, SIZE)
    rng = np.random.default_rng(1)
    for buffer in segmentation_net.buffers():
        buffer += rng.uniform(0, 0.5, buffer.shape).astype(np.float32)
    return segmentation_net


def make_task(mode, seed=2):
    backend.seed(seed)
    network = AttributeNet(2, mode, SIZE)
    rng = np.random.default_rng(seed)
    for parameter in network.parameters():
        parameter.data += 0.1 * rng.standard_normal(parameter.shape).astype(np.float32)
    return tasks.AttributeTask(network, make_segmentation_net() if HEADS_NEEDED[mode] else None)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


# ---------------------------------------------------------------- the segmentation network while attributes train


@pytest.mark.parametrize("mode", [mode for mode in MODES if HEADS_NEEDED[mode]])
def test_the_segmentation_net_is_frozen(batches, mode):
    task = make_task(mode)
    task.segmentation_net.train()  # as a network fresh from training might come
    before = task.segmentation_net.state_dict()
    optimizer = optim.AdaGrad(task.network.parameters(), lr=0.1)
    for batch in batches["attributes"]:
        task.network.train()
        task.network.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
        task.evaluate([batch])
    after = task.segmentation_net.state_dict()
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []
    assert all(parameter.grad is None for parameter in task.segmentation_net.parameters())
    assert not any(module.training for _, module in task.segmentation_net.named_modules())
    assert all(parameter.grad is not None for parameter in task.network.parameters())


@pytest.mark.parametrize("mode", [mode for mode in MODES if HEADS_NEEDED[mode]])
def test_a_face_is_parsed_the_same_whatever_else_is_in_the_batch(batches, mode):
    task = make_task(mode)
    images = batches["attributes"][0].images
    together = task.probabilities(images)
    alone = np.concatenate([task.probabilities(image[None]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("needed, count", [(0, None), (2, 2), (3, 3)])
def test_only_the_heads_that_are_needed_are_made(batches, needed, count):
    segmentation_net = make_segmentation_net()
    images = batches["attributes"][0].images
    heads = tasks.segmentation_heads(segmentation_net, images, needed)
    if count is None:
        assert heads is None
        return
    assert len(heads) == count and not any(head.requires_grad for head in heads)
    with no_grad():
        whole = segmentation_net(Tensor(images))
    for head, expected in zip(heads, whole, strict=False):
        np.testing.assert_array_equal(head.data, expected.data)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("mode", MODES)
def test_attribute_loss_by_hand(batches, mode):
    task, batch = make_task(mode), batches["attributes"][0]
    task.network.eval()  # so that asking twice gives the same logits
    p, t = sigmoid(task.logits(batch.images).data), batch.targets
    expected = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    np.testing.assert_allclose(task.loss(batch).data, expected, rtol=1e-5)


def test_segmentation_loss_by_hand(batches):
    task, batch = tasks.SegmentationTask(make_segmentation_net().eval()), batches["labels"][0]
    expected = 0
    for head in task.network(Tensor(batch.images)):
        logits = head.data.astype(np.float64)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        _, _, h, w = logits.shape
        pixels = [
            log_p[n, batch.targets[n, int((i + 0.5) * SIZE[0] / h), int((j + 0.5) * SIZE[1] / w)], i, j]
            for n in range(len(logits))
            for i in range(h)
            for j in range(w)
        ]
        expected -= np.mean(pixels)
    np.testing.assert_allclose(task.loss(batch).data, expected, rtol=1e-5)


def test_balanced_loss_by_hand(batches):
    plain, batch = make_task("avg"), batches["attributes"][0]
    weights = np.linspace(0.1, 5, ATTRIBUTES).astype(np.float32)
    task = tasks.BalancedTask(plain.network.eval(), None, weights)
    p, t = sigmoid(task.logits(batch.images).data), batch.targets
    expected = -np.mean(weights * t * np.log(p) + (1 - t) * np.log(1 - p))
    np.testing.assert_allclose(task.loss(batch).data, expected, rtol=1e-5)
    assert (task.measure, task.larger_is_better) == ("balanced_accuracy", True)
    assert task.measure in task.summarise(task.evaluate(batches["attributes"]))


def test_positive_weights_balance_the_training_split():
    shares = np.array([1, 2, 5, 8, 9]) / 10
    attributes = (np.arange(10)[:, None] < 10 * shares).astype(np.uint8)
    weights = tasks.positive_weights(attributes)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [9, 4, 1, 1 / 4, 1 / 9], rtol=1e-6)
    positives, negatives = attributes.sum(axis=0), (1 - attributes).sum(axis=0)
    np.testing.assert_allclose(weights * positives, negatives, rtol=1e-6)


def test_positive_weights_of_rare_and_one_sided_attributes():
    attributes = np.zeros((1000, 4), np.uint8)
    attributes[0, 0] = 1  # one face in a thousand
    attributes[1:, 1] = 1  # all but one
    attributes[:, 2] = 1  # all; and of the last, none
    assert tasks.positive_weights(attributes).tolist() == [100, np.float32(1 / 100), 1, 1]


def joint_batch(batches):
    return tasks.JointBatch(batches["labels"][0], batches["attributes"][2])


def test_joint_loss_is_the_sum_of_both(batches):
    backend.seed(3)
    task, batch = tasks.JointTask(JointNet(2, SIZE)), joint_batch(batches)
    task.network.eval()
    apart = (
        task.segmentation_task.loss(batch.labelled).item() + task.attribute_task.loss(batch.attributed).item()
    )
    assert task.loss(batch).item() == pytest.approx(apart, rel=1e-5)


def test_joint_measures(batches):
    backend.seed(3)
    task = tasks.JointTask(JointNet(2, SIZE))
    found = (
        task.segmentation_task.evaluate(batches["labels"]),
        task.attribute_task.evaluate(batches["attributes"]),
    )
    measures = task.summarise(found)
    assert measures["mean_iou"] == found[0].mean_iou() and measures["error"] == found[1].mean_error
    assert measures[task.measure] == found[0].mean_iou() and task.larger_is_better
    assert list(task.summarise((found[0], None))) == ["mean_iou", "pixel_accuracy"]


def test_training_mode_uses_the_statistics_of_the_batch(batches):
    task, batch = make_task("avg"), batches["attributes"][0]
    evaluated = task.network.eval() and task.loss(batch).item()
    assert task.network.train() and task.loss(batch).item() != evaluated


# ---------------------------------------------------------------- measures


def test_parse_takes_the_finest_head(batches):
    segmentation_net, images = make_segmentation_net(), batches["labels"][0].images
    regions = tasks.parse(segmentation_net, images)
    assert regions.shape == (3, *SIZE) and regions.dtype == np.uint8
    assert not segmentation_net.training
    with no_grad():
        np.testing.assert_array_equal(regions, segmentation_net(Tensor(images))[-1].data.argmax(axis=1))
    assert len(np.unique(regions)) > 1


def test_segmentation_measures_by_hand(batches):
    task = tasks.SegmentationTask(make_segmentation_net())
    measures = task.summarise(task.evaluate(batches["labels"]))
    got = np.concatenate([tasks.parse(task.network, b.images) for b in batches["labels"]])
    truth = np.concatenate([b.targets for b in batches["labels"]])
    iou = [((got == r) & (truth == r)).sum() / ((got == r) | (truth == r)).sum() for r in range(REGIONS)]
    assert measures == {
        "mean_iou": pytest.approx(np.mean(iou), rel=1e-12),
        "pixel_accuracy": pytest.approx((got == truth).mean(), rel=1e-12),
    }
    assert measures[task.measure] == measures["mean_iou"] and task.larger_is_better


@pytest.mark.parametrize("mode", MODES)
def test_probabilities_come_from_the_network_in_evaluation_mode(batches, mode):
    task, images = make_task(mode), batches["attributes"][0].images
    probabilities = task.probabilities(images)
    assert not task.network.training
    assert probabilities.shape == (3, ATTRIBUTES)
    np.testing.assert_allclose(probabilities, sigmoid(task.logits(images).data), rtol=1e-5)


def test_attribute_measures(batches):
    task = make_task("avg")
    metrics = task.evaluate(batches["attributes"])
    probabilities = np.concatenate([task.probabilities(b.images) for b in batches["attributes"]])
    truth = np.concatenate([b.targets for b in batches["attributes"]])
    measures = task.summarise(metrics)
    assert metrics.count == 8
    assert measures["error"] == pytest.approx(((probabilities > 0.5) != truth).mean())
    expected = attribute_metrics(probabilities, truth)
    assert measures["average_precision"] == expected.mean_average_precision
    assert measures["balanced_accuracy"] == expected.mean_balanced_accuracy
    assert measures[task.measure] == measures["error"] and not task.larger_is_better


def test_each_network_and_the_average_of_their_probabilities(batches):
    pair = [make_task("ssp", seed=3), make_task("ssg", seed=4)]
    pair[1].segmentation_net = pair[0].segmentation_net
    measured = tasks.evaluate_all(pair, batches["attributes"])
    images = [b.images for b in batches["attributes"]]
    one, other = (np.concatenate([task.probabilities(i) for i in images]) for task in pair)
    truth = np.concatenate([b.targets for b in batches["attributes"]])
    for metrics, probabilities in zip(measured, (one, other, (one + other) / 2), strict=True):
        expected = attribute_metrics(probabilities, truth)
        for name in ("error", "average_precision", "balanced_accuracy"):
            np.testing.assert_array_equal(getattr(metrics, name), getattr(expected, name))
    precisions = {metrics.mean_average_precision for metrics in measured}
    assert len(precisions) == 3  # else the test would not tell them apart
    [alone] = tasks.evaluate_all(pair[:1], batches["attributes"])
    np.testing.assert_array_equal(alone.error, measured[0].error)


def test_each_face_goes_once_through_each_network_and_the_segmentation_net_they_share(batches, monkeypatch):
    trio = [make_task(mode) for mode in ("ssg", "ssp", "avg")]
    trio[1].segmentation_net = trio[0].segmentation_net
    runs = []

    def counting(kind):
        forward = kind.forward

        def counted(self, x, heads=None, *landmarks):
            runs.append((self, heads if kind is SegmentationNet else None))
            return forward(self, x, heads, *landmarks)

        monkeypatch.setattr(kind, "forward", counted)

    counting(SegmentationNet)
    counting(AttributeNet)
    tasks.evaluate_all(trio, batches["attributes"])
    once = [(trio[0].segmentation_net, 3), *((task.network, None) for task in trio)]
    assert runs == once * len(batches["attributes"])


def test_only_ssp_and_ssg_are_averaged(batches):
    made = [make_task(mode) for mode in ("avg", "ssp", "naive", "ssg", "joint")]
    assert (
        tasks.averaged(made) == [1, 3] and tasks.averaged(made[:3]) == [] and tasks.averaged(made[2:]) == []
    )
    measured = tasks.evaluate_all(made, batches["attributes"])
    assert len(measured) == 6
    pair = tasks.evaluate_all([made[1], made[3]], batches["attributes"])
    np.testing.assert_array_equal(measured[-1].average_precision, pair[-1].average_precision)
    assert len(tasks.evaluate_all(made[:3], batches["attributes"])) == 3


# ---------------------------------------------------------------- landmarks


def with_landmarks(batch, seed=5):
    points = np.random.default_rng(seed).uniform(0, SIZE[::-1], (len(batch.images), 5, 2))
    return dataclasses.replace(batch, landmarks=points.astype(np.float32))


def test_bbox_takes_the_landmarks_of_the_batch_and_runs_no_segmentation_net(batches, monkeypatch):
    task, batch = make_task("bbox"), with_landmarks(batches["attributes"][0])
    monkeypatch.setattr(SegmentationNet, "forward", None)
    with no_grad():
        expected = task.network.eval()(Tensor(batch.images), landmarks=batch.landmarks)
    np.testing.assert_array_equal(task.logits(batch.images, landmarks=batch.landmarks).data, expected.data)
    np.testing.assert_array_equal(tasks.gather([task], [batch])[0][0], logistic(expected.data))
    loss = task.loss(batch).item()
    assert task.loss(with_landmarks(batch, seed=6)).item() != loss


def test_bbox_without_landmarks_takes_those_of_the_segmentation_nets_regions(batches, monkeypatch):
    task, batch = make_task("bbox"), batches["attributes"][0]
    finest = np.random.default_rng(0).standard_normal((3, REGIONS, *SIZE))
    monkeypatch.setattr(
        "tinyface.faces.tasks.attributes.segmentation_heads",
        lambda segmentation_net, images, needed: [None, None, None, Tensor(finest)][:needed] or None,
    )
    points = landmarks_from_regions(finest.argmax(axis=1))
    assert np.ptp(points, axis=0).max() > 0  # else it would not matter which face is whose
    expected = task.probabilities(batch.images, landmarks=points)
    np.testing.assert_array_equal(task.probabilities(batch.images), expected)
    np.testing.assert_array_equal(tasks.gather([task], [batch])[0][0], expected)
    assert (expected != task.probabilities(batch.images, landmarks=points[::-1].copy())).any()


def test_only_bbox_wants_landmarks(batches):
    assert [mode for mode in MODES if make_task(mode).landmarks] == ["bbox"]
    for mode in MODES:
        if mode != "bbox":
            task, [batch] = make_task(mode), batches["attributes"][:1]
            [got], _ = tasks.gather([task], [with_landmarks(batch)])
            np.testing.assert_array_equal(got, task.probabilities(batch.images))


def test_networks_with_segmentation_nets_of_their_own(batches):
    pair = [make_task("ssp"), make_task("ssg")]
    pair[1].segmentation_net.deconv33.bias.data += np.arange(7, dtype=np.float32)
    measured = tasks.evaluate_all(pair, batches["attributes"])
    for task, metrics in zip(pair, measured, strict=False):
        np.testing.assert_array_equal(
            metrics.average_precision, task.evaluate(batches["attributes"]).average_precision
        )


def test_outputs_that_are_nan_are_refused(batches):
    task = make_task("avg")
    task.network.head.linear.bias.data[3] = np.nan
    with pytest.raises(NotFiniteError, match="outputs are not finite numbers"):
        task.evaluate(batches["attributes"])


# ---------------------------------------------------------------- what SSP looks at


def test_region_weights_are_reachable_and_add_up_to_one(batches):
    task = make_task("ssp")
    for batch in (batches["attributes"][0], batches["attributes"][2]):
        task.probabilities(batch.images)
        weights = task.network.region_weights
        assert isinstance(weights, np.ndarray)
        assert weights.shape == (len(batch.images), REGIONS, ATTRIBUTES)
        assert (weights > 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(weights, axis=1).max() > 1e-3  # and they do prefer some regions
