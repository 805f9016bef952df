"""Two checkouts of tinyface, a step each in turn: how much faster or slower is the new one, and are the bits the same?

    python benchmarks/compare_checkouts.py OLD NEW                  # training steps and inference
    python benchmarks/compare_checkouts.py OLD NEW --only small     # some of them
    python benchmarks/compare_checkouts.py OLD NEW --bits           # weights after 20 steps

OLD, NEW: folders that hold tinyface/. Each runs in a process of its own, in the way of the training commands: worker
processes for all threads but one. The least time of each counts.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys

CASES = [  # preset, network, training or inference, batch
    ("demo", "segmentation", "train", 4),
    ("demo", "ssp", "train", 16),
    ("demo", "ssg", "train", 16),
    ("small", "avg", "train", 32),
    ("small", "ssp", "train", 32),
    ("small", "ssg", "train", 32),
    ("small", "segmentation", "train", 16),
    ("paper", "avg", "train", 4),
    ("paper", "ssg", "train", 2),
    ("paper", "segmentation", "train", 2),
    ("small", "avg", "infer", 8),
    ("small", "ssg", "infer", 8),
    ("demo", "segmentation", "infer", 1),
    ("paper", "avg", "infer", 1),
    ("paper", "segmentation", "infer", 1),
]
BITS = [("demo", name, "train", 4) for name in ("avg", "ssp", "ssg", "segmentation")]
BITS += [("small", name, "train", 4) for name in ("avg", "segmentation")]
STEPS = 20  # of --bits


def serve():
    """In a checkout's process: make cases and run their steps, as lines of JSON ask for it."""
    import time

    import numpy as np
    from tinyface.models import AttributeNet, SegmentationNet, segmentation_loss
    from tinyface.presets import PRESETS

    from tinyface import Tensor, backend, no_grad, ops, optim

    def make(preset, network, what, batch):
        size, width = PRESETS[preset].size, PRESETS[preset].width
        rng = np.random.default_rng(0)
        backend.seed(0)
        x = rng.standard_normal((batch, 3, *size), dtype=np.float32)
        if network == "segmentation":
            net = SegmentationNet(width, size)
            labels = rng.integers(0, 7, (batch, *size)).astype(np.uint8)
            forward = lambda: net(Tensor(x))  # noqa: E731
            loss = lambda: segmentation_loss(forward(), labels)  # noqa: E731
        else:
            net = AttributeNet(width, network, size)
            sizes = [(-(-size[0] // s), -(-size[1] // s)) for s in (8, 4, 2, 1)]
            heads = [Tensor(rng.standard_normal((batch, 7, *s), dtype=np.float32)) for s in sizes]
            targets = (rng.random((batch, 40)) < 0.5).astype(np.float32)
            forward = lambda: net(Tensor(x), heads)  # noqa: E731
            loss = lambda: ops.sigmoid_cross_entropy(forward(), targets)  # noqa: E731
        optimizer = optim.AdaGrad(net.parameters(), 1e-3, 5e-4)

        def train():
            net.zero_grad()
            loss().backward()
            optimizer.step()

        def infer():
            with no_grad():
                forward()

        if what == "infer":
            net.eval()
        return net, {"train": train, "infer": infer}[what]

    backend.start_workers(wait=True)
    print(flush=True)
    key = step = None
    for line in sys.stdin:
        question, *case = json.loads(line)
        if question == "bits":
            net, step = make(*case)
            for _ in range(STEPS):
                step()
            digest = hashlib.sha256()
            for _, array in sorted(net.state_dict().items()):
                digest.update(array.tobytes())
            answer = digest.hexdigest()
        else:
            if case != key:
                key, (_, step) = case, make(*case)
                step()
            start = time.perf_counter()
            step()
            answer = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


class Checkout:
    def __init__(self, folder):
        environment = {**os.environ, "PYTHONPATH": os.path.abspath(folder)}
        command = [sys.executable, os.path.abspath(__file__), "--serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
        self.process.stdout.readline()

    def ask(self, question, case):
        self.process.stdin.write(json.dumps([question, *case]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--only", default="", help="cases whose name, such as small/ssg/train, contains this")
    parser.add_argument(
        "--rounds", type=int, default=20, help="steps of each; a third at the paper's size (default: 20)"
    )
    parser.add_argument(
        "--bits", action="store_true", help=f"compare the weights after {STEPS} steps instead"
    )
    options = parser.parse_args()
    old, new = Checkout(options.old), Checkout(options.new)
    for case in BITS if options.bits else CASES:
        name = "/".join(case[:3])
        if options.only not in name:
            continue
        if options.bits:
            same = old.ask("bits", case) == new.ask("bits", case)
            print(f"{name}: {'the same bits' if same else 'OTHER BITS'} after {STEPS} steps", flush=True)
            continue
        best = [float("inf")] * 2
        for number in range(max(options.rounds // (3 if case[0] == "paper" else 1), 3)):
            for i in (0, 1) if number % 2 else (1, 0):
                best[i] = min(best[i], (old, new)[i].ask("time", case))
        ratio = best[1] / best[0]
        print(
            f"{name}, batch {case[3]}: {best[0] * 1e3:.1f} and {best[1] * 1e3:.1f} ms, ratio {ratio:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        sys.path[0] = os.getcwd()  # in place of this file's folder
        serve()
    else:
        main()
