"""A batch without images, as a filter may leave one: every op takes it, and weights get a gradient of zeros."""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops

MAPS = (0, 4, 8, 8)
STATISTICS = np.zeros(4, np.float32), np.ones(4, np.float32)

# name: (op, shapes of its inputs, shape of its output)
CASES = {
    "conv2d": (lambda *i: ops.conv2d(*i, padding=1), [MAPS, (5, 4, 3, 3), (5,)], (0, 5, 8, 8)),
    "conv2d, stride 2": (lambda *i: ops.conv2d(*i, stride=2), [MAPS, (5, 4, 3, 3)], (0, 5, 3, 3)),
    "conv2d, 1×1": (ops.conv2d, [MAPS, (5, 4, 1, 1)], (0, 5, 8, 8)),
    "conv2d, few outputs": (
        lambda *i: ops.conv2d(*i, padding=1),
        [(0, 16, 8, 8), (7, 16, 3, 3)],
        (0, 7, 8, 8),
    ),
    "conv2d, no channels": (lambda *i: ops.conv2d(*i), [(2, 0, 8, 8), (5, 0, 3, 3), (5,)], (2, 5, 6, 6)),
    "conv_transpose2d": (ops.conv_transpose2d, [MAPS, (4, 5, 3, 3), (5,)], (0, 5, 10, 10)),
    "locally_shared_conv2d": (ops.locally_shared_conv2d, [MAPS, (2, 2, 5, 4, 3, 3)], (0, 5, 6, 6)),
    "prelu": (ops.prelu, [MAPS, (4,)], MAPS),
    "relu": (ops.relu, [MAPS], MAPS),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), [MAPS], (0, 4, 4, 4)),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2), [MAPS], (0, 4, 4, 4)),
    "global_avg_pool2d": (ops.global_avg_pool2d, [MAPS], (0, 4)),
    "spatial_pyramid_pool": (ops.spatial_pyramid_pool, [MAPS], (0, 20)),
    "upsample_nearest": (lambda x: ops.upsample_nearest(x, (16, 15)), [MAPS], (0, 4, 16, 15)),
    "region_gate": (ops.region_gate, [MAPS, (0, 7, 8, 8)], (0, 28, 8, 8)),
    "region_pool": (ops.region_pool, [MAPS, (0, 7, 8, 8)], (0, 7, 4)),
    "linear": (ops.linear, [(0, 4), (3, 4), (3,)], (0, 3)),
    "linear, no inputs": (ops.linear, [(2, 0), (3, 0), (3,)], (2, 3)),
    "softmax": (lambda x: ops.softmax(x, axis=1), [MAPS], MAPS),
    "sigmoid": (ops.sigmoid, [MAPS], MAPS),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_in_nothing_out(put, name):
    op, shapes, expected = CASES[name]
    inputs = [Tensor(put(np.ones(shape, np.float32)), requires_grad=True) for shape in shapes]
    y = op(*inputs)
    assert y.shape == expected
    y.backward(put(np.zeros(expected, np.float32)))
    for x in inputs:
        assert x.grad.shape == x.shape and not np.any(backend.to_device(x.grad, "cpu"))


@pytest.mark.parametrize("prelu", [False, True])
def test_batch_norm_takes_none_in_evaluation_only(put, prelu):
    op = ops.batch_norm_prelu if prelu else ops.batch_norm
    x, *rest = (
        Tensor(put(np.ones(shape, np.float32)), requires_grad=True) for shape in [MAPS] + [(4,)] * (2 + prelu)
    )
    statistics = [put(a.copy()) for a in STATISTICS]
    y = op(x, *rest, *statistics, False)
    y.backward(put(np.zeros(MAPS, np.float32)))
    assert y.shape == x.grad.shape == MAPS
    assert all(not np.any(backend.to_device(p.grad, "cpu")) for p in rest)
    with pytest.raises(ValueError, match="needs more than one value per channel in training"):
        op(x, *rest, *statistics, True)
