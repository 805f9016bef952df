import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface import Tensor, backend, ops
from tinyface.kernels.cpu import blocks
from tinyface.kernels.cuda import softmax_cross_entropy as softmax_cross_entropy_kernel

SHAPES = [(4, 3), (2, 3, 2, 3), (1, 1, 2, 2), (2, 4, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def labels_for(shape, ignore=-1, share=0.3):
    """Random labels, about `share` of them `ignore`; the first is not."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    skip = rng.random(labels.shape) < share
    skip.flat[0] = False
    return np.where(skip, ignore, labels)


@pytest.mark.reference
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    ignore=st.sampled_from([-1, 255, 0]),
    share=st.sampled_from([0, 0.5]),
    scale=st.sampled_from([1, 20]),
)
def test_equals_pytorch(compare_with_torch, torch, put, normal, shape, ignore, share, scale):
    labels = labels_for(shape, ignore, share)
    if ignore == 0:  # a class of its own that is not counted
        labels.flat[0] = shape[1] - 1
        if shape[1] == 1:
            return  # nothing is left, and PyTorch's loss is NaN
    compare_with_torch(
        lambda x: ops.softmax_cross_entropy(x, put(labels), ignore),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(labels), ignore_index=ignore),
        scale * normal(shape),
        scale=1,
    )


@pytest.mark.reference
@pytest.mark.parametrize("shape", [(3, 16, 5), (3, 17, 5), (7, 40), (5, 7, 23, 19)])
def test_many_equal_pytorch(compare_with_torch, torch, put, normal, monkeypatch, shape):
    """A GPU keeps 16 classes in registers, and adds up so many positions in each block."""
    monkeypatch.setattr(softmax_cross_entropy_kernel, "MOST_BLOCKS", 3)
    labels = labels_for(shape)
    compare_with_torch(
        lambda x: ops.softmax_cross_entropy(x, put(labels)),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(labels), ignore_index=-1),
        3 * normal(shape),
        scale=1,
    )


@every_shape
def test_gradients(check_gradients, put, normal, shape):
    labels = put(labels_for(shape))
    check_gradients(lambda x: ops.softmax_cross_entropy(x, labels), normal(shape))


@every_shape
def test_manners(check_op_contract, put, normal, shape):
    labels = put(labels_for(shape))
    check_op_contract(lambda x: ops.softmax_cross_entropy(x, labels), normal(shape))


@pytest.mark.cpu
def test_bits_dont_depend_on_threads(monkeypatch, check_threads, normal):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20000)
    shape = (7, 7, 13, 11)
    check_threads(lambda x: ops.softmax_cross_entropy(x, labels_for(shape)), normal(shape))


def test_by_hand(put):
    """Probabilities ¼, ¾ and ½, ½: the mean over both rows, and over the labelled one alone."""
    x = Tensor(put(np.log([[1.0, 3.0], [2.0, 2.0]])), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, put(np.array([0, 1])))
    np.testing.assert_allclose(loss.item(), (np.log(4) + np.log(2)) / 2)
    loss.backward()
    np.testing.assert_allclose(x.grad.tolist(), [[-0.375, 0.375], [0.25, -0.25]])

    x.grad = None
    loss = ops.softmax_cross_entropy(x, put(np.array([0, -1])))
    np.testing.assert_allclose(loss.item(), np.log(4))
    loss.backward()
    np.testing.assert_allclose(x.grad.tolist(), [[-0.75, 0.75], [0, 0]])


def test_all_ignored_is_zero(put, normal):
    x = Tensor(put(normal((2, 3, 2))), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, put(np.full((2, 2), 255, np.uint8)), ignore=255)
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(put, dtype):
    """The loss grows with the distance, and nothing overflows."""
    x = Tensor(put(np.array([[1000.0, -1000.0], [1000.0, -1000.0]], dtype)), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = ops.softmax_cross_entropy(x, put(np.array([0, 1])))
        loss.backward()
    assert loss.item() == 1000
    assert x.grad.tolist() == [[0, 0], [0.5, -0.5]]


@pytest.mark.parametrize("classes", [3, 20])
def test_the_largest_may_come_last(put, classes):
    x = np.full((classes, classes), -1e4)
    np.fill_diagonal(x, 1e4)
    x = Tensor(put(x), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = ops.softmax_cross_entropy(x, put(np.arange(classes)))
        loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize("dtype", [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)])
def test_any_integer_type_of_labels(put, normal, dtype):
    labels = np.array([[0, 130], [1, -1]])
    if dtype == "int8":
        labels[0, 1] = 127
    if dtype.startswith("u"):
        labels[1, 1] = 255
    x, ignore = put(normal((2, 140, 2))), int(labels[1, 1])
    loss = ops.softmax_cross_entropy(x, put(labels.astype(dtype)), ignore).item()
    assert loss == ops.softmax_cross_entropy(x, put(labels), ignore).item()


def test_labels_in_any_memory_layout(put, normal):
    labels, x = labels_for((2, 4, 3)), put(normal((2, 4, 3)))
    loss = ops.softmax_cross_entropy(x, put(labels)).item()
    assert loss == ops.softmax_cross_entropy(x, put(labels[::-1])[::-1]).item()


def test_of_nothing(put):
    x = Tensor(put(np.empty((0, 3, 2))), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, put(np.empty((0, 2), int)))
    loss.backward()
    assert loss.item() == 0 and x.grad.shape == (0, 3, 2)


def test_labels_of_another_shape(put, normal):
    message = (
        r"softmax_cross_entropy: logits of shape \(2, 3, 4\) need labels of shape \(2, 4\), got \(2, 3\)"
    )
    with pytest.raises(ValueError, match=message):
        ops.softmax_cross_entropy(put(normal((2, 3, 4))), put(np.zeros((2, 3), int)))


def test_labels_that_are_not_integers(put, normal):
    with pytest.raises(TypeError, match="softmax_cross_entropy: labels must be integers, got float64"):
        ops.softmax_cross_entropy(put(normal((2, 3))), put(np.zeros(2)))


@pytest.mark.cpu
@pytest.mark.parametrize("label", [3, -2])
def test_labels_that_are_no_class(put, normal, label):
    message = f"softmax_cross_entropy: label {label} is neither 0…2 nor ignore=-1"
    with pytest.raises(ValueError, match=message):
        ops.softmax_cross_entropy(put(normal((2, 3))), put(np.array([0, label])))


@pytest.mark.gpu
@pytest.mark.parametrize("label", [3, -2, 17, 2**40, 2**64 - 1])  # the last has the bits of -1
@pytest.mark.parametrize("classes", [3, 17])
def test_labels_that_are_no_class_on_a_gpu(normal, label, classes):
    """An error would have to wait for the device; the loss is NaN instead, unless the label is a class after all."""
    labels = np.array([0, label], np.int64 if label < 2**63 else np.uint64)
    x, labels = (backend.to_device(a, "cuda") for a in (normal((2, classes)), labels))
    loss = ops.softmax_cross_entropy(x, labels).item()
    assert np.isnan(loss) == (not 0 <= label < classes)


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 7, 3, 3), (3, 1, 2, 2), (1, 1, 1, 1)])
def test_memory_layout(put, normal, shape):
    """The gradient lies as (H, W, N, C), whether x does or not, and is the same."""
    x, labels, grads = normal(shape), put(labels_for(shape)), []
    for layout in (x, backend.as_nchw(backend.as_hwnc(x))):
        tensor = Tensor(put(layout), requires_grad=True)
        ops.softmax_cross_entropy(tensor, labels).backward()
        grads.append(tensor.grad)
        assert tensor.grad.transpose(2, 3, 0, 1).flags.c_contiguous
    np.testing.assert_array_equal(*grads)


def test_logits_of_minus_infinity(put):
    """A class that is ruled out costs nothing where it is not the label, or where there is none."""
    x = Tensor(put(np.array([[0.0, -np.inf], [-np.inf, 0.0]])), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, put(np.array([0, -1])))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()
