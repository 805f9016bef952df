"""What finished networks are worth, kept in measures.json, so that nothing is measured twice.

An entry is good as long as its identity is: the SHA-256 of the files of the networks and of the parser, and
what they were judged on.
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
from ..data.dataset import REGIONS
from ..data.layouts import choose_layout, open_dataset
from ..data.loader import batches_in_order
from ..metrics import attribute_metrics, majority_error
from ..models.attributes import HEADS_NEEDED
from ..predict import load_parser
from .job import judged_on

FILE = "measures.json"


class Measures:
    """The entries of measures.json: {name: {"identity", "measures"}}; a damaged file is begun anew."""

    def __init__(self, folder, say):
        self.path, self.entries = folder / FILE, {}
        if self.path.exists():
            try:
                self.entries = dict(json.loads(self.path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                say(f"{self.path}: damaged, so everything is measured again")

    def get(self, name, identity):
        """The measures kept under a name, or None where they are of other files."""
        entry = self.entries.get(name)
        return entry["measures"] if entry and entry["identity"] == identity else None

    def put(self, found):
        """found: {name: (identity, measures)}, written at once."""
        for name, (identity, measures) in found.items():
            self.entries[name] = {"identity": identity, "measures": measures}
        atomic_write(self.path, json.dumps(self.entries, indent=1, sort_keys=True))


def identify(files, data, need):
    """A text that changes with the content of the files, and with the data and split that they are judged on."""
    split = judged_on(data, need)
    where = f"{choose_layout(data, need).describe()}, {split}"
    return " ".join([where, *(hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files)])


def measure_readers(job, store, folder, modes, averages, data, say):
    """Measures of attribute networks in one folder, and of averages of their predictions: {mode or modes: measures}.

    Those that are not kept yet are judged together, so the parser looks at each face once.
    """
    files = {mode: job.out / folder / mode / BEST for mode in modes}
    names = {(mode,): f"{folder}/{mode}" for mode in modes}
    names |= {average: f"{folder}/{' + '.join(average)}" for average in averages}
    shown_by = [job.parser] if any(HEADS_NEEDED[mode] for mode in modes) else []

    def identity_of(key):
        return identify([*(files[mode] for mode in key), *shown_by], data, "attributes")

    identities = {key: identity_of(key) for key in names}
    found = {key: store.get(names[key], identities[key]) for key in names}
    missing = [key for key, measures in found.items() if measures is None]
    if missing:
        wanted = [mode for mode in modes if any(mode in key for key in missing)]
        say(f"measuring {folder}: {', '.join(wanted)}")
        judged = judge({mode: files[mode] for mode in wanted}, missing, shown_by, data, job.device)
        store.put({names[key]: (identities[key], measures) for key, measures in judged.items()})
        found |= judged
    return found


def judge(files, keys, shown_by, data, device):
    """{key: measures} for keys of one mode, or of several whose probabilities are averaged."""
    start_workers(device)
    parser = load_parser(shown_by[0], device) if shown_by else None
    readers = [
        tasks.AttributeTask(checkpoint.load_network(file).to(device), parser) for file in files.values()
    ]
    dataset = open_dataset(data, judged_on(data, "attributes"), "attributes")
    size = tuple(readers[0].network.config["size"])
    landmarks = any(reader.landmarks for reader in readers)
    batches = batches_in_order(dataset, "attributes", VALIDATION_BATCH, size, landmarks=landmarks)
    probabilities, targets = tasks.gather(readers, batches)
    by_mode = dict(zip(files, probabilities, strict=True))

    def measures(key):
        mean = sum(by_mode[mode] for mode in key) / len(key)
        metrics = attribute_metrics(mean, targets)
        return {**plain(metrics), "faces": metrics.count}

    return {key: measures(key) for key in keys}


def measure_parser(job, store, folder, say):
    """IoU of each region, their mean and the pixel accuracy of the parser in a folder."""
    file = job.out / folder / BEST
    identity = identify([file], job.seg_data, "labels")
    measures = store.get(folder, identity)
    if measures is None:
        say(f"measuring {folder}")
        start_workers(job.device)
        task = tasks.SegmentationTask(load_parser(file, job.device))
        dataset = open_dataset(job.seg_data, judged_on(job.seg_data, "labels"), "labels")
        confusion = tasks.validation(task, dataset, VALIDATION_BATCH, job.network.size)
        measures = {
            "mean": defined(confusion.mean_iou()),
            "pixel_accuracy": defined(confusion.pixel_accuracy()),
            "iou": named(REGIONS, confusion.iou()),
            "faces": len(dataset),
        }
        store.put({folder: (identity, measures)})
    return measures


def always_the_majority(data):
    """Error of answering each attribute with the training split's majority: what a network must beat."""
    train = open_dataset(data, "train", "attributes").attributes
    return majority_error(train, open_dataset(data, judged_on(data, "attributes"), "attributes").attributes)[
        1
    ]
