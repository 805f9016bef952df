"""Whole networks on the references beside the kernels: the same weights after some steps."""

import numpy as np
import pytest

from tinyface import Tensor, backend, kernels, ops, optim
from tinyface.faces import models

SIZE = 28, 22
TOLERANCE = {np.float64: 1e-9, np.float32: 1e-4}  # as a share of the largest number of each array
LEFT_OUT = "head.localization.bias"  # its true gradient is 0: softmax over the regions doesn't see it
MODES = "segmentation", "avg", "ssp", "ssg"
MOST_SEEDS = {np.float64: 1, np.float32: 8}


def after_five_steps(mode, implementation, dtype, device, seed):
    """{name: array} of all weights and statistics."""
    backend.seed(seed)
    rng = np.random.default_rng(seed)
    net = models.SegmentationNet(4, SIZE) if mode == "segmentation" else models.AttributeNet(4, mode, SIZE)
    net.to(dtype).to(device)
    optimizer = optim.AdaGrad(net.parameters(), 1e-3, 5e-4)
    with kernels.use(implementation):
        for _ in range(5):
            x = rng.standard_normal((4, 3, *SIZE)).astype(dtype)
            labels = rng.integers(0, 7, (4, *SIZE)).astype(np.uint8)
            targets = (rng.random((4, 40)) < 0.5).astype(dtype)
            sizes = [(-(-SIZE[0] // s), -(-SIZE[1] // s)) for s in (8, 4, 2, 1)]
            heads = [rng.standard_normal((4, 7, *size)).astype(dtype) for size in sizes]
            x, labels, targets, *heads = (backend.to_device(a, device) for a in (x, labels, targets, *heads))
            net.zero_grad()
            if mode == "segmentation":
                loss = models.segmentation_loss(net(Tensor(x)), labels)
            else:
                logits = net(Tensor(x), [Tensor(h) for h in heads] if mode != "avg" else None)
                loss = ops.sigmoid_cross_entropy(logits, targets)
            loss.backward()
            optimizer.step()
    return {name: backend.to_device(array, "cpu") for name, array in net.state_dict().items()}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", MODES)
def test_trained_on_references_and_on_kernels(mode, dtype, device):
    """In float32 for one of several seeds: where two numbers of a pooling window nearly tie, rounding decides where
    the gradient goes, and the runs part; a fault parts them for every seed."""
    found = []
    for seed in range(MOST_SEEDS[dtype]):
        got, wanted = (after_five_steps(mode, name, dtype, device, seed) for name in kernels.IMPLEMENTATIONS)
        found.append(
            max(
                (abs(got[name] - array).max() / max(abs(array).max(), 1e-3), name)
                for name, array in wanted.items()
                if name != LEFT_OUT
            )
        )
        if found[-1][0] < TOLERANCE[dtype]:
            return
    raise AssertionError(found)
