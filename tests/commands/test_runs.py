import functools
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinyface import backend, checkpoint, tasks, train
from tinyface.commands import trained
from tinyface.commands.attributes import finished_tasks, train_attributes
from tinyface.commands.evaluate import evaluate, judge
from tinyface.commands.folders import REPORT, RUNS, named, run_folder
from tinyface.commands.options import BINDING, FREE, Options
from tinyface.commands.segmentation import train_segmentation
from tinyface.commands.sources import evaluation_split, find_data, validation_split
from tinyface.commands.trained import find_parser
from tinyface.data.dataset import ATTRIBUTES, REGIONS
from tinyface.data.landmarks import scale_landmarks
from tinyface.data.layouts import open_dataset
from tinyface.data.toyfaces import draw_dataset
from tinyface.data.transforms import to_network_input
from tinyface.errors import TinyfaceError
from tinyface.metrics import attribute_metrics
from tinyface.models import AttributeNet, SegmentationNet
from tinyface.models.attributes import MODES
from tinyface.predict import PARSER, load_parser
from tinyface.presets import PRESETS

TINY = PRESETS["tiny"]
SHORT = {"preset": "tiny", "steps": 3, "batch_size": 2, "val_every": 2, "save_every": 2, "log_every": 1}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=6, val=5, test=0, seed=1)
    return str(path)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test in a folder of its own, since runs go to runs/ of the current one, and nothing is shipped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tinyface.commands.trained.DEFAULT_WEIGHTS", tmp_path / "weights")


@pytest.fixture(scope="module")
def both(faces, tmp_path_factory):
    """A run of train-attr --ssp --ssg: its folder and what it said."""
    folder, said = tmp_path_factory.mktemp("run") / "both", []
    parser = save_parser(folder.parent / "parser.h5")
    train_attributes(["ssp", "ssg"], {**SHORT, "data": faces}, parser, folder, say=said.append)
    return folder, "\n".join(said)


