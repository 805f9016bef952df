"""Every operation, on its reference and on its kernels: gradients, equality, PyTorch, and what callers may expect.

The examples are in tests/helpers/op_table.py. Blocks are made so small here that even small examples have several.
"""

import numpy as np
import pytest
from op_table import EXAMPLES

from tinyface import Tensor, backend, kernels, no_grad, ops
from tinyface.kernels import algorithms
from tinyface.kernels.cpu import blocks, im2col, padding, row_matrix, shift_and_add, winograd
from tinyface.runtime import dispatch

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}  # as a share of the largest value beside it
MOST_CONTRACT = 2000  # elements of an example's inputs, for the checks that run it a dozen times
every_example = pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda e: f"{e.op}-{e.what.replace(' ', '_')}"
)
every_implementation = pytest.mark.parametrize("implementation", kernels.IMPLEMENTATIONS)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    caches = row_matrix._cut, winograd.make_grid, winograd._block_size
    for module, name, value in (
        (row_matrix, "BLOCK_BYTES", 1500),
        (row_matrix, "SHORTEST_ROW", 16),
        (blocks, "BLOCK_BYTES", 1000),
        (padding, "BLOCK_BYTES", 500),
        (im2col, "BLOCK_BYTES", 4000),
        (im2col, "ROWS", 8),
        (shift_and_add, "ROWS", 2),
        (shift_and_add, "PIXELS", 8),
        (winograd, "BLOCK_BYTES", 30_000),
        (winograd, "ROWS", (4, 16)),
    ):
        monkeypatch.setattr(module, name, value)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def outcome(example, implementation, dtype, put, normal):
    """{what: NumPy array}: output, gradients, running statistics."""
    with kernels.use(implementation), algorithms.force(example.algorithm):
        inputs = [Tensor(put(a.astype(dtype)), requires_grad=example.trained) for a in example.arrays]
        y = example.run(put, *inputs)
        arrays = {"y": y.numpy()}
        arrays |= {
            f"running {i}": backend.to_device(a, "cpu")
            for i, a in enumerate(vars(example.run).get("running", ()))
        }
        if example.trained:
            y.backward(put(normal(y.shape, 7).astype(dtype)))
            arrays |= {f"gradient {i}": backend.to_device(t.grad, "cpu") for i, t in enumerate(inputs)}
    return arrays


def assert_close(got, wanted, dtype, scale, what):
    assert got.shape == wanted.shape and got.dtype == wanted.dtype == dtype, what
    close = TOLERANCE[dtype] * max(np.abs(wanted).max(initial=0), scale)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=close, err_msg=what)


@every_example
@every_implementation
def test_gradients(example, implementation, put, check_gradients):
    if not example.trained:
        pytest.skip("has no gradient")
    with kernels.use(implementation), algorithms.force(example.algorithm):
        check_gradients(lambda *tensors: example.run(put, *tensors), *example.arrays, samples=12)


@every_example
@every_dtype
def test_kernels_equal_the_reference(example, dtype, put, normal):
    got, wanted = (outcome(example, name, dtype, put, normal) for name in ("optimized", "reference"))
    assert got.keys() == wanted.keys()
    for what in wanted:
        if (what == "y" and "y" in example.exact) or (
            what.startswith("gradient 0") and "gradients" in example.exact
        ):
            np.testing.assert_array_equal(got[what], wanted[what], err_msg=what)
        assert_close(got[what], wanted[what], dtype, example.scale, what)


@pytest.mark.reference
@every_example
@every_implementation
@every_dtype
def test_equals_pytorch(example, implementation, dtype, put, normal, torch):
    if example.torch is None:
        pytest.skip("PyTorch has no such operation")
    got = outcome(example, implementation, dtype, put, normal)
    inputs = [torch.tensor(a.astype(dtype), requires_grad=example.trained) for a in example.arrays]
    y = example.torch(torch, *inputs)
    wanted = {"y": y.detach().numpy()}
    if example.trained:
        y.backward(torch.tensor(normal(tuple(y.shape), 7).astype(dtype)))
        wanted |= {f"gradient {i}": t.grad.numpy() for i, t in enumerate(inputs)}
    for what, array in wanted.items():
        assert_close(got[what], array, dtype, example.scale, what)


@every_example
@every_implementation
def test_contract(example, implementation, put, check_op_contract):
    if not example.trained or sum(a.size for a in example.arrays) > MOST_CONTRACT:
        pytest.skip("a smaller example with gradients is checked")
    with kernels.use(implementation), algorithms.force(example.algorithm):
        check_op_contract(lambda *t: example.run(put, *t), *example.arrays)


def test_every_operation_has_examples():
    assert {e.op for e in EXAMPLES} == set(ops.__all__)


def test_every_kernel_runs_in_an_example(put, device, monkeypatch):
    """Those that are registered for this device; and no run of an example reaches another one's."""
    chosen = set()
    choose = dispatch.choose

    def remember(function, arrays):
        chosen.add(choose(function, arrays))
        return choose(function, arrays)

    monkeypatch.setattr(dispatch, "choose", remember)
    with no_grad():
        for example in EXAMPLES:
            with algorithms.force(example.algorithm):
                example.run(put, *(Tensor(put(a)) for a in example.arrays))
    registered = {k for (reference, where), k in dispatch.kernels().items() if where == device}
    assert registered - chosen == {
        dispatch.kernels()["optimizer", device]
    }  # which tests/test_optim.py checks
