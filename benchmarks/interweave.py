"""ANet's features of overlapping patches: all at once beside crop by crop (tinyface/faces/wild/interweave.py).

python benchmarks/interweave.py            prints a table; --patches and --preset for others
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout measures itself
from tinyface import backend
from tinyface.faces.models import ANet
from tinyface.faces.presets import PRESETS
from tinyface.faces.wild.interweave import crop_by_crop, image_side, interwoven


def measure(preset="small", patches=(3, 5), images=4, rounds=5):
    """Rows (patches, seconds crop by crop, seconds at once, largest difference), the best of some rounds."""
    wild, rows = PRESETS[preset].wild, []
    backend.seed(0)
    network = ANet(wild.anet_width, wild.anet_size, wild.features).eval()
    for count in patches:
        side = image_side(network.config["size"][0], count)
        x = np.random.default_rng(0).standard_normal((images, 3, side, side)).astype(np.float32)
        results, best = [], []
        for function in (crop_by_crop, interwoven):
            results.append(function(network, x, count))
            best.append(min(_seconds(function, network, x, count) for _ in range(rounds)))
        rows.append((count, *best, float(np.abs(results[0] - results[1]).max())))
    return rows


def _seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--patches", type=int, nargs="+", default=[3, 5], help="either way")
    options = parser.parse_args()
    print(f"{'patches':>8}{'crop by crop':>16}{'at once':>12}{'times faster':>14}{'difference':>12}")
    for count, slow, fast, difference in measure(options.preset, options.patches):
        print(
            f"{count}x{count:<6}{1000 * slow:13.1f} ms{1000 * fast:9.1f} ms{slow / fast:14.1f}{difference:12.1e}"
        )


if __name__ == "__main__":
    main()