def save_parser(path, size=TINY.size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    backend.seed(seed)
    checkpoint.save(path, checkpoint.Checkpoint(SegmentationNet(TINY.width, size)))
    return path


def silent(line):
    pass


def settle(kind="segmentation", saved=None, **given):
    return Options.settle(kind, given, saved)


def refused(call, *args, **kwargs):
    with pytest.raises(TinyfaceError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["segmentation", "attributes", "balanced", "joint"])
def test_what_is_not_given_comes_from_the_preset(name, kind):
    preset = PRESETS[name]
    training = getattr(preset, kind)
    options = settle(kind, preset=name, steps=None, lr=None)
    assert options.preset == name
    for field in (
        "steps", "batch_size", "lr", "weight_decay", "schedule", "warmup", "init", "val_every", "save_every"
    ):  # fmt: skip
        assert getattr(options, field) == getattr(training, field)
    assert (options.optimizer, options.seed, options.data, options.device) == ("adagrad", 0, None, "cpu")


def test_the_small_preset_is_the_default():
    assert settle() == settle(preset="small")


def test_the_two_kinds_have_their_own_defaults():
    assert (settle(preset="paper").steps, settle("attributes", preset="paper").steps) == (75_000, 40_000)


@pytest.mark.parametrize(
    "name, value",
    [("steps", 7), ("batch_size", 3), ("lr", 0.5), ("weight_decay", 0.0), ("schedule", "step"), ("warmup", 0),
     ("optimizer", "adam"), ("seed", 9), ("data", "here"), ("workers", 0), ("log_every", 2), ("val_every", 3),
     ("save_every", 4), ("init", "parser")],
)  # fmt: skip
def test_what_is_given_goes_over_the_preset(name, value):
    options, without = settle(**{name: value}), settle()
    assert getattr(options, name) == value != getattr(without, name)
    setattr(options, name, getattr(without, name))
    assert options == without


IMPOSSIBLE = [
    ("preset", "large"), ("steps", 0), ("batch_size", 1), ("batch_size", 0), ("warmup", -1), ("seed", -1),
    ("workers", -1), ("log_every", 0), ("val_every", 0), ("save_every", 0), ("lr", -1.0), ("lr", 0.0), ("lr", math.nan),
    ("lr", math.inf), ("weight_decay", -1.0), ("weight_decay", math.nan), ("optimizer", "lion"), ("schedule", "sine"),
    ("device", "tpu"), ("init", "luck"),
]  # fmt: skip


@pytest.mark.parametrize("name, value", IMPOSSIBLE)
def test_an_impossible_option_is_named(name, value):
    text = refused(settle, **{name: value})
    assert text.startswith(f"--{name.replace('_', '-')}") and str(value) in text


@pytest.mark.parametrize(
    "name, value",
    [("preset", "paper"), ("steps", 9), ("batch_size", 9), ("lr", 9.0), ("weight_decay", 9.0), ("schedule", "step"),
     ("warmup", 9), ("optimizer", "adam"), ("seed", 9), ("init", "parser")],
)  # fmt: skip
def test_what_contradicts_the_run_to_be_resumed_is_named(name, value):
    saved = vars(settle(preset="tiny"))
    text = refused(settle, saved=saved, **{name: value})
    assert text.startswith(
        f"--{name.replace('_', '-')} {value}: the run to be resumed was started with {saved[name]};"
    )


def test_a_resumed_run_keeps_its_options_and_may_change_those_that_do_not_bind():
    saved = vars(settle(preset="tiny", steps=5, lr=0.3, data="there"))
    assert vars(settle(saved=saved)) == saved
    assert vars(settle(saved=saved, preset="tiny", lr=0.3)) == saved
    free = {"data": "here", "workers": 0, "log_every": 2, "val_every": 3, "save_every": 4}
    assert vars(settle(saved=saved, **free)) == {**saved, **free}
    assert set(BINDING) | set(FREE) == set(saved)


def test_an_impossible_option_of_a_resumed_run_is_named():
    assert refused(settle, saved=vars(settle()), val_every=0).startswith("--val-every ")


def test_an_optimizer_with_these_options():
    network = SegmentationNet(1)
    optimizer = settle(optimizer="sgd", lr=0.3, weight_decay=0.1).new_optimizer(network)
    assert type(optimizer).__name__ == "SGD" and (optimizer.lr, optimizer.weight_decay) == (0.3, 0.1)
    assert len(optimizer.parameters) == len(network.parameters())


# ---------------------------------------------------------------- folders


def make_runs(*names):
    for name in names:
        (RUNS / name).mkdir(parents=True)


@pytest.mark.parametrize(
    "there, new, newest",
    [
        ([], "seg-small", None),
        (["seg-small"], "seg-small-2", "seg-small"),
        (["seg-small", "seg-small-2"], "seg-small-3", "seg-small-2"),
        (["seg-small", *(f"seg-small-{n}" for n in range(2, 11))], "seg-small-11", "seg-small-10"),
        (["seg-small-4"], "seg-small-5", "seg-small-4"),
        (["seg-tiny", "attr-small", "seg-small-2-slow", "seg-small-2nd", "seg-smaller"], "seg-small", None),
    ],
)
def test_a_new_run_gets_the_next_free_folder_and_resume_takes_the_newest(there, new, newest):
    make_runs(*there)
    assert run_folder("seg", {"preset": None}, None, False) == Path("runs") / new
    if newest:
        assert run_folder("seg", {}, None, True) == Path("runs") / newest
    else:
        assert refused(run_folder, "seg", {}, None, True).startswith(
            "--resume: there is no run runs/seg-small "
        )


def test_the_folder_is_named_after_kind_and_preset():
    make_runs("attr-paper")
    assert run_folder("attr", {"preset": "paper"}, None, False) == Path("runs/attr-paper-2")


@pytest.mark.parametrize("resume", [False, True])
def test_out_is_taken_as_it_is(resume):
    make_runs("mine")
    assert run_folder("seg", {}, "runs/mine", resume) == Path("runs/mine")


# ---------------------------------------------------------------- the parser


def test_the_parser_named_comes_first(tmp_path):
    save_parser(Path("runs/seg-tiny/best.h5"))
    assert find_parser("mine.h5", TINY.size, silent) == Path("mine.h5")


def test_then_the_last_one_trained_for_this_size_then_the_shipped_one(tmp_path):
    said = []

    def find():
        return find_parser(None, TINY.size, said.append)

    text = refused(find)
    assert text.startswith("--seg-weights: no parser for images of 55×45 found") and "train-seg" in text

    shipped = save_parser(trained.DEFAULT_WEIGHTS / PARSER)
    assert find() == shipped
    assert said[-1] == f"parser: {shipped}, the shipped one"

    kept = [save_parser(Path(f"runs/{name}/best.h5")) for name in ("seg-tiny-2", "seg-tiny", "seg-mine")]
    for age, path in enumerate(kept):
        os.utime(path, (1000 - age, 1000 - age))
    assert find() == kept[0]
    assert said[-1] == f"parser: {kept[0]}, the last one trained"
    os.utime(kept[1], (2000, 2000))
    assert find() == kept[1]

    newest = save_parser(Path("runs/seg-small/best.h5"), size=(109, 89))
    os.utime(newest, (3000, 3000))
    assert find() == kept[1]
    for path in kept:
        path.unlink()
    assert find() == shipped


def test_a_shipped_parser_of_another_size_serves_where_there_is_no_other():
    shipped, said = save_parser(trained.DEFAULT_WEIGHTS / PARSER, size=(109, 89)), []
    assert find_parser(None, TINY.size, said.append) == shipped
    assert said == [
        f"parser: {shipped}, the shipped one (made for 109×89; one from train-seg would serve better)"
    ]


def test_a_parser_must_be_one(tmp_path):
    path = tmp_path / "avg.h5"
    checkpoint.save(path, checkpoint.Checkpoint(AttributeNet(1, "avg")))
    text = refused(load_parser, path)
    assert text.startswith(f"{path}: holds an AttributeNet, but a parser (SegmentationNet) is needed;")
    assert refused(load_parser, tmp_path / "none.h5").startswith(f"{tmp_path / 'none.h5'}: no such file")


# ---------------------------------------------------------------- the data


def test_toy_faces_are_drawn_where_no_data_is_given(monkeypatch):
    drawn = []

    def draw(path, train, val, test, seed, **options):
        drawn.append((train, val, test))
        draw_dataset(path, 2, 1, 0, seed)

    monkeypatch.setattr("tinyface.data.toyfaces.draw_dataset", draw)
    said = []
    assert find_data(None, "labels", said.append) == Path("toyfaces")
    assert said[-1].startswith("toyfaces: Helen") and "2 train, 1 val, 0 test" in said[-1]
    assert find_data(None, "attributes", said.append) == Path("toyfaces")
    assert len(drawn) == 1


def test_bad_data_is_named_before_anything_is_written(tmp_path):
    text = refused(train_segmentation, {**SHORT, "data": "nowhere"}, "run", say=silent)
    assert text.startswith("nowhere: no such folder")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("counts, val, evaluated", [((2, 1, 1), "val", "test"), ((2, 1, 0), "val", "val"),
                                                    ((2, 0, 1), None, "test")])  # fmt: skip
def test_splits_to_validate_and_to_evaluate_on(counts, val, evaluated):
    draw_dataset("faces", *counts)
    for need in ("labels", "attributes"):
        assert validation_split("faces", need) == val
        assert evaluation_split("faces", need) == evaluated


# ---------------------------------------------------------------- runs


def test_a_run_of_train_seg_leaves_all_it_promises(faces):
    said = []
    folder = train_segmentation({**SHORT, "data": faces}, say=said.append)
    assert folder == Path("runs/seg-tiny")
    expected = {train.BEST, train.LAST, train.LOG, REPORT, "curve.png", "parsing.png"}
    assert {path.name for path in folder.iterdir()} == expected
    assert said[0] == f"{faces}: Helen (Smith et al., probability maps): 6 train, 5 val, 0 test"
    assert said[-1].startswith(f"the run is in {folder}: ")

    best = checkpoint.load(folder / train.BEST)
    assert best.network.config["width"] == TINY.width and tuple(best.network.config["size"]) == TINY.size
    assert best.notes["command"] == "train-seg" and best.notes["data"] == faces
    assert best.notes["options"]["steps"] == 3
    report = json.loads((folder / REPORT).read_text())
    dataset = open_dataset(faces, "val", "labels")
    confusion = tasks.validation(tasks.SegmentationTask(best.network), dataset, 64, TINY.size)
    assert report["split"] == "val" and report["mean_iou"] == confusion.mean_iou()
    assert list(report["iou"]) == list(report["f1"]) == list(REGIONS)
    assert f"{100 * confusion.mean_iou():.2f}" in "\n".join(said)


def test_a_run_is_not_overwritten(faces, both, tmp_path):
    folder, _ = both
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for modes in (["ssp", "ssg"], ["ssp"], ["ssg"], ["avg"]):
        text = refused(train_attributes, modes, {**SHORT, "data": faces}, None, folder, say=silent)
        assert text.startswith(f"--out {folder}") and "--resume" in text
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    save_parser(tmp_path / "run" / train.LAST)
    text = refused(train_segmentation, {**SHORT, "data": faces}, "run", say=silent)
    assert text == "--out run: holds a run already; go on with it by --resume, or choose another folder"


def test_a_run_is_resumed_with_the_networks_and_the_parser_it_was_started_with(faces, both, tmp_path):
    folder, _ = both
    given = {"data": faces}
    text = refused(train_attributes, [], given, None, folder, True, silent)  # no network named
    assert text.startswith(f"--resume: {folder} holds a run with ssp and ssg; say which networks")
    other = save_parser(tmp_path / "other.h5", seed=5)
    text = refused(train_attributes, ["ssp", "ssg"], given, other, folder, True, silent)
    assert text.startswith(f"--seg-weights {other}: the run to be resumed was started with another parser")
    save_parser(Path("runs/seg-tiny/best.h5"), seed=5)  # trained since; not what the run began with
    before = (folder / REPORT).read_bytes()
    train_attributes(["ssp", "ssg"], given, None, folder, True, silent)
    assert (folder / REPORT).read_bytes() == before


def weights_of(folder, name=train.LAST):
    return checkpoint.load_network(folder / name).state_dict()


def assert_same_weights(one, other):
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_networks_join_a_run_by_resume(faces, both, tmp_path):
    """One after the other or all at once: the same weights, and a report of all."""
    folder, parser = shutil.copytree(both[0], tmp_path / "mine"), both[0] / PARSER
    before = {path: path.read_bytes() for mode in ("ssp", "ssg") for path in (folder / mode).rglob("*.*")}
    said = []
    for mode in ("naive", "avg"):
        train_attributes([mode], {**SHORT, "data": faces}, parser, folder, True, said.append)
    assert {path: path.read_bytes() for path in before} == before
    at_once = train_attributes(
        ["avg", "naive"], {**SHORT, "data": faces}, parser, tmp_path / "at once", say=silent
    )
    for mode in ("avg", "naive"):
        assert_same_weights(weights_of(folder / mode), weights_of(at_once / mode))
    report = json.loads((folder / REPORT).read_text())["networks"]
    assert list(report) == ["avg", "ssp", "ssg", "naive", "ssp + ssg"]
    earlier = json.loads((both[0] / REPORT).read_text())["networks"]
    assert {name: report[name] for name in earlier} == earlier
    alone = json.loads((at_once / REPORT).read_text())["networks"]
    assert list(alone) == ["avg", "naive"] and {name: report[name] for name in alone} == alone


def test_who_joins_a_run_takes_its_options_and_its_parser(faces, both, tmp_path):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    join = functools.partial(train_attributes, ["concat"])
    text = refused(join, {**SHORT, "data": faces, "lr": 0.7}, None, folder, True, silent)
    assert text.startswith("--lr 0.7: the run to be resumed was started with 0.02;")
    other = save_parser(tmp_path / "other.h5", seed=5)
    text = refused(join, {}, other, folder, True, silent)
    assert text.startswith(f"--seg-weights {other}: the run to be resumed was started with another parser")
    text = refused(join, {}, None, folder, False, silent)
    assert text.startswith(f"--out {folder}: holds a run with ssp and ssg; go on with it by --resume")
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    join({}, None, folder, True, silent)
    options = [checkpoint.load(folder / mode / train.LAST).training["options"] for mode in ("ssp", "concat")]
    assert options[0] == options[1]


def test_a_network_that_was_broken_off_is_not_in_the_report(faces, both, tmp_path, monkeypatch):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    run = train.Trainer.run

    def stops(self):
        self.steps = 2  # of 3; a validation has left its best.h5
        run(self)
        raise train.Interrupted("stopped", 15)

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "run", stops)
        with pytest.raises(train.Interrupted):
            train_attributes(["spp"], {"data": faces}, None, folder, True, silent)
    assert (folder / "spp" / train.BEST).exists()
    assert [task.network.mode for task in finished_tasks(folder)] == ["ssp", "ssg"]
    train_attributes(["spp"], {"data": faces}, None, folder, True, silent)
    assert [task.network.mode for task in finished_tasks(folder)] == ["ssp", "ssg", "spp"]


