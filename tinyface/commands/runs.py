"""What the commands do: settle the options, open the data, build the networks, train or evaluate, leave the pictures.

A run is a folder. train-seg fills one; train-attr one with a sub-folder per network (`avg`, `ssp`, `ssg`, …) and
the parser that they were trained with, so that the folder can be used by itself.
"""

import contextlib
import dataclasses
import functools
import json
import math
from pathlib import Path

from .. import backend, checkpoint, optim, tasks, train
from ..data.dataset import ATTRIBUTES, REGIONS
from ..data.device import DeviceBatches
from ..data.layouts import describe, find_layouts, open_dataset, split_sizes
from ..data.loader import SampleCache, TrainLoader
from ..errors import TinyfaceError
from ..files import atomic_write, make_folder
from ..metrics import format_attribute_table, format_region_table, majority_error, percent, undefined_lines
from ..models import SegmentationNet
from ..models.attributes import HEADS_NEEDED
from ..models.readers import READERS, make_reader
from ..models.resnet import RESNET
from ..models.sspl import BACKBONES
from ..predict import (
    DEFAULT_WEIGHTS,
    PARSER,
    distinct,
    find_networks,
    load_parser,
    load_pretrained,
    parser_file,
    parser_for,
)
from ..presets import find_preset
from . import few_labels, finetune

RUNS, TOYFACES, REPORT = Path("runs"), Path("toyfaces"), "report.json"
OPTIMIZERS = {"adagrad": optim.AdaGrad, "sgd": functools.partial(optim.SGD, momentum=0.9), "adam": optim.Adam}
INITS = ("random", "parser", "sspl")
PRETRAINED = "sspl.h5"  # what train-attr --init sspl began with, in its folder
STAGES = {
    "lnet": ("lnet_o", "lnet_s"),
    "anet": ("identities", "attributes"),
}  # folders of runs made in stages
VALIDATION_BATCH = 64

# What decides the bits of a run, so must not change when it is resumed.
BINDING = (
    "preset", "steps", "batch_size", "lr", "weight_decay", "schedule", "warmup", "init", "optimizer", "seed", "labels",
    "backbone",
)  # fmt: skip
FREE = ("data", "attr_data", "workers", "device", "tf32", "log_every", "val_every", "save_every")


@dataclasses.dataclass
class Options:
    """Every option of a training command, settled: what was typed, else the preset's value."""

    preset: str
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: str
    warmup: int
    init: str
    optimizer: str
    seed: int
    data: str | None
    workers: int
    device: str
    log_every: int
    val_every: int
    save_every: int
    tf32: bool = False
    attr_data: str | None = None  # of joint training, where `data` has no attributes
    labels: float = 1.0  # share of the training images whose attributes are learned from
    backbone: str = "encoder"  # of pre-training

    @classmethod
    def settle(cls, kind, given, saved=None):
        """kind: a Training of the presets, "segmentation" and so on. saved: the options of the run to be resumed.

        Raises TinyfaceError where an option is impossible or contradicts the run that is resumed.
        """
        given = {name: value for name, value in given.items() if value is not None}
        if saved is not None:
            options = cls(**saved)
            for name in BINDING:
                before = getattr(options, name)
                if name in given and given[name] != before:
                    raise TinyfaceError(
                        f"--{name.replace('_', '-')} {given[name]}: the run to be resumed was started with "
                        f"{before}; leave the option out, or start a new run with another --out"
                    )
            options = cls(**{**saved, **given})
            options.check()
            return options
        name = given.get("preset", "small")
        preset = find_preset(name)
        training = dataclasses.asdict(getattr(preset, kind))
        defaults = {
            **training,
            "preset": name,
            "optimizer": "adagrad",
            "seed": 0,
            "data": None,
            "workers": 1,
            "device": "cpu",
            "log_every": 10,
        }
        options = cls(**{**defaults, **given})
        options.check()
        return options

    def check(self):
        """Raises TinyfaceError naming the first option that is impossible."""
        for name, least in (
            ("steps", 1), ("batch_size", 2), ("warmup", 0), ("seed", 0), ("workers", 0),
            ("log_every", 1), ("val_every", 1), ("save_every", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise TinyfaceError(
                    f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}"
                )
        for name in ("lr", "weight_decay"):
            value, zero_too = getattr(self, name), name == "weight_decay"
            if not math.isfinite(value) or value < 0 or (value == 0 and not zero_too):
                least = "from 0 on" if zero_too else "greater than 0"
                raise TinyfaceError(f"--{name.replace('_', '-')} must be a number {least}, got {value}")
        if self.optimizer not in OPTIMIZERS:
            raise TinyfaceError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer}")
        if self.init not in INITS:
            raise TinyfaceError(f"--init must be one of {', '.join(INITS)}, got {self.init}")
        few_labels.check_share(self.labels)
        if self.backbone not in BACKBONES:
            raise TinyfaceError(f"--backbone must be one of {', '.join(BACKBONES)}, got {self.backbone}")
        optim.schedule(self.schedule, self.steps, self.warmup)
        backend.check_device(self.device)
        if self.tf32 and self.device != "cuda":
            raise TinyfaceError("--tf32: is a way of a GPU's; add --device cuda")
        backend.set_tf32(self.tf32)

    def new_optimizer(self, network):
        return OPTIMIZERS[self.optimizer](network.parameters(), lr=self.lr, weight_decay=self.weight_decay)


