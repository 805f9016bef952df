"""train-attr: train attribute networks, one after the other."""

from pathlib import Path

from tinyface import backend, checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder

from .. import provenance, tasks
from ..data.layouts import open_dataset
from ..metrics import majority_error
from ..models.attribute_networks import ATTRIBUTE_NETWORKS, make_attribute_network
from ..models.attributes import HEADS_NEEDED
from ..predict import SEGMENTATION_FILE, load_pretrained, load_segmentation_net
from ..presets import find_preset
from . import few_labels, finetune
from .evaluate import evaluate_tasks
from .feeds import Feed, check_batch_size
from .fit import fit
from .folders import PRETRAINED, RUNS, report, resumable, run_folder
from .options import Options
from .pictures import draw_curve
from .sources import find_data, validation_split
from .trained import find_pretrained, find_segmentation_net, load_encoder_from, same_segmentation_net


def train_attributes(
    modes,
    given,
    seg_weights=None,
    out=None,
    resume=False,
    log=print,
    evaluate_at_end=True,
    balanced=False,
    start_from=None,
    sspl_weights=None,
):
    """Train one attribute network per name in ATTRIBUTE_NETWORKS, report each and the average of SSP and SSG.

    modes: "avg" where it is empty. With resume also modes that the run in the folder does not have yet: they join it,
    with its options and its segmentation network. seg_weights: the segmentation network's file; else the last one
    trained, else the bundled one. evaluate_at_end: whether to measure all finished networks of the folder. Returns
    the run's folder. balanced: fine-tune trained networks for balanced accuracy, those of the run start_from, else of
    the newest one, and with its segmentation network. sspl_weights: for --init sspl, the file that pretrain-sspl
    made; else the last one made.
    """
    searched = balanced and start_from is None
    if balanced and (start_from is not None or not resume):
        wanted = list(modes) or ["avg"]
        start_from = finetune.find_run(start_from, wanted, given.get("preset"), RUNS)
        log(
            f"networks to fine-tune: {start_from}, {provenance.line(start_from / m / training.BEST for m in wanted)}"
        )
        if not resume:
            given = finetune.adopt(given, [start_from / mode / training.BEST for mode in wanted])
    folder = run_folder("balanced" if balanced else "attr", given, out, resume, log)
    modes, others = which_networks(modes, folder, resume)
    states = {mode: resumable(folder / mode, resume) for mode in modes}
    saved = next((state for state in states.values() if state), None)
    if saved is None and others:
        saved = resumable(folder / others[0], resume)
    if saved:
        finetune.check_kind(folder, [mode for mode in modes if states[mode]] or others, balanced)
    elif balanced and resume:  # stopped before its first checkpoint
        finetune.keep_starts(folder, start_from, modes)
        given = finetune.adopt(given, [folder / mode / finetune.START for mode in modes])
    kind = "balanced" if balanced else "attributes"
    options = Options.resolve(kind, given, saved and saved.training["options"])
    data = find_data(options.data, "attributes", log)
    preset, split = find_preset(options.preset), validation_split(data, "attributes")
    whole = open_dataset(data, "train", "attributes")
    labelled = few_labels.labelled(whole, options.labels)
    if options.labels < 1:
        log(f"labels: {len(labelled)} of the {len(whole)} training faces")
        if not saved:
            scaled = few_labels.scale_schedule(given, getattr(preset, kind), options.labels, len(labelled))
            options = Options.resolve(kind, scaled)
    check_batch_size(options, labelled)
    validation = open_dataset(data, split, "attributes") if split else None
    origin = provenance.record((data, "attributes"))
    faces = provenance.kind_of(origin)
    if searched and start_from:
        finetune.check_faces(start_from / modes[0] / training.BEST, faces)

    segmentation_net = None
    kept = {}  # files of other runs that this one keeps, by the name they get
    if options.init == "sspl":
        kept[PRETRAINED] = find_pretrained(
            sspl_weights, folder / PRETRAINED, modes, preset, resume, log, faces
        )
    if options.init == "parser" or any(HEADS_NEEDED[mode] for mode in modes):
        source = same_segmentation_net(seg_weights, folder / SEGMENTATION_FILE, resume)
        if source is None and balanced and start_from and (start_from / SEGMENTATION_FILE).exists():
            source = start_from / SEGMENTATION_FILE
        kept[SEGMENTATION_FILE] = source or find_segmentation_net(seg_weights, preset.size, log, faces)
        segmentation_net = load_segmentation_net(kept[SEGMENTATION_FILE], options.device)
    make_folder(folder)
    for name, source in kept.items():
        if Path(source) != folder / name:
            atomic_write(folder / name, Path(source).read_bytes())
    if balanced:
        finetune.keep_starts(folder, start_from, modes)
        weights = tasks.positive_weights(labelled.attributes)
    used = [folder / name for name in kept]

    for mode in modes:
        backend.seed(options.seed)
        if balanced:
            network = checkpoint.load_network(folder / mode / finetune.START)
            task = tasks.BalancedTask(network, segmentation_net, weights)
        else:
            network = make_attribute_network(mode, preset.width, preset.size, options.region_pooling)
            task = tasks.AttributeTask(network, segmentation_net)
            if options.init != "random":
                # Loading draws random numbers, so each network loads its initial weights itself.
                trained = load_pretrained(kept[PRETRAINED]) if options.init == "sspl" else segmentation_net
                load_encoder_from(network, trained, options.init)
        starts = [folder / mode / finetune.START] * balanced
        origin["others"] = provenance.by_role([*used, *starts])
        notes = {"command": f"train-attr ({mode}{', balanced' if balanced else ''})", **origin}
        feed = Feed(task, labelled, validation, options, name=data)
        fit(task, options, make_folder(folder / mode), feed, notes, states[mode], log)
        draw_curve(folder / mode, task.measure)
    if validation and evaluate_at_end:
        report_measures(folder, labelled, validation, options, segmentation_net, balanced, log)
    log(f"the run is in {folder}: {', '.join(f'{mode}/{training.BEST}' for mode in modes)} to use")
    return folder