def test_judging_can_be_left_to_the_caller(faces, both, tmp_path):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    (folder / REPORT).unlink()
    said = []
    train_attributes(["ssp", "ssg"], {"data": faces}, None, folder, True, said.append, judging=False)
    assert not (folder / REPORT).exists() and "error %" not in "\n".join(said)
    summary, table = judge(finished_tasks(folder), open_dataset(faces, "val", "attributes"))
    report = json.loads((both[0] / REPORT).read_text())
    assert json.loads(json.dumps(summary)) == report["networks"] and table in both[1]


@pytest.fixture(scope="module")
def baselines(faces, tmp_path_factory):
    """A run of all networks."""
    folder = tmp_path_factory.mktemp("run") / "all"
    parser = save_parser(folder.parent / "parser.h5")
    train_attributes(MODES, {**SHORT, "data": faces}, parser, folder, say=silent)
    return folder


def test_all_networks_in_one_run(faces, baselines):
    report = json.loads((baselines / REPORT).read_text())["networks"]
    assert list(report) == [*MODES, "ssp + ssg"]
    for mode in MODES:
        assert checkpoint.load_network(baselines / mode / train.BEST).mode == mode
        assert len(train.read_log(baselines / mode / train.LOG)) > 3
    assert evaluate([baselines], faces, say=silent) == report