# ---------------------------------------------------------------- train-seg


def train_segmentation(given, out=None, resume=False, say=print):
    """Train the parser. Returns the run's folder.

    given: {option: value or None}; out: folder, else the next free one under runs/; say: prints a line.
    """
    folder = run_folder("seg", given, out, resume)
    saved = resumable(folder, resume)
    options = Options.settle("segmentation", given, saved and saved.training["options"])
    data = find_data(options.data, "labels", say)
    make_folder(folder)
    preset = find_preset(options.preset)
    backend.seed(options.seed)
    task = tasks.SegmentationTask(SegmentationNet(preset.width, preset.size))
    fit(task, options, folder, Feed(task, data, options), {"command": "train-seg"}, saved, say)
    split = validation_split(data, "labels")
    if split:
        best = tasks.SegmentationTask(checkpoint.load_network(folder / train.BEST).to(options.device))
        confusion = tasks.validation(best, open_dataset(data, split, "labels"), VALIDATION_BATCH, preset.size)
        say(format_region_table(confusion, REGIONS))
        measures = {"iou": named(REGIONS, confusion.iou()), "f1": named(REGIONS, confusion.f1())}
        report(folder, {"split": split, **best.summarise(confusion), **measures})
    draw_curve(folder, "mean_iou")
    draw_parsing(folder, data, preset.size)
    say(
        f"the run is in {folder}: {train.BEST} to use, {train.LAST} to go on from, {train.LOG}, curve.png, parsing.png"
    )
    return folder


# ---------------------------------------------------------------- train-attr


