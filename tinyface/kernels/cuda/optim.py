"""Updates on a GPU: one launch for up to TENSORS parameters (optim.cu)."""

from pathlib import Path

import numpy as np

from ...runtime.cuda import check_pointers, launch, load_kernels
from ...runtime.dispatch import register
from ...runtime.threads import slices

KERNELS = Path(__file__).with_suffix(".cu")
# As in the .cu file: parameters of one launch, elements and threads of a block, the addresses that come with a launch.
TENSORS, CHUNK, BLOCK = 100, 4096, 256
TABLE = np.dtype(
    [
        ("w", np.uint64, TENSORS),
        ("g", np.uint64, TENSORS),
        ("slots", np.uint64, (2, TENSORS)),
        ("size", np.int32, TENSORS),
        ("blocks", np.int32, TENSORS),
    ]
)


@register("optimizer", "cuda")
def update(optimizer, parameters):
    """Update all parameters, given as (step, [data, gradient, *slots]), flat."""
    launches = {}  # what a launch has in common -> the arrays of each of its parameters
    for step, arrays in parameters:
        if optimizer.kernel is None:
            optimizer.apply(step, *arrays)
        else:
            launches.setdefault((arrays[0].dtype, optimizer.constants(step)), []).append(arrays)
    for (dtype, constants), several in launches.items():
        for some in slices(len(several), TENSORS):
            launch_update(optimizer, several[some], dtype, constants)


def launch_update(optimizer, several, dtype, constants):
    """Update up to TENSORS parameters, each given as data, gradient and slots, all flat."""
    names = "data", "gradient", *optimizer.slots
    for arrays in several:
        check_pointers(optimizer.kernel, dtype, **dict(zip(names, arrays, strict=True)))
    table, count = np.zeros((), TABLE), len(several)
    pointers = np.array([[a.data.ptr for a in arrays] for arrays in several], np.uint64).T
    table["w"][:count], table["g"][:count] = pointers[:2]
    table["slots"][: len(optimizer.slots), :count] = pointers[2:]
    sizes = [arrays[0].size for arrays in several]
    table["size"][:count], table["blocks"][:count] = sizes, np.cumsum([-(-n // CHUNK) for n in sizes])
    blocks = int(table["blocks"][count - 1])
    kernel = load_kernels(KERNELS, dtype).get_function(optimizer.kernel)
    numbers = (c if isinstance(c, np.bool_) else dtype.type(c) for c in constants)
    launch(kernel, blocks * BLOCK, table[()], np.int32(count), *numbers, block=BLOCK)
