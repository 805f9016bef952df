"""Batches on the GPU ahead of use: while a step runs, the next batch is on its way.

    loader → pinned memory → (second stream) → device memory → (main stream) mirrored network input

The host never waits. Pinned memory lets the copy run beside the kernels; who may write where, and when, is decided
by events between the two streams:

    the copy waits until the main stream has read what lay in that device memory before (`taken`)
    the main stream waits until the copy is done (`copied`)
    the host takes a pinned buffer again when its copy is done, which it only asks; if none is free it makes another
"""

import numpy as np

from tinyface import backend

from .loader import Batch
from .transforms import flipped_input_on_gpu

SLOTS = 2  # batches in device memory: the one in use and the one that is coming
MOST_PINNED = 16  # batches in pinned memory; beyond, the host waits for the oldest copy


class DeviceBatches:
    """An iterator over the batches of a TrainLoader(raw=True), with images, targets and landmarks on the GPU."""

    def __init__(self, loader):
        self.loader, self.cuda = loader, backend.cupy().cuda
        self.stream = self.cuda.Stream(non_blocking=True)
        self.slots = [_Slot(self.cuda) for _ in range(SLOTS)]
        self.pinned = []  # oldest copy first
        self.coming = None

    def __iter__(self):
        return self

    def __next__(self):
        """The batch that was sent off last; sends the next one off before it returns."""
        batch, slot = self.coming or self._send(next(self.loader))
        main = self.cuda.get_current_stream()
        main.wait_event(slot.copied)
        images, targets, flips = (slot.arrays[name] for name in ("images", "targets", "flips"))
        labels = targets if batch.targets.ndim == 3 else None
        images, labels = flipped_input_on_gpu(images, labels, flips)
        # What lies in the slot, which the batch after the next will take, gets a place of its own.
        targets = targets.copy() if labels is None else labels
        landmarks = None if batch.landmarks is None else slot.arrays["landmarks"].copy()
        slot.taken.record(main)
        self.coming = self._send(next(self.loader))
        return Batch(batch.step, batch.indices, batch.flips, images, targets, landmarks)

    def _send(self, batch):
        """Begin to copy a batch into the slot that was used before the last one; → (batch, slot)."""
        slot, pinned = self.slots.pop(0), self._free_pinned()
        self.slots.append(slot)
        self.stream.wait_event(slot.taken)
        with self.stream:  # memory that the main stream has freed may still be read there
            for name in ("images", "targets", "flips", "landmarks"):
                array = getattr(batch, name)
                if array is not None:
                    slot.place(name, array).set(pinned.hold(name, array))
        for event in (slot.copied, pinned.copied):
            event.record(self.stream)
        return batch, slot

    def _free_pinned(self):
        """Pinned memory that no copy is reading any more."""
        free = next((memory for memory in self.pinned if memory.copied.done), None)
        if free is None and len(self.pinned) >= MOST_PINNED:
            free = self.pinned[0]
            free.copied.synchronize()
        if free is None:
            free = _Pinned(self.cuda)
        else:
            self.pinned.remove(free)
        self.pinned.append(free)
        return free


class _Slot:
    """Device memory for one batch, kept for ever; `copied` into, and `taken` out of again."""

    def __init__(self, cuda):
        self.copied, self.taken = (cuda.Event(disable_timing=True) for _ in range(2))
        self.arrays = {}

    def place(self, name, like):
        """The device array of this name, made anew only where a batch has another shape."""
        array = self.arrays.get(name)
        if array is None or array.shape != like.shape or array.dtype != like.dtype:
            self.arrays[name] = backend.cupy().empty(like.shape, like.dtype)
        return self.arrays[name]


class _Pinned:
    """Pinned host memory for one batch; `copied` when the last copy from it is done."""

    def __init__(self, cuda):
        self.cuda, self.copied, self.memory = cuda, cuda.Event(disable_timing=True), {}

    def hold(self, name, array):
        """The same numbers in pinned memory."""
        if name not in self.memory or self.memory[name].size() < array.nbytes:
            self.memory[name] = self.cuda.alloc_pinned_memory(array.nbytes)
        pinned = np.frombuffer(self.memory[name], array.dtype, array.size).reshape(array.shape)
        pinned[...] = array
        return pinned
