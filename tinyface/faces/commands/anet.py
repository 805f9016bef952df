"""Training ANet (Liu et al. 2015, section 3.2) on the faces that LNet finds: identities, then attributes, then SVMs.

A run is a folder: LNet's networks as they were found (none with --aligned), identities/ and attributes/ with a stage
each, svm.h5. The networks learn from the training split. The SVMs learn from the validation split, other people, as in
the paper, and where that has fewer photos than the paper's from the training split too; never from the split that is
evaluated.
"""

import json
from pathlib import Path

import numpy as np

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder

from .. import provenance, tasks
from ..data.crops import crop, cropped
from ..data.dataset import ATTRIBUTES
from ..data.layouts import open_dataset
from ..data.transforms import read_image
from ..metrics import attribute_metrics, format_attribute_table, percent
from ..models import ANet, AttributeSVM
from ..presets import find_preset
from ..wild.interweave import image_side
from ..wild.localize import ALIGNED, ANET_STAGES, LOCALIZER, STAGES, Aligned, load_localizer
from ..wild.predictor import PATCHES, SVM, WildPredictor, enlarged_region, networks_in, patch_features
from .evaluate import plain
from .feeds import Feed, PairFeed, check_batch_size
from .fit import fit
from .folders import RUNS, report, resumable, run_folder
from .lnet import draw_localization, evaluate_localizer
from .photos import find_backgrounds, find_wild
from .pictures import draw_curve
from .sources import evaluation_split, split_to_evaluate, validation_split
from .stages import keep_given, resolve
from .trained import all_the_same, last_run, of_these

SVM_PHOTOS = 20_000  # the SVMs' in the paper: a thousand people, twenty photos of each


def train_anet(given, lnet=None, identities=True, aligned=False, out=None, resume=False, log=print):
    """Train ANet and its SVMs. Returns the run's folder.

    given: {option: value or None}; lnet: a run of train-lnet, else the newest; identities: whether to pre-train on
    them; aligned: whether the photos are aligned faces, so that none needs to be found. out, resume, log: as in
    `train_segmentation`.
    """
    if aligned and lnet:
        raise TinyfaceError("--aligned: with aligned photos there is no face to find; leave --lnet out")
    folder = run_folder("anet", given, out, resume, log)
    stages = ("identities", "attributes") if identities else ("attributes",)
    if resume and not identities and (folder / "identities").exists():
        raise TinyfaceError(
            f"--no-identities: the run in {folder} was pre-trained on identities; leave the option out"
        )
    saved = {stage: resumable(folder / stage, resume) for stage in stages}
    if identities and saved["attributes"] and not saved["identities"]:
        raise TinyfaceError(
            f"--resume: the run in {folder} has no pre-training on identities; add --no-identities"
        )
    kinds = {"identities": "identities", "attributes": "faces"}  # which Training of the preset
    options = {stage: resolve(kinds[stage], given, saved[stage], folder) for stage in stages}
    main = options[stages[0]]
    data = find_wild(main.data, log)
    sets = {"train": open_dataset(data, "train", "attributes"), "val": None}
    if validation_split(data, "attributes"):
        sets["val"] = open_dataset(data, "val", "attributes")
    if identities and sets["train"].identities is None:
        raise TinyfaceError(f"{data}: has no identities to learn from; add --no-identities")
    check_batch_size(main, sets["train"])
    origin = provenance.record((data, "attributes"))
    localizer = keep_localizer(folder, lnet, aligned, main.device, log, provenance.kind_of(origin))
    lnets = [file for file in networks_in(folder) if file.parent.name in STAGES]
    origin["others"] = provenance.by_role(lnets)
    keep_given(folder, given)
    boxes = {split: boxes_of(localizer, sets[split], log) for split in sets if sets[split]}
    wild, network = find_preset(main.preset).wild, None
    side = image_side(wild.anet_size[0], PATCHES)
    faces = {split: cropped(sets[split], enlarged_region(boxes[split], wild.anet_size[0])) for split in boxes}
    for stage in stages:
        backend.seed(main.seed)
        shape = wild.anet_width, wild.anet_size, wild.features
        if stage == "identities":
            names, faces["train"].identities = np.unique(sets["train"].identities, return_inverse=True)
            task = tasks.IdentityTask(ANet(*shape, outputs=len(names)))
            feed = PairFeed(task, faces["train"], None, options[stage], size=(side, side))
        else:
            task = tasks.FaceTask(ANet(*shape, outputs=len(ATTRIBUTES)))
            if network is not None:
                task.network.load_encoder_from(network)
            feed = Feed(task, faces["train"], faces.get("val"), options[stage], size=(side, side))
        notes = {"command": f"train-anet ({stage})", **origin}
        fit(task, options[stage], make_folder(folder / stage), feed, notes, saved[stage], log)
        draw_curve(folder / stage, task.measure)
        network = checkpoint.load_network(folder / stage / training.BEST)
    network = network.to(main.device)
    split = split_to_evaluate(data, "attributes")
    learn = choose_for_svms(sets, boxes, split)
    counts = " and ".join(f"{len(dataset)} faces ({dataset.split})" for dataset, _ in learn)
    log(f"linear SVMs on the features of {counts}, {PATCHES**2} patches of each")
    svm = fit_svms(network, learn)
    notes = {"command": "train-anet (SVMs)", **origin, "data": str(data)}
    checkpoint.save(folder / SVM, checkpoint.Checkpoint(svm, notes))
    dataset = open_dataset(data, split or "train", "attributes")
    predictor = WildPredictor(localizer, network, svm)
    if split:
        report(folder, {"split": split, "networks": {"lnet-anet": evaluate_anet(predictor, dataset, log)}})
    else:
        log("no split to evaluate on, so nothing is measured")
    if not isinstance(localizer, Aligned):
        draw_localization(localizer, dataset, folder / "localization.png")
    log(f"the run is in {folder}: use it by predict --system lnet-anet --weights {folder}")
    return folder


