"""Batches for training and evaluation, decoded in background threads ahead of the network that takes them."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np

from tinyface.errors import TinyfaceError

from .dataset import FaceDataset
from .landmarks import mirror_landmarks, scale_landmarks
from .transforms import Size, horizontal_flip, image_size, to_network_input

GIB = 2**30
HOLDERS = {
    "attributes": "attributes",
    "labels": "label_reader",
    "identities": "identities",
}  # where a data set has them
A = TypeVar("A")
B = TypeVar("B")


@dataclass
class Batch:
    step: int  # of training, or the number of the batch
    indices: np.ndarray  # (N,) int64: which images of the data set
    flips: np.ndarray  # (N,) bool: which of them are mirrored
    images: np.ndarray  # (N, 3, h, w) float32 in [-1, 1]
    # "attributes": (N, 40) float32, 0 or 1; "labels": (N, h, w) uint8, ids of REGIONS; "identities": (N,) int64
    targets: np.ndarray
    landmarks: np.ndarray | None = None  # (N, 5, 2) float32: x, y in pixels of the images, where known


class SampleCache:
    """Decoded samples of a data set at one size, kept in memory up to a limit in bytes.

    Nothing is ever thrown out: every epoch visits every image once, so an image kept is one decoding saved
    per epoch, whichever it is. landmarks: batches have the data set's, if it has any.
    """

    def __init__(
        self, dataset: FaceDataset, targets: str, size: Size, limit: int = GIB, landmarks: bool = False
    ):
        if targets not in HOLDERS:
            raise ValueError(f"targets must be {', '.join(HOLDERS)}, not {targets!r}")
        if getattr(dataset, HOLDERS[targets]) is None:
            raise TinyfaceError(f"{dataset.root}: {dataset.layout} has no {targets}")
        self.dataset, self.targets, self.size, self.limit = dataset, targets, size, limit
        self.landmarks = landmarks and dataset.landmarks is not None
        self._kept: dict[int, tuple[np.ndarray | None, ...]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> tuple[np.ndarray | None, ...]:
        """Image (h, w, 3) uint8; label map (h, w) uint8, None where the targets are attributes; landmarks (5, 2)
        float32 in pixels of the image at this size, or None."""
        sample = self._kept.get(index)
        if sample is None:
            image = self.dataset.image(index, self.size)
            labels = self.dataset.labels(index, self.size) if self.targets == "labels" else None
            points = None
            if self.landmarks:
                path = self.dataset.images[index]
                points = scale_landmarks(self.dataset.landmarks[index], image_size(path), self.size)
            sample = image, labels, points
            self._keep(index, sample)
        return sample

    def _keep(self, index: int, sample: tuple[np.ndarray | None, ...]) -> None:
        nbytes = sum(array.nbytes for array in sample if array is not None)
        with self._lock:
            if index not in self._kept and self._bytes + nbytes <= self.limit:
                self._kept[index] = sample
                self._bytes += nbytes

    def batch(self, step: int, indices: np.ndarray, flips: np.ndarray, raw: bool = False) -> Batch:
        """The samples `indices`, mirrored where `flips`, as a network takes them.

        raw: both left to the GPU, except for the landmarks.
        """
        samples = [self[int(index)] for index in indices]
        images, labels, points = (
            None if parts[0] is None else np.stack(parts) for parts in zip(*samples, strict=True)
        )
        if points is not None:
            points = mirror_landmarks(points, flips, self.size[1])
        if not raw:
            images, labels = horizontal_flip(images, labels, flips)
        if self.targets == "identities":
            targets = self.dataset.identities[indices]
        elif labels is None:
            targets = self.dataset.attributes[indices].astype(np.float32)
        else:
            targets = labels
        return Batch(step, indices, flips, images if raw else to_network_input(images), targets, points)


class TrainLoader:
    """An endless iterator of training batches: `with TrainLoader(…) as batches: for batch in batches: …`.

    The images come in one random permutation of the data set after the other, cut into batches without regard to
    where an epoch ends; each is mirrored with probability ½. Both are functions of seed and step alone, so a loader
    with start_step=k continues exactly as an uninterrupted one, with any number of `workers` (threads; 0 decodes in the
    calling thread). raw: images stay (N, h, w, 3) uint8 and neither they nor labels are mirrored, which
    data/device.py does on a GPU. landmarks: as in SampleCache. Up to `ahead` batches wait ready. An error in a worker
    is raised where the batch is asked for.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        targets: str,
        batch_size: int,
        size: Size,
        seed: int,
        flip: bool = True,
        workers: int = 1,
        start_step: int = 0,
        ahead: int = 4,
        cache_bytes: int = GIB,
        raw: bool = False,
        landmarks: bool = False,
    ):
        self.raw = raw
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        self.samples = SampleCache(dataset, targets, size, cache_bytes, landmarks)
        self._batches = _ahead_of_use(self.batch, itertools.count(start_step), workers, ahead)

    def batch(self, step: int) -> Batch:
        """The batch of training step `step`, counted from 0."""
        indices = sample_order(len(self.samples.dataset), self.batch_size, self.seed, step)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 1, step]))
        flips = (rng.random(self.batch_size) < 0.5) & self.flip
        return self.samples.batch(step, indices, flips, self.raw)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def close(self) -> None:
        """Stop the threads; they finish the batch they are at. The loader gives no batch after that."""
        self._batches.close()

    def __enter__(self) -> TrainLoader:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


