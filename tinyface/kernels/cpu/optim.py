"""Updates in slices that fit into the cache, so that memory is read and written once in a step.

Each element's arithmetic is its own, so the bits don't depend on the slices.
"""

import copy

import numpy as np

from ...runtime.dispatch import register
from ...runtime.threads import parallel_for, slices

SMALL = 1 << 12  # numbers; parameters of no more, most of them one for each channel, are updated together
SLICE_BYTES = 256 * 1024  # of each array: AdaGrad touches five, which fit into a core's own cache


@register("optimizer", "cpu")
def update(optimizer, parameters):
    """Update all parameters, given as (step, [data, gradient, *slots]), flat."""
    small = {}  # what parameters that are updated together have in common -> their arrays
    for step, arrays in parameters:
        if arrays[0].size <= SMALL:
            small.setdefault((step, arrays[0].dtype), []).append(arrays)
        else:
            update_in_slices(optimizer, step, arrays)
    for (step, _), several in small.items():
        update_together(optimizer, step, several)


def update_in_slices(optimizer, step, arrays):
    optimizer = copy.copy(optimizer)  # its options and rule, for another process too
    optimizer.parameters, optimizer.state = [], {}
    parts = slices(arrays[0].size, SLICE_BYTES // arrays[0].itemsize)
    parallel_for(lambda i: optimizer.apply(step, *(a[parts[i]] for a in arrays)), len(parts))


def update_together(optimizer, step, several):
    """On copies of many small parameters, one behind the other: short loops of NumPy spend their time on starting."""
    data, gradient, *slots = (np.concatenate(arrays) for arrays in zip(*several, strict=True))
    optimizer.apply(step, data, gradient, *slots)
    stop = 0
    for own_data, _, *own_slots in several:
        start, stop = stop, stop + own_data.size
        for own, new in zip((own_data, *own_slots), (data, *slots), strict=True):
            own[...] = new[start:stop]
