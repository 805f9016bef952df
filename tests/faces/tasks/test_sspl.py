"""SSPL's task: puzzles, losses, measures, on the CPU and, where there is one, on a GPU."""

import numpy as np
import pytest

from tinyface import Tensor, backend, optim
from tinyface.errors import NotFiniteError
from tinyface.faces.data.loader import Batch
from tinyface.faces.data.patches import PRESENT, square_slices, tile_slices
from tinyface.faces.data.transforms import resize_labels
from tinyface.faces.models import SegmentationNet, SSPLNet
from tinyface.faces.tasks import segmentation_heads
from tinyface.faces.tasks.sspl import NOWHERE, SSPLTask, sum_of

SIZE = (45, 39)
FACES = 12


def batch(step=0, count=FACES, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (count, 3, *SIZE)).astype(np.float32)
    return Batch(step, np.arange(count), np.zeros(count, bool), images, np.zeros((count, 40), np.float32))


def make_task(device="cpu", seed=3, backbone="encoder"):
    backend.seed(1)
    segmentation_net, network = SegmentationNet(2, SIZE), SSPLNet(backbone, 2, SIZE)
    for _ in range(3):  # running statistics that are not those of the start
        segmentation_net(Tensor(batch(seed=5).images))
    return SSPLTask(network.to(device), segmentation_net.to(device), seed)


def on_cpu(pretext_batch):
    return {name: backend.to_device(array, "cpu") for name, array in vars(pretext_batch).items()}


@pytest.fixture
def task(device):
    return make_task(device)


@pytest.fixture
def pretext_batch(task):
    return on_cpu(task.pretext_batch(batch()))


def regions_seen_by(segmentation_net):
    logits = segmentation_heads(segmentation_net, batch().images, 3)[-1].numpy()
    return resize_labels(logits.argmax(axis=1), SIZE)


def test_one_tile_is_turned_and_its_regions_with_it(task, pretext_batch):
    images, regions = batch().images, regions_seen_by(task.segmentation_net)
    assert len(np.unique(regions)) > 1
    turned = pretext_batch["places"] != NOWHERE
    assert turned.any() and not turned.all()
    np.testing.assert_array_equal(turned, pretext_batch["angles"] != 0)
    for n in range(FACES):
        expected, labels = images[n].copy(), regions[n].copy()
        if turned[n]:
            rows, columns = square_slices(SIZE)[pretext_batch["places"][n]]
            turns = pretext_batch["angles"][n]
            expected[:, rows, columns] = np.rot90(images[n][:, rows, columns], turns, (1, 2))
            labels[rows, columns] = np.rot90(regions[n][rows, columns], turns)
        np.testing.assert_array_equal(pretext_batch["images"][n], expected)
        np.testing.assert_array_equal(pretext_batch["maps"][n], labels)