def train_attributes(
    modes,
    given,
    seg_weights=None,
    out=None,
    resume=False,
    say=print,
    judging=True,
    balanced=False,
    start_from=None,
    sspl_weights=None,
):
    """Train one attribute network per name in READERS, report each and the average of SSP and SSG.

    modes: "avg" where it is empty. With resume also modes that the run in the folder does not have yet: they join it,
    with its options and its parser. seg_weights: the parser's file; else the last one trained, else the shipped one.
    judging: whether to measure all finished networks of the folder at the end. Returns the run's folder.
    balanced: fine-tune trained networks for balanced accuracy, those of the run start_from, else of the newest one,
    and with its parser. sspl_weights: for --init sspl, the file that pretrain-sspl made; else the last one made.
    """
    if balanced and (start_from is not None or not resume):
        wanted = list(modes) or ["avg"]
        start_from = finetune.find_run(start_from, wanted, given.get("preset"), RUNS)
        say(f"networks to fine-tune: {start_from}")
        if not resume:
            given = finetune.adopt(given, [start_from / mode / train.BEST for mode in wanted])
    folder = run_folder("balanced" if balanced else "attr", given, out, resume)
    there = [mode for mode in READERS if (folder / mode / train.LAST).exists()]
    if not modes and resume and there and there != ["avg"]:
        raise TinyfaceError(
            f"--resume: {folder} holds a run with {' and '.join(there)}; say which networks to go on with, "
            "by the flags it was started with"
        )
    modes = list(modes) or ["avg"]
    others = [mode for mode in there if mode not in modes]
    if others and not resume:
        raise TinyfaceError(
            f"--out {folder}: holds a run with {' and '.join(others)}; go on with it by --resume, "
            "or choose another folder"
        )
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
    options = Options.settle(kind, given, saved and saved.training["options"])
    data = find_data(options.data, "attributes", say)
    preset = find_preset(options.preset)
    whole = open_dataset(data, "train", "attributes")
    labelled = few_labels.labelled(whole, options.labels)
    if options.labels < 1:
        say(f"labels: {len(labelled)} of the {len(whole)} training faces")
        if not saved:
            suited = few_labels.suited(given, getattr(preset, kind), options.labels, len(labelled))
            options = Options.settle(kind, suited)
    pretrained = None
    if options.init == "sspl":
        pretrained = find_pretrained(sspl_weights, folder / PRETRAINED, modes, preset, resume, say)
    parser = None
    if options.init == "parser" or any(HEADS_NEEDED[mode] for mode in modes):
        kept = folder / PARSER
        source = same_parser(seg_weights, kept, resume)
        if source is None and balanced and start_from and (start_from / PARSER).exists():
            source = start_from / PARSER
        source = source or find_parser(seg_weights, preset.size, say)
        parser = load_parser(source, options.device)
    make_folder(folder)
    if parser is not None and source != kept:
        atomic_write(kept, Path(source).read_bytes())
    if pretrained and pretrained != folder / PRETRAINED:
        atomic_write(folder / PRETRAINED, pretrained.read_bytes())
    if balanced:
        finetune.keep_starts(folder, start_from, modes)
        weights = tasks.positive_weights(labelled.attributes)

    for mode in modes:
        backend.seed(options.seed)
        if balanced:
            network = checkpoint.load_network(folder / mode / finetune.START)
            task = tasks.BalancedTask(network, parser, weights)
        else:
            network = make_reader(mode, preset.width, preset.size)
            task = tasks.AttributeTask(network, parser)
            if options.init != "random":
                begin_with(network, load_pretrained(pretrained) if pretrained else parser, options.init)
        notes = {"command": f"train-attr ({mode}{', balanced' if balanced else ''})"}
        feed = Feed(task, data, options)
        fit(task, options, make_folder(folder / mode), feed, notes, states[mode], say)
        draw_curve(folder / mode, task.measure)
    split = validation_split(data, "attributes")
    if split and judging:
        dataset = open_dataset(data, split, "attributes")
        finished = finished_tasks(folder, options.device)
        summary, table = judge(finished, dataset)
        guess = majority_error(labelled.attributes, dataset.attributes)[1]
        say(table)
        say(f"always guessing the majority of the training split: error {100 * guess:.2f} %")
        measures = {"split": split, "majority_error": guess, "networks": summary}
        if options.labels < 1:
            measures["labelled_faces"] = len(labelled)
        if balanced:
            files = (folder / task.network.mode / finetune.START for task in finished)
            started = (checkpoint.load_network(file).to(options.device) for file in files)
            before, _ = judge([tasks.AttributeTask(network, parser) for network in started], dataset)
            say(f"before and after fine-tuning:\n{finetune.format_change(before, summary)}")
            measures["before"] = before
        report(folder, measures)
    say(f"the run is in {folder}: {', '.join(f'{mode}/{train.BEST}' for mode in modes)} to use")
    return folder


def finished_tasks(folder, device="cpu"):
    """An AttributeTask of each network in a run's folder that was trained to the end, with the run's parser."""
    folder, finished = Path(folder), []
    parser = load_parser(folder / PARSER, device) if (folder / PARSER).exists() else None
    for mode in READERS:
        last, best = folder / mode / train.LAST, folder / mode / train.BEST
        if last.exists() and best.exists():
            state = checkpoint.load(last).training
            if state and state["step"] == state["options"]["steps"]:
                finished.append(tasks.AttributeTask(checkpoint.load_network(best).to(device), parser))
    return finished


def same_parser(seg_weights, kept, resume):
    """`kept`, the parser in the folder of a run, where that is resumed; else None.

    Raises TinyfaceError where another one is named.
    """
    if not (resume and kept.exists()):
        return None
    if seg_weights is not None and not same_content(parser_file(seg_weights), kept):
        raise TinyfaceError(
            f"--seg-weights {seg_weights}: the run to be resumed was started with another parser, {kept}; "
            "leave the option out"
        )
    return kept


def same_content(path, other):
    """Whether two files hold the same bytes; a file that is not there has none."""
    return path.is_file() and path.read_bytes() == other.read_bytes()


def begin_with(network, trained, init):
    """--init parser or sspl. Raises TinyfaceError where the trained network does not fit."""
    try:
        network.begin_with(trained)
    except ValueError as error:
        raise TinyfaceError(f"--init {init}: {error}; give a {init} of the same --preset") from None


