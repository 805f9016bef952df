"""What finished networks are worth, kept in measures.json, so that nothing is measured twice.

An entry is good as long as its identity is: the SHA-256 of the files of the networks and of the segmentation network,
and what they were evaluated on.
"""

import hashlib
import json

from tinyface import checkpoint
from tinyface.files import atomic_write
from tinyface.training import BEST

from .. import tasks
from ..commands.evaluate import plain
from ..commands.feeds import VALIDATION_BATCH
from ..commands.fit import start_workers
from ..commands.folders import defined, named
from ..commands.sources import evaluation_split
from ..data.dataset import REGIONS
from ..data.layouts import choose_layout, open_dataset
from ..data.loader import batches_in_order
from ..metrics import attribute_metrics, majority_error
from ..models.attributes import HEADS_NEEDED
from ..predict import load_segmentation_net

FILE = "measures.json"


class Measures:
    """The entries of measures.json: {name: {"identity", "measures"}}; a damaged file is begun anew."""

    def __init__(self, folder, log):
        self.path, self.entries = folder / FILE, {}
        if self.path.exists():
            try:
                self.entries = dict(json.loads(self.path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                log(f"{self.path}: damaged, so everything is measured again")

    def get(self, name, identity):
        """The measures kept under a name, or None where they are of other files."""
        entry = self.entries.get(name)
        return entry["measures"] if entry and entry["identity"] == identity else None

    def add(self, found):
        """found: {name: (identity, measures)}, written at once."""
        for name, (identity, measures) in found.items():
            self.entries[name] = {"identity": identity, "measures": measures}
        atomic_write(self.path, json.dumps(self.entries, indent=1, sort_keys=True))


def identify(files, data, need):
    """A text that changes with the content of the files, and with the data and split that they are evaluated on."""
    split = evaluation_split(data, need)
    where = f"{choose_layout(data, need).describe()}, {split}"
    return " ".join([where, *(hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files)])


def measure_attribute_nets(job, store, folder, modes, averages, data, log):
    """Measures of attribute networks in one folder, and of averages of their predictions: {mode or modes: measures}.

    Those that are not kept yet are evaluated together, so the segmentation network runs once for each face.
    """
    files = {mode: job.out / folder / mode / BEST for mode in modes}
    names = {(mode,): f"{folder}/{mode}" for mode in modes}
    names |= {average: f"{folder}/{' + '.join(average)}" for average in averages}
    shown_by = [job.segmentation_file] if any(HEADS_NEEDED[mode] for mode in modes) else []

    def identity_of(key):
        return identify([*(files[mode] for mode in key), *shown_by], data, "attributes")

    identities = {key: identity_of(key) for key in names}
    found = {key: store.get(names[key], identities[key]) for key in names}
    missing = [key for key, measures in found.items() if measures is None]
    if missing:
        wanted = [mode for mode in modes if any(mode in key for key in missing)]
        log(f"measuring {folder}: {', '.join(wanted)}")
        measured = evaluate_files({mode: files[mode] for mode in wanted}, missing, shown_by, data, job.device)
        store.add({names[key]: (identities[key], measures) for key, measures in measured.items()})
        found |= measured
    return found


def evaluate_files(files, keys, shown_by, data, device):
    """{key: measures} for keys of one mode, or of several whose probabilities are averaged."""
    start_workers(device)
    segmentation_net = load_segmentation_net(shown_by[0], device) if shown_by else None
    attribute_nets = [
        tasks.AttributeTask(checkpoint.load_network(file).to(device), segmentation_net)
        for file in files.values()
    ]
    dataset = open_dataset(data, evaluation_split(data, "attributes"), "attributes")
    size = tuple(attribute_nets[0].network.config["size"])
    landmarks = any(task.landmarks for task in attribute_nets)
    batches = batches_in_order(dataset, "attributes", VALIDATION_BATCH, size, landmarks=landmarks)
    probabilities, targets = tasks.gather(attribute_nets, batches)
    by_mode = dict(zip(files, probabilities, strict=True))

    def measures(key):
        mean = sum(by_mode[mode] for mode in key) / len(key)
        metrics = attribute_metrics(mean, targets)
        return {**plain(metrics), "faces": metrics.count}

    return {key: measures(key) for key in keys}


def measure_segmentation_net(job, store, folder, log):
    """IoU of each region, their mean and the pixel accuracy of the segmentation network in a folder."""
    file = job.out / folder / BEST
    identity = identify([file], job.seg_data, "labels")
    measures = store.get(folder, identity)
    if measures is None:
        log(f"measuring {folder}")
        start_workers(job.device)
        task = tasks.SegmentationTask(load_segmentation_net(file, job.device))
        dataset = open_dataset(job.seg_data, evaluation_split(job.seg_data, "labels"), "labels")
        confusion = tasks.validation(task, dataset, VALIDATION_BATCH, job.network.size)
        measures = {
            "mean": defined(confusion.mean_iou()),
            "pixel_accuracy": defined(confusion.pixel_accuracy()),
            "iou": named(REGIONS, confusion.iou()),
            "faces": len(dataset),
        }
        store.add({folder: (identity, measures)})
    return measures


def always_the_majority(data):
    """Error of answering each attribute with the training split's majority: what a network must beat."""
    train = open_dataset(data, "train", "attributes").attributes
    return majority_error(
        train, open_dataset(data, evaluation_split(data, "attributes"), "attributes").attributes
    )[1]
