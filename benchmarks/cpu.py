"""tinyface beside PyTorch on this machine's CPU: networks, operations, threads, memory, and where the time goes.

    python benchmarks/cpu.py                                     networks and operations
    python benchmarks/cpu.py --networks --only train/small       some of them
    python benchmarks/cpu.py --profile train/small/avg --threads 1

Without an option for what to measure: --networks --ops. Progress goes to stderr, the report to stdout or to the
files of --markdown and --json, which are written after every line measured: Ctrl-C keeps what there is.
"""

import argparse
import gc
import json
import shlex
import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # a checkout measures itself, whatever is installed
try:
    import torch  # noqa: F401  (first, for one clear line where it is missing)
except ImportError:
    sys.exit("cpu.py: PyTorch is not installed; make bench installs it, or pip install -e '.[reference]'")

import pairs
import studies
from bench_report import markdown
from op_cases import op_cases
from stopwatch import machine

from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write

# What can be measured: the name of the option → function of (name of a line, options), names of all lines.
SECTIONS = {
    "networks": (studies.time_network, pairs.names()),
    "ops": (studies.time_op, [f"ops/{name}" for name in op_cases(pairs.SCALES["paper"])]),
    "scaling": (studies.scaling, [f"scaling/{network}" for network in pairs.NETWORKS]),
    "bits": (studies.bits, [f"bits/{network}" for network in pairs.NETWORKS]),
    "memory": (
        studies.memory,
        [f"memory/{scale}/{network}" for scale in pairs.SCALES for network in pairs.NETWORKS],
    ),
    "loader": (studies.loader, ["loader/labels", "loader/attributes"]),
}
DEFAULT = ("networks", "ops")
OUTPUTS = ("--json", "--markdown")


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    given = parse(arguments)
    try:
        result = measure(given, arguments)
    except TinyfaceError as error:
        sys.exit(f"cpu.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if not given.markdown:
        print(markdown(result))
    differing = [row["name"] for row in result["sections"].get("bits", ()) if not row["same"]]
    if differing:
        sys.exit(f"cpu.py: the weights depend on the number of threads: {', '.join(differing)}")


def parse(arguments):
    """The options. Ends the program with one line where they make no sense."""
    parser = argparse.ArgumentParser(
        prog="cpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what to measure")
    what.add_argument("--networks", action="store_true", help="training step and inference, against PyTorch")
    what.add_argument(
        "--ops", action="store_true", help="every layer of Table 1 and other ops, against PyTorch"
    )
    what.add_argument("--scaling", action="store_true", help="time per image by batch and by image area")
    what.add_argument("--bits", action="store_true", help="that 1, 2 and 3 threads train to the same bits")
    what.add_argument("--memory", action="store_true", help="peak memory of training steps, against PyTorch")
    what.add_argument(
        "--loader", action="store_true", help="images/s that the loader makes and training takes"
    )
    what.add_argument("--all", action="store_true", help="all of these")
    what.add_argument(
        "--profile",
        nargs="+",
        metavar="NAME",
        default=[],
        help="where the time of train/small/avg, infer/paper/ssg … goes, by operation",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--only", nargs="+", metavar="PART", help="only lines with one of these in their name")
    how.add_argument("--list", action="store_true", help="print the names of all lines and stop")
    how.add_argument("--rounds", type=_positive, default=5, help="the minimum of so many counts (default: 5)")
    how.add_argument(
        "--threads", type=_positive, nargs="+", default=[1, 2], metavar="N", help="default: 1 and then 2"
    )
    how.add_argument(
        "--quick", action="store_true", help="tiny networks, one round: to see that all of it runs"
    )
    where = parser.add_argument_group("where to")
    where.add_argument("--json", type=Path, metavar="PATH", help="everything, rounds included")
    where.add_argument("--markdown", type=Path, metavar="PATH", help="the report, instead of printing it")
    given = parser.parse_args(arguments)

    unknown = [name for name in given.profile if name not in pairs.names()]
    if unknown:
        parser.error(f"--profile {unknown[0]}: no such network; choose from {', '.join(pairs.names())}")
    if given.quick:
        given.rounds = 1
    given.chosen = _chosen(given)
    if given.list:
        print("\n".join(name for _, names in given.chosen.values() for name in names))
        parser.exit()
    if not any(names for _, names in given.chosen.values()):
        parser.error(f"--only {' '.join(given.only)}: nothing has that in its name; --list prints all names")
    return given


def _positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _chosen(given):
    """{section: (function, names of the lines wanted)}."""
    asked = [section for section in SECTIONS if given.all or getattr(given, section)]
    if not asked and not given.profile:
        asked = SECTIONS if given.list else DEFAULT
    chosen = {}
    for section in asked:
        function, names = SECTIONS[section]
        chosen[section] = function, [n for n in names if not given.only or any(p in n for p in given.only)]
    if given.profile:
        chosen["profile"] = studies.profile, given.profile
    return chosen


def measure(given, arguments):
    """Everything that was asked for; → the content of the JSON."""
    gc.freeze()  # or the collector looks through all of PyTorch's modules again and again
    result = {
        "command": shlex.join(["python", "benchmarks/cpu.py", *_without_outputs(arguments)]),
        "machine": machine(),
        "rounds": given.rounds,
        "threads": given.threads,
        "quick": given.quick,
        "sections": {},
    }
    save(result, given)  # before hours of measuring, rather than after
    for section, (function, names) in given.chosen.items():
        rows = result["sections"][section] = []
        for name in names:
            for row in function(name, given):
                rows.append(row)
                print(_progress(row), file=sys.stderr, flush=True)
                save(result, given)
    return result


def save(result, given):
    """Write the files that were asked for. Raises TinyfaceError where one cannot be written."""
    for path, content in ((given.json, json.dumps(result, indent=1)), (given.markdown, markdown(result))):
        if path:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TinyfaceError(f"{path}: cannot be written ({error.strerror})") from None
            atomic_write(path, content)


def _without_outputs(arguments):
    """The options but the paths of files, which say nothing to a reader on another machine."""
    kept, skip = [], False
    for word in arguments:
        if (
            not skip
            and not word.startswith(tuple(f"{option}=" for option in OUTPUTS))
            and word not in OUTPUTS
        ):
            kept.append(word)
        skip = word in OUTPUTS
    return kept


def _progress(row):
    """One line on what was just measured."""
    words = [row["name"], *(str(row[key]) for key in ("pass", "batch", "size") if key in row)]
    for time in row.get("times", ()):
        words.append(f"[{time['threads']}] {time['ours']:.4g} / {time['torch']:.4g} ms = {time['ratio']:.2f}")
    return "  ".join(words)


if __name__ == "__main__":
    main()