@pytest.mark.parametrize("mode", MODES)
def test_evaluate_one_file_of_a_run(faces, baselines, mode):
    """By the parser and the landmarks that it was trained with."""
    report = json.loads((baselines / REPORT).read_text())["networks"]
    assert evaluate([baselines / mode / train.BEST], faces, say=silent) == {mode: report[mode]}


@pytest.mark.parametrize("mode", ["naive", "bbox", "joint"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(faces, baselines, tmp_path, monkeypatch, mode):
    run, parser = train.Trainer.run, baselines / PARSER

    def stops(self):
        self.steps = 2
        run(self)
        raise train.Interrupted("stopped", 15)

    given, folder = {**SHORT, "data": faces}, tmp_path / "mine"
    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "run", stops)
        with pytest.raises(train.Interrupted):
            train_attributes([mode], given, parser, folder, say=silent)
    train_attributes([mode], {"data": faces}, None, folder, True, silent)
    assert_same_weights(weights_of(folder / mode), weights_of(baselines / mode))


@pytest.mark.parametrize("mode", MODES)
def test_every_network_can_begin_with_the_parser(faces, baselines, mode):
    given = {**SHORT, "data": faces, "steps": 1, "init": "parser"}
    folder = train_attributes([mode], given, baselines / PARSER, say=silent, judging=False)
    assert checkpoint.load_network(folder / mode / train.BEST).mode == mode


def test_bbox_learns_from_the_landmarks_of_the_data_set(faces, baselines, tmp_path):
    """Without them, from those of the parser's regions: other weights."""
    blind = shutil.copytree(faces, tmp_path / "faces")
    for file in blind.rglob("list_landmarks*"):
        file.unlink()
    given = {**SHORT, "data": str(blind)}
    folder = train_attributes(["bbox"], given, baselines / PARSER, say=silent)
    ours, theirs = weights_of(folder / "bbox"), weights_of(baselines / "bbox")
    assert not np.array_equal(ours["head.recognition.weight"], theirs["head.recognition.weight"])
    dataset = open_dataset(faces, "val", "attributes")
    parser = checkpoint.load_network(baselines / PARSER)
    task = tasks.AttributeTask(checkpoint.load_network(baselines / "bbox" / train.BEST), parser)
    points = scale_landmarks(dataset.landmarks, (218, 178), TINY.size)
    images = to_network_input(np.stack([dataset.image(i, TINY.size) for i in range(len(dataset))]))
    measured = attribute_metrics(task.probabilities(images, landmarks=points), dataset.attributes)
    best = checkpoint.load(baselines / "bbox" / train.BEST)
    report = json.loads((baselines / REPORT).read_text())["networks"]["bbox"]
    for said in (report, best.notes["validation"]):
        assert said["average_precision"] == pytest.approx(measured.mean_average_precision)
    guessed = attribute_metrics(task.probabilities(images), dataset.attributes)
    assert abs(guessed.mean_average_precision - measured.mean_average_precision) > 1e-6


def test_a_contradiction_is_told_before_training(faces, both):
    text = refused(train_attributes, ["ssp", "ssg"], {"data": faces, "lr": 0.7}, None, both[0], True, silent)
    assert text.startswith("--lr 0.7: the run to be resumed was started with 0.02;")


def test_each_network_and_their_average_are_reported(faces, both):
    folder, said = both
    report = json.loads((folder / REPORT).read_text())
    dataset = open_dataset(faces, "val", "attributes")
    images = to_network_input(np.stack([dataset.image(i, TINY.size) for i in range(len(dataset))]))
    parser = checkpoint.load_network(folder / PARSER)
    found = {
        mode: tasks.AttributeTask(checkpoint.load_network(folder / mode / train.BEST), parser).probabilities(
            images
        )
        for mode in ("ssp", "ssg")
    }
    found["ssp + ssg"] = (found["ssp"] + found["ssg"]) / 2
    assert report["split"] == "val" and list(report["networks"]) == list(found)
    truth = dataset.attributes == 1
    for name, probabilities in found.items():
        measures, yes = report["networks"][name], probabilities > 0.5
        assert measures["error"] == pytest.approx((yes != truth).mean())
        per_attribute = measures["per_attribute"]
        for a, attribute in enumerate(ATTRIBUTES):
            assert per_attribute["error"][attribute] == pytest.approx((yes != truth)[:, a].mean())
            balanced, ap = (per_attribute[m][attribute] for m in ("balanced_accuracy", "average_precision"))
            positives, negatives = truth[:, a].sum(), (~truth[:, a]).sum()
            if positives and negatives:
                hits, passes = (yes & truth)[:, a].sum(), (~yes & ~truth)[:, a].sum()
                assert balanced == pytest.approx((hits / positives + passes / negatives) / 2)
            else:
                assert balanced is None
            if positives:  # for each positive: how many of those ranked as high or higher are positive
                scores = probabilities[:, a]
                as_high = scores >= scores[truth[:, a], None]
                precision = (as_high & truth[:, a]).sum(axis=1) / as_high.sum(axis=1)
                assert ap == pytest.approx(precision.mean())
            else:
                assert ap is None
        for measure in ("error", "average_precision", "balanced_accuracy"):
            defined = [value for value in per_attribute[measure].values() if value is not None]
            assert measures[measure] == pytest.approx(np.mean(defined))
        row = f"{100 * measures['error']:>10.2f}{100 * measures['average_precision']:>10.2f}"
        assert f"{name:<14}{row}" in said
    guess = open_dataset(faces, "train", "attributes").attributes.mean(axis=0) > 0.5
    assert report["majority_error"] == pytest.approx((guess != truth).mean())
    assert (
        f"always guessing the majority of the training split: error {100 * report['majority_error']:.2f} %"
        in said
    )


def test_the_run_keeps_the_parser_it_was_trained_with(both):
    folder, _ = both
    assert (folder / PARSER).read_bytes() == (folder.parent / "parser.h5").read_bytes()
    expected = {train.BEST, train.LAST, train.LOG, "curve.png"}
    for mode in ("ssp", "ssg"):
        assert {path.name for path in (folder / mode).iterdir()} == expected
        assert checkpoint.load(folder / mode / train.BEST).network.mode == mode


def test_a_network_does_not_depend_on_those_trained_before_it(faces, both):
    folder, _ = both
    alone = train_attributes(["ssg"], {**SHORT, "data": faces}, folder / PARSER, say=silent)
    one, other = (checkpoint.load_network(f / "ssg" / train.LAST).state_dict() for f in (alone, folder))
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


@pytest.mark.parametrize("command", ["train-seg", "train-attr"])
def test_without_a_validation_split_there_is_nothing_to_report(command):
    draw_dataset("faces", 4, 0, 0)
    given, said = {**SHORT, "data": "faces"}, []
    if command == "train-seg":
        folder = train_segmentation(given, say=said.append)
    else:
        folder = train_attributes(["avg"], given, say=said.append)
    assert "faces: no validation split, so the best network is the last one" in said
    assert not (folder / REPORT).exists()
    assert len(list(folder.rglob(train.BEST))) == 1


def test_the_basic_network_needs_no_parser(faces):
    folder = train_attributes(["avg"], {**SHORT, "data": faces, "steps": 1}, say=silent)
    assert folder == Path("runs/attr-tiny") and not (folder / PARSER).exists()
    assert list(json.loads((folder / REPORT).read_text())["networks"]) == ["avg"]


# ---------------------------------------------------------------- evaluate


def test_evaluate_says_the_same_as_the_training(faces, both):
    folder, _ = both
    report = json.loads((folder / REPORT).read_text())
    said = []
    result = evaluate([folder], faces, as_json=True, say=said.append)
    record = json.loads(said[0])
    assert len(said) == 1 and (record["split"], record["faces"], record["data"]) == ("val", 5, faces)
    assert record["measures"] == json.loads(json.dumps(result)) == report["networks"]


def test_the_summary_says_which_attributes_its_means_leave_out(faces, both):
    """Among five faces several attributes have no positive or no negative."""
    _, said = both
    targets = open_dataset(faces, "val", "attributes").attributes
    summary = said.rpartition("\nnetwork ")[2]
    for measure, known in (
        ("average precision", targets.any(axis=0)),
        ("balanced accuracy", targets.any(axis=0) & ~targets.all(axis=0)),
    ):
        names = ", ".join(name for name, k in zip(ATTRIBUTES, known, strict=True) if not k)
        assert names and f"\nmean {measure} over {known.sum()} of 40, undefined for {names}\n" in summary


def test_measures_that_are_undefined_on_every_face_are_null(both, tmp_path):
    draw_dataset(tmp_path / "one", train=1, val=1, test=0, seed=3)
    said = []
    evaluate([both[0]], tmp_path / "one", as_json=True, say=said.append)
    record = json.loads(said[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(measures["balanced_accuracy"] is None for measures in record["measures"].values())
    said.clear()
    evaluate([both[0]], tmp_path / "one", say=said.append)
    assert "nan" not in said[-1] and "mean balanced accuracy over 0 of 40, undefined for" in said[-1]


def test_evaluate_networks_of_one_kind(faces, both):
    """Each under a name of its own, and not one in place of the other."""
    folder, _ = both
    other = train_attributes(["ssp"], {**SHORT, "data": faces, "seed": 7}, folder / PARSER, say=silent)
    files = [f / "ssp" / train.BEST for f in (folder, other)]
    result = evaluate(files, faces, say=silent)
    assert list(result) == ["ssp", "ssp-2", "ssp + ssp-2"]
    for name, file in zip(result, files, strict=False):
        assert result[name] == evaluate([file], faces, say=silent)["ssp"]


def test_evaluate_takes_the_batch_size(faces, both, monkeypatch):
    sizes = []
    probabilities = tasks.AttributeTask.probabilities

    def watching(self, images, *known):
        sizes.append(len(images))
        return probabilities(self, images, *known)

    monkeypatch.setattr(tasks.AttributeTask, "probabilities", watching)
    evaluate([both[0] / "ssp"], faces, batch_size=2, say=silent)
    assert sizes == [2, 2, 1]


def test_evaluate_networks_of_several_sizes(faces, tmp_path):
    for name, size in (("a.h5", TINY.size), ("b.h5", (40, 32))):
        checkpoint.save(tmp_path / name, checkpoint.Checkpoint(AttributeNet(1, "avg", size)))
    text = refused(evaluate, [tmp_path / "a.h5", tmp_path / "b.h5"], faces, say=silent)
    assert "a.h5 for images of 55×45 and " in text and "b.h5 for images of 40×32: " in text


def test_evaluate_a_parser(faces, both):
    path, said = both[0] / PARSER, []
    result = evaluate([path], faces, split="train", say=said.append)
    task = tasks.SegmentationTask(checkpoint.load_network(path))
    confusion = tasks.validation(task, open_dataset(faces, "train", "labels"), 64, TINY.size)
    assert result[str(path)]["mean_iou"] == confusion.mean_iou()
    assert result[str(path)]["mean_f1"] == confusion.mean_f1()
    assert "split train: 6 faces" in said


def test_measures_that_are_undefined_are_none():
    assert named(("a", "b"), np.array([0.25, np.nan])) == {"a": 0.25, "b": None}
