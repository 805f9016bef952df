import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyface import Tensor, backend
from tinyface.faces.models import ANet
from tinyface.faces.models.lnet_anet import STEP
from tinyface.faces.wild import interweave
from tinyface.faces.wild.interweave import crop_by_crop, image_side, interwoven

ROOT = Path(__file__).resolve().parents[3]


def network(size, seed=0):
    backend.seed(seed)
    net = ANet(4, (size, size), features=7)
    rng = np.random.default_rng(seed)
    for _, buffer in net.named_buffers():
        buffer[...] = rng.uniform(0.5, 1.5, buffer.shape)
    for parameter in net.parameters():  # biases too: all of them must go where they belong
        if parameter.ndim < 2 or parameter.ndim == 3:
            parameter.data[...] += rng.normal(0, 0.3, parameter.shape)
    return net.eval()


@pytest.mark.parametrize(("size", "patches"), [(56, 3), (80, 1), (80, 4), (104, 2)])
def test_equals_crop_by_crop(put, device, normal, size, patches):
    net = network(size).to(device)
    side = image_side(net.config["size"][0], patches)
    images = put(normal((2, 3, side, side)).astype(np.float32))
    one_by_one, at_once = crop_by_crop(net, images, patches), interwoven(net, images, patches)
    assert at_once.shape == (2, patches**2, 7)
    wanted = backend.to_device(one_by_one, "cpu")
    assert wanted.std(axis=1).max() > 1e-3 or patches == 1  # patches differ, so their order counts
    np.testing.assert_allclose(backend.to_device(at_once, "cpu"), wanted, atol=1e-5)


def test_patches_are_in_rows(put, device, normal):
    net = network(56).to(device)
    images = put(normal((1, 3, 72, 72)).astype(np.float32))
    third = net.features(Tensor(images[:, :, STEP : STEP + 56, 2 * STEP : 2 * STEP + 56])).numpy()
    np.testing.assert_allclose(backend.to_device(interwoven(net, images, 3), "cpu")[:, 5], third, atol=1e-5)


def test_c2_runs_once(put, device, normal, monkeypatch):
    calls, net = [], network(56).to(device)
    shared = net.shared
    monkeypatch.setattr(type(net), "shared", lambda self, x: calls.append(x.shape) or shared(x))
    interweave.interwoven(net, put(normal((1, 3, 72, 72)).astype(np.float32)), 3)
    assert calls == [(1, 3, 72, 72)]


def test_the_benchmark_compares_what_is_equal():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "interweave.py", "--preset", "tiny", "--patches", "2"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, row = done.stdout.splitlines()
    assert head.split()[-1] == "difference" and row.startswith("2x2") and float(row.split()[-1]) < 1e-5
