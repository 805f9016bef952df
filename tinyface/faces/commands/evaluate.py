"""evaluate: what trained networks are worth on a split that they never learned from."""

import json

from tinyface import backend, checkpoint
from tinyface.errors import TinyfaceError

from .. import provenance, tasks
from ..data.dataset import ATTRIBUTES, REGIONS
from ..data.layouts import find_layouts, open_dataset
from ..data.loader import batches_in_order
from ..metrics import format_attribute_table, format_region_table, percent, undefined_lines
from ..models.attributes import HEADS_NEEDED
from ..predict import choose_parser, distinct, find_networks, load_parser, parser_file
from .feeds import VALIDATION_BATCH
from .fit import start_workers
from .folders import defined, named
from .sources import evaluation_split, find_data
from .trained import find_parser


def evaluate(
    weights,
    data=None,
    split=None,
    seg_weights=None,
    batch_size=VALIDATION_BATCH,
    as_json=False,
    device="cpu",
    say=print,
):
    """Measure trained networks on a split: a parser by IoU and F1, attribute networks each, SSP and SSG also averaged.

    weights: checkpoint files or run folders. split: else test where there is one, else val. A joint network is measured
    as both, or as far as the data set goes; as JSON these are two records, under "labels" and "attributes".
    """
    backend.check_device(device)
    start_workers(device)
    parsers, readers = find_networks(weights, device)
    shows_regions = any(HEADS_NEEDED[network.mode] for _, network in readers)
    if seg_weights and not shows_regions:
        raise TinyfaceError("--seg-weights: none of these networks is shown regions; leave it out")
    whisper = (lambda text: None) if as_json else say
    joint = {path for path, _ in parsers} & {path for path, _ in readers}
    needs = (
        ["attributes"] if readers and not joint else ["labels"] if not readers else ["labels", "attributes"]
    )
    if joint and data is not None:  # a joint network is measured by what there is
        offered = {need for layout in find_layouts(data) for need in layout.offers}
        needs = [need for need in needs if need in offered] or needs
    records = {}
    for need in needs:
        data_path = find_data(data, need, whisper)
        dataset = open_dataset(data_path, split or evaluation_split(data_path, need), need)
        whisper(f"split {dataset.split}: {len(dataset)} faces")
        if need == "labels":
            networks = provenance.line(path for path, _ in parsers)
            whisper(f"networks: {networks}")
            result = measure_parsers(parsers, dataset, batch_size, whisper)
        else:
            size, files = common_size(readers), [path for path, _ in readers]
            source = parser = None
            if seg_weights:
                source = parser_file(seg_weights)
            elif shows_regions:
                source, parser = choose_parser(parsers, readers)
                source = source or find_parser(None, size, whisper, kind_of_all(files))
            if source:
                parser = parser or load_parser(source, device)
                files.append(source)
            networks = provenance.line(files)
            whisper(f"networks: {networks}")
            attribute_tasks = [tasks.AttributeTask(network, parser) for _, network in readers]
            result, table = judge(attribute_tasks, dataset, batch_size)
            whisper(table)
        records[need] = {
            "data": str(data_path),
            "split": dataset.split,
            "faces": len(dataset),
            "networks": networks,
            "measures": result,
        }
    if as_json:
        say(json.dumps(records if len(records) > 1 else records[need]))
    return {name: measures for record in records.values() for name, measures in record["measures"].items()}


def kind_of_all(files):
    """`provenance.kind_of` the networks in checkpoints, None where they differ."""
    kinds = {provenance.kind_of(checkpoint.read_header(file).notes) for file in files}
    return kinds.pop() if len(kinds) == 1 else None


def judge(attribute_tasks, dataset, batch_size=VALIDATION_BATCH):
    """Measures of each network and of the average of SSP and SSG on one data set: (dictionary, table as text).

    attribute_tasks: tasks.AttributeTask of networks made for one size. The dictionary: {name: {"error", …,
    "per_attribute"}}, a network's name being its mode.
    """
    start_workers(attribute_tasks[0].network.device)
    size = tuple(attribute_tasks[0].network.config["size"])
    landmarks = any(task.landmarks for task in attribute_tasks)
    batches = batches_in_order(dataset, "attributes", batch_size, size, landmarks=landmarks)
    names = distinct(task.network.mode for task in attribute_tasks)
    together = tasks.averaged(attribute_tasks)
    if together:
        names.append(" + ".join(names[index] for index in together))
    measured = dict(zip(names, tasks.evaluate_all(attribute_tasks, batches), strict=True))
    lines = [f"{'network':<14}{'error %':>10}{'AP %':>10}{'balanced %':>12}"]
    summary = {}
    for name, metrics in measured.items():
        e, ap, balanced = metrics.mean_error, metrics.mean_average_precision, metrics.mean_balanced_accuracy
        lines.append(f"{name:<14}{percent(e):>10}{percent(ap):>10}{percent(balanced):>12}")
        summary[name] = plain(metrics)
    lines += undefined_lines(metrics, ATTRIBUTES)  # of one data set, so the same for all networks
    last = format_attribute_table(metrics, ATTRIBUTES)
    return summary, "\n".join([f"{name}, attribute by attribute:", last, "", *lines])


def plain(metrics):
    """AttributeMetrics as plain numbers, None where a measure is undefined."""
    return {
        "error": defined(metrics.mean_error),
        "average_precision": defined(metrics.mean_average_precision),
        "balanced_accuracy": defined(metrics.mean_balanced_accuracy),
        "per_attribute": {
            name: named(ATTRIBUTES, getattr(metrics, name))
            for name in ("error", "average_precision", "balanced_accuracy")
        },
    }


def measure_parsers(parsers, dataset, batch_size, say):
    """{file: measures} of parsers, pairs (file, network), on one data set; says their tables."""
    result = {}
    for path, parser in parsers:
        task = tasks.SegmentationTask(parser)
        confusion = tasks.validation(task, dataset, batch_size, tuple(parser.config["size"]))
        means = task.summarise(confusion) | {"mean_f1": confusion.mean_f1()}
        result[str(path)] = {name: defined(value) for name, value in means.items()} | {
            "iou": named(REGIONS, confusion.iou()),
            "f1": named(REGIONS, confusion.f1()),
        }
        say(f"{path}\n{format_region_table(confusion, REGIONS)}")
    return result


def common_size(networks):
    """The (height, width) that all of these (file, network) are made for. Raises TinyfaceError where they differ."""
    sizes = {tuple(network.config["size"]): path for path, network in networks}
    if len(sizes) > 1:
        made_for = " and ".join(f"{path} for images of {h}×{w}" for (h, w), path in sizes.items())
        raise TinyfaceError(
            f"{made_for}: networks of several sizes can't be averaged; evaluate them one by one"
        )
    return next(iter(sizes))
