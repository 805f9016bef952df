"""SSPL's first stage as a command (Shu et al., CVPR 2021): pre-train a backbone on faces without labels.

The second stage is train-attr --init sspl.
"""

import json
from pathlib import Path

import numpy as np

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder

from .. import provenance, tasks
from ..data.dataset import REGIONS
from ..data.layouts import find_layouts, open_dataset
from ..data.loader import batches_in_order
from ..metrics import format_region_table
from ..models import SSPLNet
from ..pictures.drawing import save_png
from ..pictures.sspl import pretext_sheet
from ..predict import SEGMENTATION_FILE, load_segmentation_net, segmentation_file
from ..presets import find_preset
from ..tasks import SSPLTask
from .feeds import VALIDATION_BATCH, Feed
from .fit import fit, start_workers
from .folders import defined, named, report, resumable, run_folder
from .options import Options
from .pictures import draw_curve
from .sources import evaluation_split, find_data, validation_split
from .trained import find_segmentation_net, same_segmentation_net

SHOWN = 6  # faces in the picture


def pretrain_sspl(given, seg_weights=None, out=None, resume=False, log=print):
    """Pre-train a backbone. Returns the run's folder, in which best.h5 holds an SSPLNet.

    given: {option: value or None}, "backbone" among them. seg_weights: the file of the segmentation network that
    predicts the regions; else the last one trained, else the bundled one. out, resume, log: as in `train_segmentation`.
    """
    folder = run_folder("sspl", given, out, resume, log)
    saved = resumable(folder, resume)
    options = Options.resolve("sspl", given, saved and saved.training["options"])
    preset = find_preset(options.preset)
    need = available_need(options.data)
    data = find_data(options.data, need, log)
    origin = provenance.record((data, need))
    source = same_segmentation_net(seg_weights, folder / SEGMENTATION_FILE, resume)
    source = source or find_segmentation_net(seg_weights, preset.size, log, provenance.kind_of(origin))
    segmentation_net = load_segmentation_net(source, options.device)
    backend.seed(options.seed)
    network = SSPLNet(options.backbone, preset.width, preset.size)
    task = SSPLTask(network, segmentation_net, options.seed, need)
    feed = Feed.of_folder(task, data, options)
    make_folder(folder)
    if source != folder / SEGMENTATION_FILE:
        atomic_write(folder / SEGMENTATION_FILE, source.read_bytes())
    origin["others"] = provenance.by_role([folder / SEGMENTATION_FILE])
    fit(task, options, folder, feed, {"command": f"pretrain-sspl ({options.backbone})", **origin}, saved, log)

    best = SSPLTask(
        checkpoint.load_network(folder / training.BEST).to(options.device),
        segmentation_net,
        options.seed,
        need,
    )
    split = validation_split(data, need)
    if split:
        measures = evaluate_task(best, open_dataset(data, split, need), VALIDATION_BATCH, log)
        report(folder, {"split": split, **measures})
    draw_curve(folder, task.measure)
    draw_pretext_sheet(folder, best, open_dataset(data, split or "train", need), preset.size)
    log(
        f"the run is in {folder}: {training.BEST} for train-attr --init sspl, {training.LAST} to resume from, "
        f"{training.LOG}, curve.png, puzzles.png"
    )
    return folder


def evaluate_task(task, dataset, batch_size, log):
    """The measures of a network on a data set's faces, and the IoU of each region; plain numbers. Logs them."""
    tally = tasks.validation(task, dataset, batch_size, tuple(task.network.config["size"]))
    measures = task.summarise(tally)
    log(f"regions, beside the segmentation network's:\n{format_region_table(tally.confusion, REGIONS)}")
    log("\n".join(f"{name.replace('_', ' '):<20}{100 * value:.2f} %" for name, value in measures.items()))
    return {**{k: defined(v) for k, v in measures.items()}, "iou": named(REGIONS, tally.confusion.iou())}


def is_run(path):
    """Whether a path is a run of pretrain-sspl: the only one with a network and a segmentation network side by side."""
    return (Path(path) / training.BEST).is_file() and (Path(path) / SEGMENTATION_FILE).is_file()


def evaluate(
    folder,
    data=None,
    split=None,
    seg_weights=None,
    batch_size=VALIDATION_BATCH,
    as_json=False,
    device="cpu",
    log=print,
):
    """Measure a run of pretrain-sspl on a split: accuracy and mean IoU of its tasks.

    seg_weights: another segmentation network than the run's.
    """
    backend.check_device(device)
    start_workers(device)
    log_text = (lambda text: None) if as_json else log
    folder = Path(folder)
    network = checkpoint.load_network(folder / training.BEST).to(device)
    if not isinstance(network, SSPLNet):
        raise TinyfaceError(
            f"{folder / training.BEST}: holds no network of pretrain-sspl; name the checkpoint itself"
        )
    need = available_need(data)
    data = find_data(data, need, log_text)
    dataset = open_dataset(data, split or evaluation_split(data, need), need)
    log_text(f"split {dataset.split}: {len(dataset)} faces")
    source = segmentation_file(seg_weights) if seg_weights else folder / SEGMENTATION_FILE
    segmentation_net = load_segmentation_net(source, device)
    networks = provenance.line([folder / training.BEST, source])
    log_text(f"networks: {networks}")
    last = folder / training.LAST  # knows the seed, so that the same tiles are turned as while it trained
    seed = checkpoint.load(last).training["options"]["seed"] if last.is_file() else 0
    measures = evaluate_task(SSPLTask(network, segmentation_net, seed, need), dataset, batch_size, log_text)
    if as_json:
        record = {
            "data": str(data),
            "split": dataset.split,
            "faces": len(dataset),
            "networks": networks,
            "measures": {"sspl": measures},
        }
        log(json.dumps(record))
    return measures


def available_need(data):
    """ "attributes" or "labels", whichever a data set has: SSPL needs the images alone."""
    if data is None:
        return "attributes"
    offered = [need for layout in find_layouts(data) for need in layout.offers]
    return "attributes" if "attributes" in offered else "labels"


def draw_pretext_sheet(folder, task, dataset, size):
    """puzzles.png: some faces with their turned tile, the segmentation network's regions and the predictions."""
    batch = next(batches_in_order(dataset, task.targets, min(SHOWN, len(dataset)), size))
    pretext_batch = task.pretext_batch(batch, validating=True)
    places, angles, maps, _ = task.predictions(pretext_batch)
    images, true_places, true_angles, labels = (
        backend.to_device(a, "cpu")
        for a in (pretext_batch.images, pretext_batch.places, pretext_batch.angles, pretext_batch.maps)
    )
    pixels = np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)
    sheet = pretext_sheet(pixels, (true_places, true_angles, labels), (places, angles, maps))
    save_png(sheet, folder / "puzzles.png")