def find_pretrained(named, kept, modes, preset, resume, say):
    """The file for --init sspl: the one named; else the one that the resumed run began with; else the last one that
    pretrain-sspl made for this backbone and preset. Raises TinyfaceError where there is none, or another than `kept`.
    """
    backbone = RESNET if RESNET in modes else "encoder"
    if named is not None:
        named = Path(named) / train.BEST if Path(named).is_dir() else Path(named)
        config = load_pretrained(named).config
        if (config["backbone"], config["width"]) != (backbone, preset.width):
            raise TinyfaceError(
                f"--sspl-weights {named}: holds the backbone {config['backbone']} of width {config['width']}, but "
                f"{backbone} of width {preset.width} is needed; give one made with the same --preset and --backbone"
            )
        if resume and kept.exists() and not same_content(named, kept):
            raise TinyfaceError(
                f"--sspl-weights {named}: the run to be resumed was started with others, {kept}; leave the option out"
            )
        return named
    if resume and kept.exists():
        return kept
    wanted = backbone, preset.width, tuple(preset.size)
    for path in newest(RUNS.glob(f"sspl*/{train.BEST}")):
        config = load_pretrained(path).config
        if (config["backbone"], config["width"], tuple(config["size"])) == wanted:
            say(f"pre-trained: {path}, the last one that fits")
            return path
    raise TinyfaceError(
        f"--sspl-weights: no pre-trained network that fits found in {RUNS}/sspl*; make one with pretrain-sspl and the "
        "same --preset and --backbone, or name its file"
    )


