"""tinyface beside PyTorch on this machine's GPU: training step and inference of the networks.

    python benchmarks/gpu.py                                     all networks, in float32 and with TF32
    python benchmarks/gpu.py --only train/small --rounds 10      some of them

Without a PyTorch that sees the GPU, tinyface is measured alone. Progress goes to stderr, the report to stdout or to
the files of --markdown and --json, which are written after every line measured: Ctrl-C keeps what there is.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout measures itself
import pairs
import stopwatch
from bench_report import KINDS, ms, table

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write

torch = pairs.torch
PRECISIONS = {False: "float32", True: "TF32"}
LEAST_MS, MOST_REPEATS = 50, 100  # a round repeats what is shorter


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    given = parse(arguments)
    try:
        backend.cupy()
        result = measure(given)
    except TinyfaceError as error:
        sys.exit(f"gpu.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if not given.markdown:
        print(markdown(result))


def parse(arguments):
    """The options. Ends the program with one line where they make no sense."""
    parser = argparse.ArgumentParser(
        prog="gpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help="only lines with one of these in their name"
    )
    parser.add_argument("--list", action="store_true", help="print the names of all lines and stop")
    parser.add_argument("--rounds", type=int, default=5, help="the minimum of so many counts (default: 5)")
    parser.add_argument("--quick", action="store_true", help="tiny networks, one round: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="everything, rounds included")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="the report, instead of printing it")
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: must be at least 1")
    given.names = [
        name for name in pairs.names() if not given.only or any(part in name for part in given.only)
    ]
    if not given.names:
        parser.error(f"--only {' '.join(given.only)}: nothing has that in its name; --list prints all names")
    if given.list:
        print("\n".join(given.names))
        parser.exit()
    if given.quick:
        given.rounds = 1
    given.command = ["python", "benchmarks/gpu.py"]
    if given.only:
        given.command += ["--only", *given.only]
    given.command += ["--quick"] if given.quick else ["--rounds", str(given.rounds)]
    return given


# ---------------------------------------------------------------- measuring


def measure(given):
    """Everything that was asked for; → the content of the JSON."""
    reason = no_torch()
    if reason:
        print(f"gpu.py: {reason}: tinyface is measured alone", file=sys.stderr)
    else:
        torch.backends.cudnn.benchmark = True  # let it look for its fastest convolutions
    result = {
        "command": shlex.join(given.command),
        "machine": machine(),
        "rounds": given.rounds,
        "quick": given.quick,
        "alone": reason,
        "networks": [],
    }
    save(result, given)  # before the measuring, rather than after
    for name in given.names:
        result["networks"].append(time_network(name, given, formats=() if reason else pairs.FORMATS))
        print(_progress(result["networks"][-1]), file=sys.stderr, flush=True)
        save(result, given)
    return result


def no_torch():
    """Why there is no PyTorch to measure against; None where there is."""
    if torch is None:
        return "PyTorch is not installed"
    return None if torch.cuda.is_available() else "this PyTorch sees no GPU"


def time_network(name, given, formats):
    """A training step or an inference: kind/scale/network, in float32 and, where the GPU can, with TF32."""
    kind, scale, network = name.split("/")
    scale = (pairs.QUICK_SCALES if given.quick else pairs.SCALES)[scale]
    batch = scale.batch(network)
    sides = pairs.build(kind, network, scale.width, scale.size, batch, "cuda", formats)
    row = {"name": name, "width": scale.width, "size": scale.size, "batch": batch}
    try:
        for on in PRECISIONS:
            if not use_tf32(on):
                continue
            if not on:  # TF32 rounds to three digits: there is nothing to compare
                row["losses"] = pairs.check_same(name, kind, sides)
            timed = alternate({side: (it.enqueue, kind) for side, it in sides.items()}, given.rounds)
            row[PRECISIONS[on]] = _compared(timed)
    finally:
        use_tf32(False)
    return row


def use_tf32(on):
    """Both sides' switches. → whether the GPU has it."""
    try:
        backend.set_tf32(on)
    except TinyfaceError:
        return False
    if not no_torch():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    return True


class Events:
    """Two marks in the queue of the GPU's work, CuPy's or PyTorch's, and the time between them by the GPU's clock."""

    def __init__(self, ours):
        self.ours, cuda = ours, backend.cupy().cuda if ours else torch.cuda
        self.first, self.last = (cuda.Event() if ours else cuda.Event(enable_timing=True) for _ in range(2))

    def milliseconds(self):
        """Waits until the GPU has passed the last mark."""
        self.last.synchronize()
        if self.ours:
            return backend.cupy().cuda.get_elapsed_time(self.first, self.last)
        return self.first.elapsed_time(self.last)


