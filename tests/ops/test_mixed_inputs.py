"""Inputs of other types and layouts than x: ops compute in the type of x, on both devices, or say what is wrong."""

import numpy as np
import pytest

from tinyface import Tensor, backend, ops
from tinyface.kernels import algorithms

FLOATS = [np.float32, np.float64]
OTHERS = [np.float16, np.int32, np.int64, np.uint8, np.bool_, np.complex64]


WAYS = {"cpu": ["im2col", "winograd4", "winograd6"], "cuda": ["im2col", "direct", "winograd", "tf32"]}


def pytest_generate_tests(metafunc):
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", WAYS[metafunc.config.getoption("--device")], indirect=True)


@pytest.fixture
def way(request):
    """A way of convolution, forced."""
    if request.param != "tf32":
        with algorithms.force(request.param):
            yield
    elif int(backend.cupy().cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no tensor cores")
    else:
        backend.set_tf32(True)
        yield
        backend.set_tf32(False)


@pytest.mark.parametrize("layout", [lambda b: b, lambda b: b.repeat(2)[::2], lambda b: b[::-1].copy()[::-1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("op", [ops.conv2d, ops.conv_transpose2d])
def test_a_bias_of_any_layout_and_type(put, way, op, layout, dtype):
    x, w = put(np.zeros((1, 16, 2, 3), np.float32)), put(np.zeros((16, 16, 3, 3), np.float32))
    b = Tensor(layout(put(np.arange(16).astype(dtype))), requires_grad=dtype in FLOATS)
    y = op(x, w, b, padding=1)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(np.arange(16)[:, None, None], y.shape))
    if dtype in FLOATS:
        y.backward(put(np.ones(y.shape)))
        assert b.grad.dtype == dtype and b.grad.tolist() == [6] * 16


@pytest.mark.parametrize("op", [ops.region_pool, ops.region_gate])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("of_masks", [*FLOATS, np.float16, np.int32, np.uint8, np.bool_])
def test_masks_of_another_type(put, normal, op, dtype, of_masks):
    x, masks, results = normal((2, 3, 4, 5)).astype(dtype), normal((2, 4, 4, 5), 1) > 0, []
    for masks_dtype in (dtype, of_masks):
        trained = np.dtype(masks_dtype).kind == "f"
        tensors = Tensor(put(x), requires_grad=True), Tensor(put(masks.astype(masks_dtype)), trained)
        y = op(*tensors)
        y.backward(put(normal(y.shape, 2)))
        assert y.dtype == dtype and (tensors[1].grad is None or tensors[1].grad.dtype == masks_dtype)
        results.append([y.numpy(), backend.to_device(tensors[0].grad, "cpu")])
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("op", [ops.batch_norm, ops.batch_norm_prelu, ops.prelu])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("other", [*FLOATS, np.int32, np.uint8])
def test_parameters_of_another_type(put, normal, op, dtype, other):
    x, numbers, results = normal((2, 3, 4)).astype(dtype), np.array([0, 1, 2]), []
    for parameters_dtype in (dtype, other):
        parameters = [put(numbers.astype(parameters_dtype)) for _ in range(5)]
        statistics = put(np.zeros(3)), put(np.ones(3)), True
        arrays = {
            ops.prelu: parameters[:1],
            ops.batch_norm: [*parameters[:2], *statistics],
            ops.batch_norm_prelu: [*parameters[:3], *statistics],
        }[op]
        tensor = Tensor(put(x), requires_grad=True)
        y = op(tensor, *arrays)
        y.backward(put(normal(y.shape, 2)))
        assert y.dtype == tensor.grad.dtype == dtype
        results.append([y.numpy(), backend.to_device(tensor.grad, "cpu")])
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def four(c=2):
    return (1, c, 4, 4)


# name: (op, shapes of its inputs, all of one type)
COMPUTE_IN_FLOATS = {
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2), [four()]),
    "batch_norm": (lambda x, *c: ops.batch_norm(x, *c, *[a.data for a in c], False), [four(), (2,), (2,)]),
    "conv2d": (ops.conv2d, [four(), (3, 2, 3, 3), (3,)]),
    "conv_norm_prelu": (
        lambda x, w, *c: ops.conv_norm_prelu(x, w, *c, c[0].data, c[0].data),
        [four(), (3, 2, 3, 3), (3,), (3,), (3,)],
    ),
    "conv_transpose2d": (ops.conv_transpose2d, [four(), (2, 3, 3, 3), (3,)]),
    "dropout": (ops.dropout, [four()]),
    "global_avg_pool2d": (ops.global_avg_pool2d, [four()]),
    "locally_shared_conv2d": (ops.locally_shared_conv2d, [four(), (1, 1, 3, 2, 3, 3), (1, 1, 3)]),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), [four()]),
    "prelu": (ops.prelu, [four(), (2,)]),
    "region_gate": (ops.region_gate, [four(), four(3)]),
    "region_pool": (ops.region_pool, [four(), four(3)]),
    "relu": (ops.relu, [four()]),
    "sigmoid": (ops.sigmoid, [four()]),
    "sigmoid_cross_entropy": (lambda x: ops.sigmoid_cross_entropy(x, x.data), [four()]),
    "softmax": (ops.softmax, [four()]),
    "softmax_cross_entropy": (lambda x: ops.softmax_cross_entropy(x, x.data[:, 0] > 0), [four()]),
    "spatial_pyramid_pool": (ops.spatial_pyramid_pool, [four()]),
    "upsample_nearest": (lambda x: ops.upsample_nearest(x, (8, 8)), [four()]),
}


@pytest.mark.parametrize("name", COMPUTE_IN_FLOATS)
@pytest.mark.parametrize("dtype", OTHERS)
def test_neither_float32_nor_float64(put, name, dtype):
    op, shapes = COMPUTE_IN_FLOATS[name]
    if name == "softmax_cross_entropy":
        labels = put(np.zeros((1, 4, 4), np.int64))
        op = lambda x: ops.softmax_cross_entropy(x, labels)  # noqa: E731
    with pytest.raises(TypeError, match=rf"^{name}: x is {np.dtype(dtype)}; make it float32 or float64$"):
        op(*(Tensor(put(np.ones(shape).astype(dtype))) for shape in shapes))