def newest(paths):
    """The files, the one changed last first."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def judge(attribute_tasks, dataset, batch_size=VALIDATION_BATCH):
    """Measures of each network and of the average of SSP and SSG on one data set: (dictionary, table as text).

    attribute_tasks: tasks.AttributeTask of networks made for one size. The dictionary: {name: {"error", …,
    "per_attribute"}}, a network's name being its mode.
    """
    start_workers(attribute_tasks[0].network.device)
    size = tuple(attribute_tasks[0].network.config["size"])
    landmarks = any(task.landmarks for task in attribute_tasks)
    batches = tasks.batches_in_order(dataset, "attributes", batch_size, size, landmarks=landmarks)
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
        summary[name] = {
            "error": e,
            "average_precision": defined(ap),
            "balanced_accuracy": defined(balanced),
            "per_attribute": {
                "error": named(ATTRIBUTES, metrics.error),
                "average_precision": named(ATTRIBUTES, metrics.average_precision),
                "balanced_accuracy": named(ATTRIBUTES, metrics.balanced_accuracy),
            },
        }
    lines += undefined_lines(metrics, ATTRIBUTES)  # of one data set, so the same for all networks
    last = format_attribute_table(metrics, ATTRIBUTES)
    return summary, "\n".join([f"{name}, attribute by attribute:", last, "", *lines])


# ---------------------------------------------------------------- evaluate


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
            result = measure_parsers(parsers, dataset, batch_size, whisper)
        else:
            size = common_size(readers)
            parser = load_parser(parser_file(seg_weights), device) if seg_weights else None
            if parser is None and any(HEADS_NEEDED[network.mode] for _, network in readers):
                parser = parser_for(parsers, readers)
                parser = parser or load_parser(find_parser(None, size, whisper), device)
            attribute_tasks = [tasks.AttributeTask(network, parser) for _, network in readers]
            result, table = judge(attribute_tasks, dataset, batch_size)
            whisper(table)
        records[need] = {
            "data": str(data_path), "split": dataset.split, "faces": len(dataset), "measures": result
        }  # fmt: skip
    if as_json:
        say(json.dumps(records if len(records) > 1 else records[need]))
    return {name: measures for record in records.values() for name, measures in record["measures"].items()}


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


# ---------------------------------------------------------------- what they share


class Feed:
    """The data set that a task learns from, and is validated on.

    data: its folder. seed: of the order of the images, the run's unless given.
    """

    per_step = 1  # batches

    def __init__(self, task, data, options, seed=None):
        self.task, self.name, self.options = task, str(data), options
        self.seed = options.seed if seed is None else seed
        self.size = tuple(task.network.config["size"])

    @contextlib.contextmanager
    def batches(self, start):
        """Gives an iterator of training batches from step `start` on, on a GPU where the run is on one."""
        dataset, on_gpu = open_dataset(self.name, "train", self.task.targets), self.options.device == "cuda"
        with TrainLoader(
            few_labels.labelled(dataset, self.options.labels),
            self.task.targets,
            self.options.batch_size,
            self.size,
            self.seed,
            workers=self.options.workers,
            start_step=start,
            raw=on_gpu,
            landmarks=self.task.landmarks,
        ) as loader:
            yield DeviceBatches(loader) if on_gpu else loader

    def evaluator(self):
        """A function () → what `task.evaluate` makes of the validation split; None where there is no such split."""
        split = validation_split(self.name, self.task.targets)
        if split is None:
            return None
        val = open_dataset(self.name, split, self.task.targets)
        cache = SampleCache(val, self.task.targets, self.size, landmarks=self.task.landmarks)
        return lambda: tasks.validation(self.task, val, VALIDATION_BATCH, self.size, cache)


def fit(task, options, folder, feed, notes, saved, say):
    """Train a task's network in a folder on what a Feed gives, or go on with it from `saved`."""
    start_workers(options.device)
    network = task.network.to(options.device)
    notes = {**notes, "data": feed.name, "options": dataclasses.asdict(options)}
    optimizer = options.new_optimizer(network)
    schedule = optim.schedule(options.schedule, options.steps, options.warmup)
    start = 0
    if saved:
        if type(saved.network) is not type(network) or saved.network.config != network.config:
            raise TinyfaceError(
                f"{folder / train.LAST}: holds another network than the one to be trained; check --out"
            )
        network.load_state_dict(saved.network.state_dict())
        optimizer.load_state_dict(saved.optimizer)
        backend.set_random_state(saved.training["random"])
        start = saved.training["step"]
        say(f"{folder}: going on after step {start} of {options.steps}")
    if start == options.steps and (folder / train.BEST).exists():
        return
    evaluate = feed.evaluator()
    if evaluate:
        judge = train.Validation(evaluate, options.val_every, folder, notes)
    else:
        say(f"{feed.name}: no validation split, so the best network is the last one")
        judge = train.KeepLast(folder, notes)
    saver = train.Saver(options.save_every, folder, dataclasses.asdict(options), notes)
    images = options.batch_size * feed.per_step
    with feed.batches(start) as batches:
        trainer = train.Trainer(task, optimizer, schedule, batches, options.steps, options.log_every)
        trainer.step = start
        if saved:
            trainer.best, trainer.last_saved = saved.training["best"], (saver.path, start)
        trainer.callbacks = [
            train.Progress(folder.name, images),
            train.JsonLog(folder, images),
            judge,
            saver,
        ]
        with saver:
            if not saved:
                saver.save(trainer)
            trainer.run()


def start_workers(device):
    """Worker processes where the CPU computes; a GPU needs none."""
    if device == "cpu":
        backend.start_workers()


def run_folder(kind, given, out, resume):
    """Where a run goes: --out; else runs/<kind>-<preset>, or with a number behind it if that is taken.

    With resume, the newest of these. Raises TinyfaceError where there is none to resume.
    """
    if out is not None:
        _check_folder(kind, Path(out), resume)
        return Path(out)
    name = f"{kind}-{given.get('preset') or 'small'}"
    suffixes = (path.name.removeprefix(f"{name}-") for path in RUNS.glob(f"{name}-*"))
    numbers = [int(suffix) for suffix in suffixes if suffix.isdecimal()]
    if (RUNS / name).exists():
        numbers.append(1)
    if resume and not numbers:
        raise TinyfaceError(f"--resume: there is no run {RUNS / name} to go on with; name it with --out")
    number = max(numbers, default=0) + (not resume)
    return RUNS / (name if number == 1 else f"{name}-{number}")