def alternate(sides, rounds):
    """Time several things by turns, A B C A B C …, after warming each up: {name: {"gpu": […], "host": […]}} in ms.

    sides: {name: (function, its argument)}. A round is the mean of as many repeats as fill LEAST_MS. "host" is how
    long Python took to put the work into the queue: where that is as long as "gpu", the GPU was waiting for Python.
    """
    repeats = {name: _warm_up(name, *side) for name, side in sides.items()}
    times = {name: {"gpu": [], "host": []} for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            gpu, host = _round(name, *side, repeats[name])
            times[name]["gpu"].append(gpu)
            times[name]["host"].append(host)
    return times


def _warm_up(side, function, argument):
    """Run three times: kernels are compiled, algorithms looked for, memory pools filled. → repeats of a round."""
    _round(side, function, argument, 2)
    taken, _ = _round(side, function, argument, 1)
    return int(max(min(LEAST_MS / max(taken, 1e-3), MOST_REPEATS), 1))


def _round(side, function, argument, repeats):
    """(ms until the GPU is done, ms until everything is in its queue) of one call."""
    events = Events(ours=side == "ours")
    events.first.record()
    started = time.perf_counter()
    for _ in range(repeats):
        function(argument)
    host = time.perf_counter() - started
    events.last.record()
    return events.milliseconds() / repeats, 1000 * host / repeats


def _compared(timed):
    """The best round of each side, and the better format of PyTorch's."""
    best = {name: min(times["gpu"]) for name, times in timed.items()}
    ours = best.pop("ours")
    result = {"ours": ours, "host": min(timed["ours"]["host"]), "rounds": timed}
    if best:
        fastest = min(best, key=best.get)
        result |= {"torch": best[fastest], "format": fastest, "ratio": ours / best[fastest]}
    return result


def machine():
    """What a reader needs to judge the times by: {what: value}; no name of the host, no path."""
    cupy = backend.cupy()
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    name, capability = properties["name"].decode(), f"{properties['major']}.{properties['minor']}"
    gpu = {
        "GPU": f"{name}, compute capability {capability}",
        "its memory": f"{properties['totalGlobalMem'] / 2**30:.0f} GiB",
        "CUDA": f"driver for {_version(runtime.driverGetVersion())}, "
        f"CuPy's {_version(runtime.runtimeGetVersion())}, PyTorch's {_of_torch()}",
        "CuPy": cupy.__version__,
    }
    return gpu | stopwatch.machine()


def _version(number):
    return f"{number // 1000}.{number % 1000 // 10}"


def _of_torch():
    if torch is None or torch.version.cuda is None:
        return "none"
    return f"{torch.version.cuda} with cuDNN {torch.backends.cudnn.version()}"


# ---------------------------------------------------------------- report


def save(result, given):
    """Write the files that were asked for. Raises TinyfaceError where one cannot be written."""
    for path, content in ((given.json, json.dumps(result, indent=1)), (given.markdown, markdown(result))):
        if path:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TinyfaceError(f"{path}: cannot be written ({error.strerror})") from None
            atomic_write(path, content)


def _progress(row):
    words = [row["name"]]
    for precision in PRECISIONS.values():
        if precision in row:
            timed = row[precision]
            words.append(f"{precision} {timed['ours']:.4g} ms")
            if "torch" in timed:
                words[-1] += f" / {timed['torch']:.4g} ms = {timed['ratio']:.2f}"
    return "  ".join(words)


def markdown(result):
    """The report, made of nothing but the JSON."""
    lines = ["# tinyface on a GPU", "", "```sh", result["command"], "```", ""]
    if result["quick"]:
        lines += ["**Made with --quick: tiny networks, to see that it runs. The times mean nothing.**", ""]
    lines += table(["", ""], [[what, value] for what, value in result["machine"].items()])
    lines += [
        "",
        f"Times are milliseconds by CUDA events, each the minimum of {result['rounds']} "
        f"round{'s' * (result['rounds'] > 1)} after a warm-up. Nothing waits for the GPU within a round. Queued: how "
        "long tinyface's Python takes to hand the work over; where it is as long as the time, the GPU is waiting.",
        "",
    ]
    if result["alone"]:
        lines.append(f"No comparison: {result['alone']}.")
    else:
        lines.append(
            "Both sides take turns in one process, on the same batch with the same weights, and were checked to "
            "compute the same. Ratio = tinyface / PyTorch: below 1, tinyface is faster. PyTorch runs eagerly, in both "
            "of its memory formats with cudnn.benchmark; the better one counts, (cl) where that is channels_last."
        )
    for kind, title in KINDS.items():
        rows = [row for row in result["networks"] if row["name"].startswith(f"{kind}/")]
        if rows:
            lines += ["", f"## {title}", "", *_table(rows, bool(result["alone"]))]
    return "\n".join(lines) + "\n"


def _table(rows, alone):
    head = ["network", "width", "images", "batch", "factors", "tinyface", "queued"]
    head += [] if alone else ["PyTorch", "ratio"]
    lines = []
    for row in rows:
        height, width = row["size"]
        first = [row["name"].split("/", 1)[1], row["width"], f"{height}×{width}", row["batch"]]
        for precision in PRECISIONS.values():
            if precision not in row:
                continue
            timed = row[precision]
            cells = [*first, precision, ms(timed["ours"]), ms(timed["host"])]
            if not alone:
                theirs = ms(timed["torch"]) + " (cl)" * (timed["format"] == "channels_last")
                cells += [theirs, f"{timed['ratio']:.2f}"]
            lines.append(cells)
    return table(head, lines)


if __name__ == "__main__":
    main()