def test_presence_is_what_the_segmentation_net_saw_in_each_tile(task, pretext_batch):
    regions = regions_seen_by(task.segmentation_net)
    for tile, (rows, columns) in enumerate(tile_slices(SIZE)):
        for region in range(7):
            share = (regions[:, rows, columns] == region).mean(axis=(1, 2))
            found = pretext_batch["presence"][:, region, tile // 3, tile % 3]
            np.testing.assert_array_equal(found, share.astype(np.float32) >= np.float32(PRESENT))
    assert 0 < pretext_batch["presence"].mean() < 1


def test_pretext_batchs_are_functions_of_seed_and_step(device):
    def same(a, b):
        return all(np.array_equal(a[name], b[name]) for name in a)

    task = make_task(device)
    first = on_cpu(task.pretext_batch(batch(7)))
    assert same(first, on_cpu(make_task(device).pretext_batch(batch(7))))
    assert not same(first, on_cpu(task.pretext_batch(batch(8))))
    assert not same(first, on_cpu(make_task(device, seed=4).pretext_batch(batch(7))))
    assert not same(first, on_cpu(task.pretext_batch(batch(7), validating=True)))


@pytest.mark.parametrize("backbone", ["encoder", "resnet18"])
def test_the_losses_by_their_formulas(backbone):
    task = make_task(backbone=backbone)
    pretext_batch = task.pretext_batch(batch())
    losses = {name: loss.item() for name, loss in task.losses(pretext_batch).items()}
    task.network.train()
    place, angle, maps, presence = (
        x.numpy().astype(np.float64) for x in task.network(Tensor(pretext_batch.images))
    )

    def entropy(logits, labels):
        logits = np.moveaxis(logits, 1, -1)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return -np.take_along_axis(log_p, labels[..., None].astype(int), -1).mean()

    turned = pretext_batch.places != NOWHERE
    assert losses["place"] == pytest.approx(entropy(place[turned], pretext_batch.places[turned]), rel=1e-4)
    assert losses["angle"] == pytest.approx(entropy(angle, pretext_batch.angles), rel=1e-4)
    assert losses["map"] == pytest.approx(
        entropy(maps, resize_labels(pretext_batch.maps, maps.shape[2:])), rel=1e-4
    )
    binary = np.log1p(np.exp(presence)) - pretext_batch.presence * presence
    assert losses["presence"] == pytest.approx(binary.mean(), rel=1e-4)
    assert task.loss(batch()).item() == pytest.approx(sum(losses.values()), rel=1e-4)


def test_an_image_that_was_not_turned_has_no_place_to_learn(task):
    pretext_batch = task.pretext_batch(batch())
    losses = task.losses(pretext_batch)
    still = backend.get_array_module(pretext_batch.places).full_like(pretext_batch.places, NOWHERE)
    pretext_batch.places = still
    losses = task.losses(pretext_batch)
    assert losses["place"].item() == 0
    sum_of(losses).backward()
    assert not task.network.place.weight.grad.any() and task.network.angle.weight.grad.any()


def test_the_segmentation_net_stays_as_it_is(task):
    before = task.segmentation_net.state_dict()
    task.loss(batch()).backward()
    assert all(p.grad is None for p in task.segmentation_net.parameters())
    assert all(
        np.array_equal(before[name], array) for name, array in task.segmentation_net.state_dict().items()
    )


def test_a_few_steps_lower_the_loss(task):
    optimizer = optim.AdaGrad(task.network.parameters(), 0.02)
    found = []
    for _ in range(12):
        task.network.zero_grad()
        loss = task.loss(batch(0))
        loss.backward()
        optimizer.step()
        found.append(float(loss.item()))
    assert found[-1] < 0.6 * found[0]


# ---------------------------------------------------------------- measures


class Knowing:
    """Stands in for the network: answers that are right but for `wrong` of the images, the first ones."""

    device = "cpu"

    def __init__(self, pretext_batch, wrong):
        self.pretext_batch, self.wrong = pretext_batch, wrong

    def eval(self):
        return self

    def __call__(self, x):
        def logits(labels, classes):
            labels = labels.copy()
            labels[: self.wrong] = (labels[: self.wrong] + 1) % classes
            return np.moveaxis(np.eye(classes)[labels.astype(int)], -1, 1)

        p = self.pretext_batch
        places = np.where(p.places == NOWHERE, 0, p.places)
        maps = resize_labels(p.maps, [-(-length // 2) for length in SIZE])
        presence = 2 * p.presence - 1
        presence[: self.wrong] *= -1
        return [
            Tensor(np.ascontiguousarray(a))
            for a in (logits(places, 9), logits(p.angles, 4), logits(maps, 7), presence)
        ]


@pytest.mark.parametrize("wrong", [0, 3, FACES])
def test_measures_of_known_answers(wrong):
    task = make_task()
    pretext_batch = task.pretext_batch(batch(), validating=True)
    task.network = Knowing(pretext_batch, wrong)
    measures = task.summarise(task.evaluate([batch()]))
    right = 1 - wrong / FACES
    turned = pretext_batch.places != NOWHERE
    assert measures["angle_accuracy"] == pytest.approx(right)
    assert measures["place_accuracy"] == pytest.approx(turned[wrong:].sum() / turned.sum())
    assert measures["presence_accuracy"] == pytest.approx(right)
    if wrong in (0, FACES):
        assert measures["mean_iou"] == pytest.approx(right)
    four = ("angle_accuracy", "place_accuracy", "mean_iou", "presence_accuracy")
    assert measures["mean"] == pytest.approx(np.mean([measures[name] for name in four]))


def test_several_batches_count_together(task):
    whole = task.evaluate([batch(0), batch(1, seed=1)])
    parts = [task.evaluate([b]) for b in (batch(0), batch(1, seed=1))]
    for name in ("places", "turned", "angles", "images", "presence", "tiles"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts) > 0 or name == "places"
    np.testing.assert_array_equal(
        whole.confusion.counts, sum(part.confusion.counts for part in parts), err_msg="regions"
    )


def test_outputs_that_are_no_numbers(task):
    task.network.angle.bias.data[0] = np.nan
    with pytest.raises(NotFiniteError):
        task.evaluate([batch()])


@pytest.mark.gpu
@pytest.mark.parametrize("backbone", ["encoder", "resnet18"])
def test_the_gpu_gives_the_same_pretext_batch_and_loss(backbone):
    cpu, cuda = (make_task(device, backbone=backbone) for device in ("cpu", "cuda"))
    ours, theirs = (on_cpu(task.pretext_batch(batch())) for task in (cpu, cuda))
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert cuda.loss(batch()).item() == pytest.approx(cpu.loss(batch()).item(), rel=1e-4)
