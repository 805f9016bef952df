"""Uploads beside a busy GPU: streams may run in any order that their events allow, and no batch is damaged."""

import numpy as np
import pytest

from tinyface import backend
from tinyface.faces.data.device import DeviceBatches
from tinyface.faces.data.loader import Batch
from tinyface.faces.data.transforms import horizontal_flip, to_network_input

pytestmark = pytest.mark.gpu


def batches(sizes, seed=0):
    rng = np.random.default_rng(seed)
    for step, n in enumerate(sizes):
        images = rng.integers(0, 256, (n, 6, 5, 3), dtype=np.uint8)
        labels, landmarks = images[..., 0] % 7, rng.random((n, 5, 2)).astype(np.float32)
        yield Batch(step, np.arange(n), rng.random(n) < 0.5, images, labels, landmarks)


@pytest.fixture
def main():
    """A stream as the main one that does not wait for the others, and a memory pool as there is on a GPU."""
    cuda = backend.cupy().cuda
    with cuda.using_allocator(cuda.MemoryPool().malloc), cuda.Stream(non_blocking=True) as stream:
        yield stream


def test_a_slot_takes_no_memory_that_is_still_read(main):
    coming = DeviceBatches(batches([4] * 3))
    x = backend.cupy().full(
        (4, 6, 5, 3), 7, np.uint8
    )  # as large as the images, so its memory would do for them
    main.synchronize()
    y = x + np.uint8(1)
    del x  # free for what the main stream does next, but the sum may not have been made yet
    coming._send(next(coming.loader))
    coming.stream.synchronize()
    main.synchronize()
    assert (backend.to_device(y, "cpu") == 8).all()


def test_batches_of_any_size_arrive_whole_while_memory_changes_hands(main):
    sizes = [4, 4, 3, 3, 5, 1, 4, 4]
    coming, arrived = DeviceBatches(batches([*sizes, 1, 1])), []
    for batch, expected in zip(coming, batches(sizes), strict=False):
        temporary = [backend.cupy().full((4, 6, 5, 3), 9, np.uint8) for _ in range(9)]
        work = [a + np.uint8(1) for a in temporary]
        del temporary
        arrived.append((batch, expected, work))
        coming.stream.synchronize()
    for batch, expected, work in arrived:
        images, labels = horizontal_flip(expected.images, expected.targets, expected.flips)
        np.testing.assert_array_equal(backend.to_device(batch.images, "cpu"), to_network_input(images))
        np.testing.assert_array_equal(backend.to_device(batch.targets, "cpu"), labels)
        np.testing.assert_array_equal(backend.to_device(batch.landmarks, "cpu"), expected.landmarks)
        assert all((backend.to_device(a, "cpu") == 10).all() for a in work)