def keep_localizer(folder, lnet, aligned, device, log, faces=None):
    """The Localizer that a run's folder holds, or the one to be used, copied to it.

    faces: as in `find_segmentation_net`. Raises TinyfaceError where there is none, or where `aligned` contradicts the
    folder.
    """
    there = (folder / LOCALIZER).exists()
    if aligned and not there:
        make_folder(folder)
        atomic_write(folder / LOCALIZER, json.dumps(ALIGNED))
    elif not there:
        source = Path(lnet) if lnet else find_lnet(faces)
        load_localizer(source)  # raises before anything is written
        make_folder(folder)
        for stage in STAGES:
            make_folder(folder / stage)
            atomic_write(folder / stage / training.BEST, (source / stage / training.BEST).read_bytes())
        atomic_write(folder / LOCALIZER, (source / LOCALIZER).read_bytes())
        log(f"faces as found by {source}, {provenance.line(networks_in(source))}")
    elif lnet:
        load_localizer(lnet)
        files = [f"{stage}/{training.BEST}" for stage in STAGES if (folder / stage / training.BEST).exists()]
        if not files or any((Path(lnet) / f).read_bytes() != (folder / f).read_bytes() for f in files):
            raise TinyfaceError(
                f"--lnet {lnet}: the run in {folder} was started with another one, or with none; leave the option out"
            )
    localizer = load_localizer(folder, device)
    if aligned and not isinstance(localizer, Aligned):
        raise TinyfaceError(f"--aligned: the run in {folder} finds faces by LNet; leave the option out")
    return localizer


def find_lnet(faces):
    """The folder of the last run of train-lnet, not of train-anet, which has copies of one's networks.

    faces: as in `find_segmentation_net`. Raises TinyfaceError where there is none.
    """
    found, other = (last_run("LNet", LOCALIZER, kind, ANET_STAGES) for kind in (faces, None))
    if found is None:
        others = [other] if other else []
        raise TinyfaceError(
            f"--lnet: no run of train-lnet{of_these(faces, others)} found in {RUNS}; train one, name its folder"
            f"{all_the_same(others)}, or add --aligned if the photos are aligned faces"
        )
    return found


