import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import blocks

# (x shape, size)
CASES = [
    ((2, 2, 3, 2), (6, 4)),
    ((1, 2, 3, 4), (5, 7)),
    ((1, 1, 2, 3), (2, 3)),
    ((1, 1, 1, 1), (3, 2)),
    ((1, 1, 3, 5), (10, 6)),
    ((3, 1, 4, 3), (7, 6)),
    ((1, 2, 3, 4), (9, 11)),
]
every_case = pytest.mark.parametrize("shape, size", CASES)


@pytest.mark.reference
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    more=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_equals_pytorch(compare_with_torch, torch, normal, shape, more):
    size = shape[2] + more[0], shape[3] + more[1]

    def theirs(x):
        """Not `interpolate`, which rounds i·(H/H') in float32."""
        rows, cols = (torch.arange(out) * length // out for out, length in zip(size, shape[2:], strict=True))
        return x[:, :, rows][:, :, :, cols]

    compare_with_torch(lambda x: ops.upsample_nearest(x, size), theirs, normal(shape))


@pytest.mark.reference
@pytest.mark.parametrize("length", [1, 2, 5, 14, 28, 55, 109])
def test_doubling_equals_pytorchs_interpolate(compare_with_torch, torch, normal, length):
    compare_with_torch(
        lambda x: ops.upsample_nearest(x, (2 * length, 2)),
        lambda x: torch.nn.functional.interpolate(x, (2 * length, 2), mode="nearest"),
        normal((1, 2, length, 1)),
    )


@pytest.mark.reference
@pytest.mark.parametrize("length", [(23, 31), (3, 301), (45, 2)])
def test_large_maps_equal_pytorchs(compare_with_torch, torch, normal, length):
    size = 2 * length[0] - 1, 2 * length[1]
    compare_with_torch(
        lambda x: ops.upsample_nearest(x, size),
        lambda x: torch.nn.functional.interpolate(x, (size[0] + 1, size[1]), mode="nearest")[:, :, : size[0]],
        normal((2, 3, *length)),
    )


@every_case
def test_gradients(check_gradients, normal, shape, size):
    check_gradients(lambda x: ops.upsample_nearest(x, size), normal(shape))


@every_case
def test_manners(check_op_contract, normal, shape, size):
    check_op_contract(lambda x: ops.upsample_nearest(x, size), normal(shape))


@pytest.mark.cpu
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    for size in ((25, 22), (26, 21), (30, 17)):
        check_threads(lambda x, size=size: ops.upsample_nearest(x, size), normal((3, 7, 13, 11)))


@pytest.mark.cpu
@every_case
def test_pieces_make_no_difference(monkeypatch, put, normal, shape, size):
    results = []
    for size_of_piece in (blocks.BLOCK_BYTES, 1):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size_of_piece)
        x = Tensor(put(normal(shape)), requires_grad=True)
        y = ops.upsample_nearest(x, size)
        y.backward(normal(y.shape, 1))
        results.append((y.numpy(), x.grad))
    for whole, in_pieces in zip(*results, strict=True):
        np.testing.assert_array_equal(in_pieces, whole)


def test_by_hand(put):
    x = Tensor(put(np.array([[[[1.0, 2.0]]]])), requires_grad=True)
    y = ops.upsample_nearest(x, (2, 3))
    assert y.numpy().tolist() == [[[[1, 1, 2], [1, 1, 2]]]]
    y.backward([[[[1, 2, 4], [10, 20, 40]]]])
    assert x.grad.tolist() == [[[[33, 44]]]]


@pytest.mark.parametrize("length, out", [(28, 55), (55, 109), (23, 45), (45, 89), (109, 218), (89, 178)])
def test_twice_then_cropped(put, length, out):
    """The sizes of the segmentation network: 2H or 2H − 1 undoes a ceil-mode pooling."""
    x = np.arange(float(length)).reshape(1, 1, length, 1)
    y = ops.upsample_nearest(put(x), (out, 1)).numpy()
    np.testing.assert_array_equal(y[0, 0, :, 0], np.repeat(np.arange(length), 2)[:out])


@pytest.mark.parametrize("shape, size", [((1, 1, 3, 3), (2, 3)), ((1, 1, 3, 3), (6, 2)), ((3, 3), (6, 6))])
def test_sizes_that_dont_fit(put, normal, shape, size):
    with pytest.raises(ValueError, match=r"upsample_nearest: cannot bring x of shape .* up to \("):
        ops.upsample_nearest(put(normal(shape)), size)


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 4, 3, 3), (3, 1, 2, 5), (1, 1, 1, 1)])
def test_memory_layout(put, normal, shape):
    """Output and gradient lie as (H, W, N, C), whether x does or not, and are the same."""
    x = normal(shape)
    results = []
    for layout in (x, backend.as_nchw(backend.as_hwnc(x))):
        tensor = Tensor(put(layout), requires_grad=True)
        y = ops.upsample_nearest(tensor, (2 * shape[2] - 1, 2 * shape[3]))
        y.backward(normal(y.shape, 1))
        results.append((y.data, tensor.grad))
        assert all(a.transpose(2, 3, 0, 1).flags.c_contiguous for a in results[-1])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
