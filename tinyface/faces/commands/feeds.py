"""What a training is fed with: batches to learn from, and faces to be validated on."""

import contextlib

from tinyface.errors import TinyfaceError

from .. import tasks
from ..data.device import DeviceBatches
from ..data.layouts import open_dataset
from ..data.loader import PairLoader, SampleCache, TrainLoader
from .few_labels import labelled
from .sources import validation_split

VALIDATION_BATCH = 64
REPEATING = 128  # batches up to here, those of the presets, may show an image of a small data set twice


class Feed:
    """Training batches of one data set, validation on another (None: there is none).

    seed: of the order of the images, the run's unless given. name: for people, else the data set's folder. size:
    (height, width) of the images, the network's unless given.
    """

    per_step = 1  # batches
    loader = TrainLoader

    def __init__(self, task, dataset, validation, options, seed=None, name=None, size=None):
        check_batch_size(options, dataset)
        self.task, self.dataset, self.validation, self.options = task, dataset, validation, options
        self.seed = options.seed if seed is None else seed
        self.name = str(name or dataset.root)
        self.size = tuple(size or task.network.config["size"])

    @classmethod
    def of_folder(cls, task, data, options, seed=None):
        """Of a folder with a data set: its training images, as many as are to be learned from, and its validation
        split, where it has one."""
        need, split = task.targets, validation_split(data, task.targets)
        dataset = labelled(open_dataset(data, "train", need), options.labels)
        return cls(task, dataset, open_dataset(data, split, need) if split else None, options, seed, data)

    @contextlib.contextmanager
    def batches(self, start):
        """Gives an iterator of training batches from step `start` on, on a GPU where the run is on one."""
        on_gpu = self.options.device == "cuda"
        with self.loader(
            self.dataset,
            self.task.targets,
            self.options.batch_size,
            self.size,
            self.seed,
            workers=self.options.workers,
            start_step=start,
            raw=on_gpu,
            landmarks=self.task.landmarks,
        ) as loader:
            yield DeviceBatches(loader) if on_gpu else loader

    def evaluator(self):
        """A function () → what `task.evaluate` makes of the validation faces; None where there are none."""
        if self.validation is None:
            return None
        cache = SampleCache(self.validation, self.task.targets, self.size, landmarks=self.task.landmarks)
        return lambda: tasks.validation(self.task, self.validation, VALIDATION_BATCH, self.size, cache)


class PairFeed(Feed):
    """Batches of pairs of one identity."""

    loader = PairLoader


def check_batch_size(options, dataset):
    """Raises TinyfaceError where a batch is out of all proportion to the images there are."""
    count = len(dataset)
    if options.batch_size > max(count, REPEATING):
        raise TinyfaceError(
            f"--batch-size {options.batch_size}: is more than the {count} training images of {dataset.root}; "
            f"give {count} or less"
        )
