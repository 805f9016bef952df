"""A batch without images, as a filter may leave one: every op takes it, and weights get a gradient of zeros.

Maps without channels, regions or pixels as well, where there is an answer.
"""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops

MAPS, SOME = (0, 4, 8, 8), (2, 4, 8, 8)
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
    "conv2d, no outputs": (ops.conv2d, [SOME, (0, 4, 3, 3), (0,)], (2, 0, 6, 6)),
    "conv2d, no pixels": (lambda *i: ops.conv2d(*i, padding=2), [(2, 4, 8, 0), (5, 4, 3, 3)], (2, 5, 10, 2)),
    "conv_transpose2d, no outputs": (ops.conv_transpose2d, [SOME, (4, 0, 3, 3), (0,)], (2, 0, 10, 10)),
    "conv_transpose2d": (ops.conv_transpose2d, [MAPS, (4, 5, 3, 3), (5,)], (0, 5, 10, 10)),
    "locally_shared_conv2d": (ops.locally_shared_conv2d, [MAPS, (2, 2, 5, 4, 3, 3)], (0, 5, 6, 6)),
    "prelu": (ops.prelu, [MAPS, (4,)], MAPS),
    "prelu, no channels": (ops.prelu, [(2, 0, 8), (1,)], (2, 0, 8)),
    "prelu, no channels, no slopes": (ops.prelu, [(2, 0, 8), (0,)], (2, 0, 8)),
    "relu": (ops.relu, [MAPS], MAPS),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), [MAPS], (0, 4, 4, 4)),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2), [MAPS], (0, 4, 4, 4)),
    "global_avg_pool2d": (ops.global_avg_pool2d, [MAPS], (0, 4)),
    "spatial_pyramid_pool": (ops.spatial_pyramid_pool, [MAPS], (0, 20)),
    "upsample_nearest": (lambda x: ops.upsample_nearest(x, (16, 15)), [MAPS], (0, 4, 16, 15)),
    "region_gate": (ops.region_gate, [MAPS, (0, 7, 8, 8)], (0, 28, 8, 8)),
    "region_gate, no channels": (ops.region_gate, [(2, 0, 8, 8), (2, 7, 8, 8)], (2, 0, 8, 8)),
    "region_gate, no regions": (ops.region_gate, [SOME, (2, 0, 8, 8)], (2, 0, 8, 8)),
    "region_gate, no pixels": (ops.region_gate, [(2, 4, 8, 0), (2, 7, 8, 0)], (2, 28, 8, 0)),
    "region_pool, no channels": (ops.region_pool, [(2, 0, 8, 8), (2, 7, 8, 8)], (2, 7, 0)),
    "region_pool, no regions": (ops.region_pool, [SOME, (2, 0, 8, 8)], (2, 0, 4)),
    "region_pool": (ops.region_pool, [MAPS, (0, 7, 8, 8)], (0, 7, 4)),
    "linear": (ops.linear, [(0, 4), (3, 4), (3,)], (0, 3)),
    "linear, no inputs": (ops.linear, [(2, 0), (3, 0), (3,)], (2, 3)),
    "softmax": (lambda x: ops.softmax(x, axis=1), [MAPS], MAPS),
    "softmax, no pixels": (ops.softmax, [(0, 4, 0, 8)], (0, 4, 0, 8)),
    "softmax, no classes": (ops.softmax, [(2, 0, 8)], (2, 0, 8)),
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


@pytest.mark.parametrize("prelu", [False, True])
def test_batch_norm_without_channels(put, prelu):
    op = ops.batch_norm_prelu if prelu else ops.batch_norm
    x, *rest = (
        Tensor(put(np.ones(shape)), requires_grad=True) for shape in [(2, 0, 3)] + [(0,)] * (2 + prelu)
    )
    statistics = [put(np.ones(0)) for _ in range(2)]
    y = op(x, *rest, *statistics, False)
    y.backward(put(np.zeros((2, 0, 3))))
    assert y.shape == x.grad.shape == (2, 0, 3) and all(p.grad.shape == (0,) for p in rest)
    with pytest.raises(ValueError, match="needs more than one value per channel in training"):
        op(x, *rest, *statistics, True)


@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_without_channels_still_has_what_follows(put, normal, transposed):
    w = np.ones((0, 3, 3, 3) if transposed else (3, 0, 3, 3))
    gamma, beta, slope, mean, var = normal((5, 3))
    var = var**2 + 1
    arrays = (np.ones((2, 0, 4, 4)), w, gamma, beta, slope, mean, var)
    y = ops.conv_norm_prelu(*map(put, arrays), padding=1, transposed=transposed).numpy()
    z = beta - mean * gamma / np.sqrt(var + 1e-5)
    expected = np.where(z > 0, z, slope * z)
    np.testing.assert_allclose(y, np.broadcast_to(expected[:, None, None], (2, 3, 4, 4)))


NO_PIXELS = (2, 4, 0, 8)
WITHOUT_AN_ANSWER = {
    "max_pool2d": lambda x: ops.max_pool2d(x, 2, padding=1),
    "avg_pool2d": lambda x: ops.avg_pool2d(x, 2, padding=1),
    "spatial_pyramid_pool": ops.spatial_pyramid_pool,
    "upsample_nearest": lambda x: ops.upsample_nearest(x, (2, 8)),
}


@pytest.mark.parametrize("name", WITHOUT_AN_ANSWER)
def test_no_pixels(put, name):
    with pytest.raises(ValueError, match=f"^{name}: .*0, 8"):
        WITHOUT_AN_ANSWER[name](put(np.ones(NO_PIXELS)))


def test_padding_that_leaves_nothing(put):
    x, w, c = put(np.ones((1, 2, 1, 1))), put(np.ones((2, 3, 3, 3))), put(np.ones(3))
    with pytest.raises(ValueError, match="conv_norm_prelu: padding 2 leaves nothing of x of shape"):
        ops.conv_norm_prelu(x, w, c, c, c, c, c, padding=2, transposed=True)