def _check_folder(kind, folder, resume):
    """Raises TinyfaceError where a folder holds a run of the other kind or, with resume, no run at all."""
    one, several = (
        [train.LAST, train.LOG],
        [PARSER, PRETRAINED, *READERS],
    )  # runs of one network and of several
    own, others, command = (
        (one, several, "attr")
        if kind in ("seg", "joint", "sspl")
        else (several, one, "seg or train-joint, or of pretrain-sspl")
    )
    if kind == "sspl":  # keeps its parser, as train-attr does
        own, others = [*one, PARSER], READERS
    if kind in STAGES:
        own, others, command = STAGES[kind], [train.LAST, PARSER], "seg, train-attr or train-joint"
    if any((folder / name / train.LAST if name in READERS else folder / name).exists() for name in others):
        raise TinyfaceError(f"--out {folder}: holds a run of train-{command}; choose another folder")
    if not resume:
        return
    # A run that was killed before its first checkpoint has a folder too, with little or nothing in it.
    names = [path.name for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else None
    if names is None or (names and not set(names) & set(own)):
        raise TinyfaceError(f"--resume: there is no run {folder} to go on with; check --out")


def resumable(folder, resume):
    """The checkpoint to go on from; None for a run that begins. Raises TinyfaceError before anything is overwritten."""
    last = folder / train.LAST
    if resume:
        saved = checkpoint.load(last) if last.exists() else None
        if saved and saved.training is None:
            raise TinyfaceError(f"{last}: holds a network to use, not a run to go on with; start a new run")
        return saved
    if last.exists():
        raise TinyfaceError(
            f"--out {folder}: holds a run already; go on with it by --resume, or choose another folder"
        )
    return None


def find_data(path, need, say):
    """The folder of the data set; without one, toy faces, drawn if they are not there yet. Says what was found."""
    if path is None:
        path = TOYFACES
        if not path.exists():
            draw_toyfaces(path, say=say)
    say(f"{path}: {describe(path, need)}")
    return path


def draw_toyfaces(path, train=2000, val=300, test=300, seed=0, say=print):
    """Draw a set of toy faces, saying how far it is."""
    from ..data.toyfaces import draw_dataset

    total = train + val + test
    say(f"{path}: drawing {total} toy faces")
    draw_dataset(path, train=train, val=val, test=test, seed=seed)


def validation_split(data, need):
    """The name of the split to validate on while training: "val", or None."""
    return "val" if split_sizes(data, need)["val"] else None


def evaluation_split(data, need):
    """ "test" where the data set has one, else "val"."""
    return "test" if split_sizes(data, need)["test"] else "val"


def find_parser(seg_weights, size, say):
    """The parser's file: the one named; else the last one trained for this image size; else the shipped one."""
    if seg_weights is not None:
        return parser_file(seg_weights)
    for path in newest(RUNS.glob(f"seg*/{train.BEST}")):
        if tuple(load_parser(path).config["size"]) == tuple(size):
            say(f"parser: {path}, the last one trained")
            return path
    shipped = DEFAULT_WEIGHTS / PARSER
    if not shipped.exists():
        raise TinyfaceError(
            f"--seg-weights: no parser for images of {size[0]}×{size[1]} found in {RUNS}/seg* or {DEFAULT_WEIGHTS}; "
            "train one with train-seg and the same --preset, or name its file"
        )
    h, w = load_parser(shipped).config["size"]
    made_for = "" if (h, w) == tuple(size) else f" (made for {h}×{w}; one from train-seg would serve better)"
    say(f"parser: {shipped}, the shipped one{made_for}")
    return shipped


def report(folder, measures):
    """Write report.json."""
    atomic_write(folder / REPORT, json.dumps(measures, indent=1))


def named(names, values):
    """{name: value}, None where a measure is undefined."""
    return {name: defined(value) for name, value in zip(names, values, strict=True)}


def defined(value):
    """A measure as JSON can hold it: None where it is undefined."""
    return None if math.isnan(value) else float(value)


# ---------------------------------------------------------------- pictures


def draw_curve(folder, measure):
    """curve.png: loss and validation measure over the steps."""
    from ..visualize import save_png, training_curve

    records = [{"step": r["step"], **r.get("validation", r)} for r in train.read_log(folder / train.LOG)]
    save_png(training_curve(records, measure=measure), folder / "curve.png")


def draw_parsing(folder, data, size, faces=6):
    """parsing.png: some faces the network never trained on, their true regions, and the ones it sees."""
    import numpy as np

    from ..data.transforms import to_network_input
    from ..visualize import parsing_sheet, save_png

    dataset = open_dataset(data, validation_split(data, "labels") or "train", "labels")
    indices = range(min(faces, len(dataset)))
    images = np.stack([dataset.image(i, size) for i in indices])
    truth = np.stack([dataset.labels(i, size) for i in indices])
    parser = load_parser(folder / train.BEST)
    save_png(
        parsing_sheet(images, tasks.parse(parser, to_network_input(images)), truth), folder / "parsing.png"
    )
