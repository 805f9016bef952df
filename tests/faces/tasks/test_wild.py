import numpy as np

from tinyface import Tensor, backend
from tinyface.faces import tasks
from tinyface.faces.data.loader import Batch
from tinyface.faces.metrics import attribute_metrics
from tinyface.faces.models import ANet, LNet
from tinyface.faces.tasks.wild import PAIR_WEIGHT, RESPONSE_PENALTY
from tinyface.ops.sigmoid import logistic


def test_identities_are_told_and_drawn_together():
    backend.seed(0)
    network, rng = ANet(2, (56, 56), features=5, outputs=3).eval(), np.random.default_rng(0)
    images = rng.uniform(-1, 1, (4, 3, 56, 56)).astype(np.float32)
    ids = np.array([2, 2, 0, 0])
    batch = Batch(0, np.arange(4), np.zeros(4, bool), images, ids)
    loss = tasks.IdentityTask(network).loss(batch)
    f, logits = (
        network.features(Tensor(images)).numpy().astype(float),
        network(Tensor(images)).numpy().astype(float),
    )
    surprise = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), ids]
    apart = ((f[0] - f[1]) ** 2).sum() + ((f[2] - f[3]) ** 2).sum()
    assert apart > 0.1
    np.testing.assert_allclose(loss.item(), surprise.mean() + PAIR_WEIGHT * apart / 4, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None and np.abs(p.grad).max() > 0 for p in network.parameters())


def test_patches_take_turns_and_the_middle_one_judges():
    backend.seed(0)
    network, rng = ANet(2, (56, 56), features=5).eval(), np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 3, 72, 72)).astype(np.float32)  # 3 × 3 patches, 8 pixels apart
    targets = rng.integers(0, 2, (2, 40)).astype(np.float32)
    task, identity = tasks.FaceTask(network), tasks.IdentityTask(network)
    seen, told = [], []
    for step in range(10):
        batch = Batch(step, np.arange(2), np.zeros(2, bool), images, targets)
        places = [divmod((step + i) % 9, 3) for i in range(2)]
        part = np.stack(
            [x[:, 8 * r : 8 * r + 56, 8 * c : 8 * c + 56] for x, (r, c) in zip(images, places, strict=True)]
        )
        logits = network(Tensor(part)).numpy().astype(float)
        surprise = np.log1p(np.exp(logits)) - targets * logits
        np.testing.assert_allclose(task.loss(batch).item(), surprise.mean(), rtol=1e-4)
        seen.append(surprise.mean())
        told.append(identity.loss(Batch(step, *[None] * 2, images, np.array([0, 1]))).item())
    assert len(set(seen)) == len(set(told)) == 9 and seen[9] == seen[0]
    middle = network(Tensor(images[:, :, 8:64, 8:64])).numpy()
    np.testing.assert_allclose(task.probabilities(images), logistic(middle), rtol=1e-4)


def test_tags_need_no_segmentation_net():
    backend.seed(0)
    network, rng = LNet(1, (48, 48), 2), np.random.default_rng(0)
    images = rng.uniform(-1, 1, (3, 3, 48, 48)).astype(np.float32)
    targets = rng.integers(0, 2, (3, 40)).astype(np.float32)
    batch = Batch(0, np.arange(3), np.zeros(3, bool), images, targets)
    task = tasks.LocatingTask(network)
    network.eval()
    logits = network(Tensor(images)).numpy().astype(float)
    surprise = np.log1p(np.exp(logits)) - targets * logits
    price = RESPONSE_PENALTY * network.features(Tensor(images)).numpy().mean()
    assert price > 1e-3 * surprise.mean()
    np.testing.assert_allclose(task.loss(batch).item(), surprise.mean() + price, rtol=1e-4)
    np.testing.assert_allclose(task.probabilities(images), logistic(logits), rtol=1e-4)
    wanted = attribute_metrics(logistic(logits), targets)
    measures = task.summarise(task.evaluate([batch]))
    assert abs(measures[task.measure] - wanted.mean_average_precision) < 1e-6 and task.larger_is_better
