"""Three systems in one table: their measures, and what they cost.

Kalayeh et al. 2017   a segmentation network, SSP and SSG, their predictions averaged
Shu et al. 2021       SSPL: the basic network, pre-trained without labels
Liu et al. 2015       ANet and its SVMs. All systems see the same faces, which are aligned, so LNet has none to find.

Parameters and multiply-adds are those of all networks of a system, the segmentation network included. Time is that of
all training steps, as the logs have it; validating, drawing and measuring are apart.
"""

import json

import numpy as np

from tinyface.checkpoint import load, load_network
from tinyface.summary import multiply_adds_of, summarise
from tinyface.training import BEST, LAST, LOG, read_log

from ..commands.folders import REPORT
from ..wild.interweave import image_side, interwoven
from ..wild.predictor import PATCHES, SVM
from . import sspl, tables

FOLDER = "anet"  # below a seed's folder
ANET, SSPL = "ANet (Liu et al.)", "SSPL (Shu et al.)"
MEASURES = ("error", "average_precision", "balanced_accuracy")
COLUMNS = ("system", "error", "AP", "balanced", "parameters", "multiply-adds", "training, minutes")


def pretrained_on_all(seed):
    """Where SSPL's basic network lies that learned from all labels, below --out."""
    return f"{sspl.folder_of(1.0, 'sspl', seed)}/avg"


def anet_measures(folder):
    """The measures that train-anet reported for its run."""
    return json.loads((folder / REPORT).read_text(encoding="utf-8"))["networks"]["lnet-anet"]


def training_minutes(run):
    """Minutes of the training steps of a run's folder, by its log; None where there is none."""
    if not (run / LOG).is_file() or not (run / LAST).is_file():
        return None
    batch, step, seconds = load(run / LAST).training["options"]["batch_size"], 0, 0.0
    for record in read_log(run / LOG):
        if "images_per_second" in record:
            seconds += (record["step"] - step) * batch / record["images_per_second"]
        step = record["step"]
    return seconds / 60


def cost_of_networks(segmentation_net, files):
    """(parameters, multiply-adds) for one face of a segmentation network, or None, and these networks."""
    rows = [
        row for file in [*filter(None, [segmentation_net]), *files] for row in summarise(load_network(file))
    ]
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


def cost_of_anet(folder):
    """(parameters, multiply-adds) of predicting one face's attributes with ANet, interwoven, and its SVMs."""
    anet, svm = load_network(folder / "attributes" / BEST).eval(), load_network(folder / SVM)
    side = image_side(anet.config["size"][0], PATCHES)
    image = np.zeros((1, 3, side, side), np.float32)
    adds = multiply_adds_of(anet, lambda: interwoven(anet, image, PATCHES))
    parameters = sum(p.size for name, p in anet.named_parameters() if not name.startswith("head."))
    return parameters + svm.weight.size + svm.bias.size, adds + PATCHES**2 * svm.weight.size


def table(job, measured, notes):
    """measured: {"basic", "ssp+ssg", "sspl", "anet": [measures of each seed]}."""
    out, shown_by, seeds = job.out, job.segmentation_file, range(job.seeds)
    own = training_minutes(shown_by.parent)  # the segmentation network's
    segmentation_net = own or 0.0
    few = [out / pretrained_on_all(seed) for seed in seeds]

    def line(name, key, cost, runs, before=0.0):
        """runs: of each seed, the folders of all trainings. before: minutes of what all seeds have in common."""
        parameters, adds = cost
        minutes = [before + sum(training_minutes(run) or 0.0 for run in folders) for folders in runs]
        shares = [tables.percent(m[measure] for m in measured[key]) for measure in MEASURES]
        return [name, *shares, f"{parameters / 1e6:.2f} M", f"{adds / 1e6:,.1f} M", tables.summarise(minutes)]

    def folders(*names):
        return [[out / f"seed-{seed}" / name for name in names] for seed in seeds]

    first = out / "seed-0"
    rows = [
        line("basic", "basic", cost_of_networks(None, [first / "avg" / BEST]), folders("avg")),
        line(
            "SSP + SSG (Kalayeh et al.)",
            "ssp+ssg",
            cost_of_networks(shown_by, [first / mode / BEST for mode in ("ssp", "ssg")]),
            folders("ssp", "ssg"),
            segmentation_net,
        ),
        line(
            SSPL,
            "sspl",
            cost_of_networks(None, [few[0] / BEST]),
            [[folder] for folder in few],
            segmentation_net + (training_minutes(out / sspl.PRETRAINED) or 0.0),
        ),
        line(
            ANET,
            "anet",
            cost_of_anet(first / FOLDER),
            folders(f"{FOLDER}/identities", f"{FOLDER}/attributes"),
        ),
    ]
    notes = (
        *notes,
        "Training: the steps alone, on this machine, as busy as it was; "
        + (
            "the segmentation network's too, where one is needed."
            if own
            else "the segmentation network was given and is left out."
        ),
        "LNet has nothing to find in aligned faces and is not counted.",
    )
    return tables.Table("systems", "Three systems on the same faces, measures in %", COLUMNS, rows, notes)