class PairLoader(TrainLoader):
    """A TrainLoader whose batches come in pairs of one identity: 2k and 2k + 1 show the same person, in two photos.

    The persons of a batch, and their photos, are drawn anew in every step, from those who have two photos or more;
    in a batch of odd size the last photo is alone.
    """

    def batch(self, step: int) -> Batch:
        """The batch of training step `step`, counted from 0."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 2, step]))
        pairs = -(-self.batch_size // 2)
        persons = rng.choice(len(self.photos), pairs, replace=pairs > len(self.photos))
        chosen = [rng.choice(self.photos[person], 2, replace=False) for person in persons]
        flips = (rng.random(self.batch_size) < 0.5) & self.flip
        return self.samples.batch(step, np.concatenate(chosen)[: self.batch_size], flips, self.raw)

    @cached_property
    def photos(self) -> list[np.ndarray]:
        """The photos of each person who has two or more. Raises TinyfaceError where there is none."""
        identities = self.samples.dataset.identities
        order = np.argsort(identities, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(identities[order])) + 1)
        several = [group for group in groups if len(group) > 1]
        if not several:
            raise TinyfaceError(
                f"{self.samples.dataset.root}: no person has two photos, so there are no pairs to train on"
            )
        return several


def batches_in_order(
    dataset: FaceDataset,
    targets: str,
    batch_size: int,
    size: Size,
    cache: SampleCache | None = None,
    landmarks: bool = False,
) -> Iterator[Batch]:
    """Every image once, in order, unchanged; the last batch may be short. One thread decodes ahead.

    landmarks: as in SampleCache. A `cache` of the same data set, targets, size and landmarks saves decoding in repeated
    passes (validation).
    """
    samples = SampleCache(dataset, targets, size, 0, landmarks) if cache is None else cache

    def batch(number: int) -> Batch:
        indices = np.arange(number * batch_size, min((number + 1) * batch_size, len(dataset)))
        return samples.batch(number, indices, np.zeros(len(indices), dtype=bool))

    return _ahead_of_use(batch, range(-(-len(dataset) // batch_size)), workers=1, ahead=4)


def sample_order(n: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """(batch_size,) indices of training step `step`: its piece of an endless row of permutations."""
    epochs, places = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size), n)
    return np.array([_permutation(n, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(np.random.SeedSequence([seed, 0, epoch])).permutation(n)


def _ahead_of_use(
    function: Callable[[A], B], arguments: Iterable[A], workers: int, ahead: int
) -> Iterator[B]:
    """`map(function, arguments)`, with up to `ahead` results prepared by threads before they are asked for.

    Closing the generator, or an error in it, stops the threads.
    """
    if workers == 0:
        yield from map(function, arguments)
        return
    executor = ThreadPoolExecutor(workers, thread_name_prefix="loader")
    pending = deque()
    try:
        for argument in arguments:
            pending.append(executor.submit(function, argument))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
