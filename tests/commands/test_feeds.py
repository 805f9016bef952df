from types import SimpleNamespace

import pytest

from tinyface import tasks
from tinyface.commands.feeds import REPEATING, Feed
from tinyface.data.layouts import open_dataset
from tinyface.errors import TinyfaceError
from tinyface.models import AttributeNet
from tinyface.presets import PRESETS

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


def test_no_preset_is_out_of_proportion():
    kinds = ("segmentation", "attributes", "balanced", "joint", "sspl", "lnet", "identities", "faces")
    sizes = {getattr(preset, kind).batch_size for preset in PRESETS.values() for kind in kinds}
    assert max(sizes) == REPEATING
