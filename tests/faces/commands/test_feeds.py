import functools
from types import SimpleNamespace

import pytest

from tinyface import checkpoint
from tinyface.errors import TinyfaceError
from tinyface.faces import tasks
from tinyface.faces.commands import anet, attributes, joint, lnet, segmentation, sspl
from tinyface.faces.commands.feeds import REPEATING, Feed
from tinyface.faces.data import toywild
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.presets import PRESETS

TINY = PRESETS["tiny"]


def feed(faces, batch_size, **more):
    options = SimpleNamespace(batch_size=batch_size, seed=3, workers=0, device="cpu", labels=1.0, **more)
    task = tasks.AttributeTask(AttributeNet(TINY.width, "avg", TINY.size))
    return Feed.of_folder(task, faces, options)


def test_a_folder_feeds_its_training_split_and_validates_on_the_other(faces):
    found = feed(faces, 4)
    with found.batches(2) as batches:
        batch = next(batches)
    assert batch.step == 2 and batch.images.shape == (4, 3, *TINY.size)
    assert (found.name, len(found.dataset), len(found.validation)) == (faces, 6, 5)
    assert len(found.evaluator()().error) == 40


def test_a_batch_out_of_all_proportion_is_refused(faces):
    assert len(open_dataset(faces, "train", "attributes")) == 6
    feed(faces, REPEATING)  # a preset's, with each image many times
    for size in (REPEATING + 1, 10**8):
        with pytest.raises(TinyfaceError, match=f"^--batch-size {size}: is more than the 6 training images"):
            feed(faces, size)


@pytest.mark.parametrize(
    "train",
    [
        segmentation.train_segmentation,
        functools.partial(attributes.train_attributes, ["avg"]),
        joint.train_joint,
        sspl.pretrain_sspl,
        lnet.train_lnet,
        anet.train_anet,
    ],
)
def test_commands_refuse_it_before_anything_is_written(faces, train, tmp_path):
    trained = tmp_path / "runs" / "seg" / "best.h5"
    trained.parent.mkdir(parents=True)
    checkpoint.save(trained, checkpoint.Checkpoint(SegmentationNet(TINY.width, TINY.size)))
    data = tmp_path / "wild"
    toywild.draw_dataset(data, 4, 2, 0, per_person=2)
    wild = train in (lnet.train_lnet, anet.train_anet)
    given = {"preset": "tiny", "batch_size": 10**8, "data": str(data) if wild else faces}
    with pytest.raises(TinyfaceError, match=r"^--batch-size 100000000: is more than"):
        train(given, out="mine", log=lambda line: None)
    assert not (tmp_path / "mine").exists()


def test_no_preset_is_out_of_proportion():
    kinds = ("segmentation", "attributes", "balanced", "joint", "sspl", "lnet", "identities", "faces")
    sizes = {getattr(preset, kind).batch_size for preset in PRESETS.values() for kind in kinds}
    assert max(sizes) == REPEATING