def boxes_of(localizer, dataset, log):
    """The faces (N, 4) that are found in a data set's photos, the best guess where none seems to be."""
    if not isinstance(localizer, Aligned):
        log(f"finding the faces in {len(dataset)} photos ({dataset.split})")
    return np.stack([found.face for found in localizer.read(dataset.images)])


def choose_for_svms(sets, boxes, evaluated_on):
    """[(dataset, boxes)] for the SVMs, no more than SVM_PHOTOS: validation photos, then training photos to fill up.

    sets, boxes: by split. evaluated_on: the split to evaluate on, which is left out unless there is no other.
    """
    chosen, room = [], SVM_PHOTOS
    for split in ("val", "train"):
        if split in boxes and room > 0 and (split != evaluated_on or len(boxes) == 1):
            k = -(-len(sets[split]) // room)
            chosen.append((sets[split].every(k), boxes[split][::k]))
            room -= len(boxes[split][::k])
    return chosen


def fit_svms(network, faces):
    """The AttributeSVM of an ANet for the faces of [(dataset, boxes)]: each patch of a face is a sample."""
    size = network.config["size"][0]
    side, crops = image_side(size, PATCHES), []
    for dataset, boxes in faces:
        regions = enlarged_region(boxes, size)
        crops += [
            crop(read_image(path), r, (side, side)) for path, r in zip(dataset.images, regions, strict=True)
        ]
    features = patch_features(network, crops)
    targets = np.concatenate([dataset.attributes for dataset, _ in faces])
    svm = AttributeSVM(features.shape[2], targets.shape[1])
    return svm.fit(features.reshape(-1, features.shape[2]), np.repeat(targets, PATCHES**2, axis=0))


# ---------------------------------------------------------------- evaluation


def evaluate_anet(predictor, dataset, log):
    """Error, average precision and balanced accuracy on a data set's photos; a dictionary; logs them."""
    probabilities = np.stack(
        [prediction.probabilities for prediction in predictor.predict_many(dataset.images)]
    )
    metrics = attribute_metrics(probabilities, dataset.attributes)
    log(format_attribute_table(metrics, ATTRIBUTES))
    e, ap, balanced = metrics.mean_error, metrics.mean_average_precision, metrics.mean_balanced_accuracy
    log(
        f"lnet-anet: error {percent(e)} %, average precision {percent(ap)} %, balanced accuracy {percent(balanced)} %"
    )
    return plain(metrics)


def is_run(path):
    """Whether a path is a finished run of train-lnet or train-anet."""
    return (Path(path) / LOCALIZER).is_file()


def evaluate(folder, data=None, split=None, as_json=False, device="cpu", log=print):
    """Measure a finished run on a split: how many faces are found and, where there is an ANet, the attributes."""
    backend.check_device(device)
    log_text = (lambda text: None) if as_json else log
    data = find_wild(data, log_text)
    dataset = open_dataset(data, split or evaluation_split(data, "attributes"), "attributes")
    log_text(f"split {dataset.split}: {len(dataset)} photos")
    localizer, measures = load_localizer(folder, device), {}
    networks = provenance.line(networks_in(folder))
    log_text(f"networks: {networks}")
    if not isinstance(localizer, Aligned):
        empty = find_backgrounds(data, None, log_text)[dataset.split]
        measures["localization"] = evaluate_localizer(localizer, dataset, empty, log_text)
    if (Path(folder) / SVM).is_file():
        measures["lnet-anet"] = evaluate_anet(WildPredictor.from_folder(folder, device), dataset, log_text)
    if as_json:
        record = {"data": str(data), "split": dataset.split, "faces": len(dataset), "networks": networks}
        log(json.dumps({**record, "measures": measures}))
    return measures