def which_networks(modes, folder, resume):
    """The modes to train, "avg" where none is named, and those that the folder has besides.

    Raises TinyfaceError where it is not clear, or another run would be mixed up with this one.
    """
    there = [mode for mode in ATTRIBUTE_NETWORKS if (folder / mode / training.LAST).exists()]
    if not modes and resume and there and there != ["avg"]:
        raise TinyfaceError(
            f"--resume: {folder} holds a run with {' and '.join(there)}; name the networks to resume, "
            "by the options it was started with"
        )
    modes = list(modes) or ["avg"]
    others = [mode for mode in there if mode not in modes]
    if others and not resume:
        raise TinyfaceError(
            f"--out {folder}: holds a run with {' and '.join(others)}; resume it with --resume, "
            "or choose another folder"
        )
    return modes, others


def report_measures(folder, labelled, validation, options, segmentation_net, balanced, log):
    """Measure all finished networks of a folder on the validation split: log the tables, write report.json.

    labelled: what they learned from. balanced: also those that fine-tuning began with, which had this segmentation
    network.
    """
    finished = finished_tasks(folder, options.device)
    summary, table = evaluate_tasks(finished, validation)
    guess = majority_error(labelled.attributes, validation.attributes)[1]
    log(table)
    log(f"always guessing the majority of the training split: error {100 * guess:.2f} %")
    measures = {"split": validation.split, "majority_error": guess, "networks": summary}
    if options.labels < 1:
        measures["labelled_faces"] = len(labelled)
    if balanced:
        files = (folder / task.network.mode / finetune.START for task in finished)
        started = (checkpoint.load_network(file).to(options.device) for file in files)
        before, _ = evaluate_tasks(
            [tasks.AttributeTask(network, segmentation_net) for network in started], validation
        )
        log(f"before and after fine-tuning:\n{finetune.format_change(before, summary)}")
        measures["before"] = before
    report(folder, measures)


def finished_tasks(folder, device="cpu"):
    """An AttributeTask of each network in a run's folder whose training is finished."""
    folder, finished = Path(folder), []
    segmentation_net = (
        load_segmentation_net(folder / SEGMENTATION_FILE, device)
        if (folder / SEGMENTATION_FILE).exists()
        else None
    )
    for mode in ATTRIBUTE_NETWORKS:
        last, best = folder / mode / training.LAST, folder / mode / training.BEST
        if last.exists() and best.exists():
            state = checkpoint.load(last).training
            if state and state["step"] == state["options"]["steps"]:
                finished.append(
                    tasks.AttributeTask(checkpoint.load_network(best).to(device), segmentation_net)
                )
    return finished
