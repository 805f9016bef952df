"""evaluate: the measures of trained networks on a split that they were not trained on."""

import json

from tinyface import backend, checkpoint
from tinyface.errors import TinyfaceError

from .. import provenance, tasks
from ..data.dataset import ATTRIBUTES, REGIONS
from ..data.layouts import find_layouts, open_dataset
from ..data.loader import batches_in_order
from ..metrics import format_attribute_table, format_region_table, percent, undefined_lines
from ..models.attributes import HEADS_NEEDED
from ..predict import (
    choose_segmentation_net,
    distinct,
    find_networks,
    load_segmentation_net,
    segmentation_file,
)
from .feeds import VALIDATION_BATCH
from .fit import start_workers
from .folders import defined, named
from .sources import evaluation_split, find_data
from .trained import find_segmentation_net


def evaluate(
    weights,
    data=None,
    split=None,
    seg_weights=None,
    batch_size=VALIDATION_BATCH,
    as_json=False,
    device="cpu",
    log=print,
):
    """Measure trained networks on a split.

    Segmentation networks by IoU and F1; attribute networks each by itself, SSP and SSG also averaged.

    weights: checkpoint files or run folders. split: else test where there is one, else val. A joint network is measured
    as both, or as far as the data set goes; as JSON these are two records, under "labels" and "attributes".
    """
    backend.check_device(device)
    start_workers(device)
    segmentation_nets, attribute_nets = find_networks(weights, device)
    uses_regions = any(HEADS_NEEDED[network.mode] for _, network in attribute_nets)
    if seg_weights and not uses_regions:
        raise TinyfaceError("--seg-weights: none of these networks uses regions; leave it out")
    log_text = (lambda text: None) if as_json else log
    joint = {path for path, _ in segmentation_nets} & {path for path, _ in attribute_nets}
    needs = (
        ["attributes"]
        if attribute_nets and not joint
        else ["labels"]
        if not attribute_nets
        else ["labels", "attributes"]
    )
    if joint and data is not None:  # a joint network is measured by what there is
        offered = {need for layout in find_layouts(data) for need in layout.offers}
        needs = [need for need in needs if need in offered] or needs
    records = {}
    for need in needs:
        data_path = find_data(data, need, log_text)
        dataset = open_dataset(data_path, split or evaluation_split(data_path, need), need)
        log_text(f"split {dataset.split}: {len(dataset)} faces")
        if need == "labels":
            networks = provenance.line(path for path, _ in segmentation_nets)
            log_text(f"networks: {networks}")
            result = measure_segmentation_nets(segmentation_nets, dataset, batch_size, log_text)
        else:
            size, files = common_size(attribute_nets), [path for path, _ in attribute_nets]
            source = segmentation_net = None
            if seg_weights:
                source = segmentation_file(seg_weights)
            elif uses_regions:
                source, segmentation_net = choose_segmentation_net(segmentation_nets, attribute_nets)
                source = source or find_segmentation_net(None, size, log_text, kind_of_all(files))
            if source:
                segmentation_net = segmentation_net or load_segmentation_net(source, device)
                files.append(source)
            networks = provenance.line(files)
            log_text(f"networks: {networks}")
            attribute_tasks = [
                tasks.AttributeTask(network, segmentation_net) for _, network in attribute_nets
            ]
            result, table = evaluate_tasks(attribute_tasks, dataset, batch_size)
            log_text(table)
        records[need] = {
            "data": str(data_path),
            "split": dataset.split,
            "faces": len(dataset),
            "networks": networks,
            "measures": result,
        }
    if as_json:
        log(json.dumps(records if len(records) > 1 else records[need]))
    return {name: measures for record in records.values() for name, measures in record["measures"].items()}


def kind_of_all(files):
    """`provenance.kind_of` the networks in checkpoints, None where they differ."""
    kinds = {provenance.kind_of(checkpoint.read_header(file).notes) for file in files}
    return kinds.pop() if len(kinds) == 1 else None


def evaluate_tasks(attribute_tasks, dataset, batch_size=VALIDATION_BATCH):
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


def measure_segmentation_nets(segmentation_nets, dataset, batch_size, log):
    """{file: measures} of segmentation networks, pairs (file, network), on one data set; logs their tables."""
    result = {}
    for path, segmentation_net in segmentation_nets:
        task = tasks.SegmentationTask(segmentation_net)
        confusion = tasks.validation(task, dataset, batch_size, tuple(segmentation_net.config["size"]))
        means = task.summarise(confusion) | {"mean_f1": confusion.mean_f1()}
        result[str(path)] = {name: defined(value) for name, value in means.items()} | {
            "iou": named(REGIONS, confusion.iou()),
            "f1": named(REGIONS, confusion.f1()),
        }
        log(f"{path}\n{format_region_table(confusion, REGIONS)}")
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
