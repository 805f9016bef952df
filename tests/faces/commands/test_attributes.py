import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import SHORT, TINY, as_photos, refused, save_segmentation_net, silent

from tinyface import checkpoint, training
from tinyface.faces import provenance, tasks
from tinyface.faces.commands.attributes import finished_tasks, train_attributes
from tinyface.faces.commands.evaluate import evaluate, evaluate_tasks
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.landmarks import scale_landmarks
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.data.transforms import to_network_input
from tinyface.faces.metrics import attribute_metrics
from tinyface.faces.models.attributes import MODES
from tinyface.faces.predict import SEGMENTATION_FILE


def test_a_run_is_not_overwritten(faces, both, tmp_path):
    folder, _ = both
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for modes in (["ssp", "ssg"], ["ssp"], ["ssg"], ["avg"]):
        text = refused(train_attributes, modes, {**SHORT, "data": faces}, None, folder, log=silent)
        assert text.startswith(f"--out {folder}") and "--resume" in text
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    save_segmentation_net(tmp_path / "run" / training.LAST)
    text = refused(train_segmentation, {**SHORT, "data": faces}, "run", log=silent)
    assert text == "--out run: holds a run already; resume it with --resume, or choose another folder"


def test_a_run_is_resumed_with_the_networks_and_the_segmentation_net_it_was_started_with(
    faces, both, tmp_path
):
    folder, _ = both
    given = {"data": faces}
    text = refused(train_attributes, [], given, None, folder, True, silent)  # no network named
    assert text.startswith(f"--resume: {folder} holds a run with ssp and ssg; name the networks")
    other = save_segmentation_net(tmp_path / "other.h5", seed=5)
    text = refused(train_attributes, ["ssp", "ssg"], given, other, folder, True, silent)
    assert text.startswith(
        f"--seg-weights {other}: the run to be resumed was started with another segmentation network"
    )
    save_segmentation_net(Path("runs/seg-tiny/best.h5"), seed=5)  # trained since; not what the run began with
    before = (folder / REPORT).read_bytes()
    train_attributes(["ssp", "ssg"], given, None, folder, True, silent)
    assert (folder / REPORT).read_bytes() == before


def weights_of(folder, name=training.LAST):
    return checkpoint.load_network(folder / name).state_dict()


def assert_same_weights(one, other):
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_networks_join_a_run_by_resume(faces, both, tmp_path):
    """One after the other or all at once: the same weights, and a report of all."""
    folder, segmentation_net = shutil.copytree(both[0], tmp_path / "mine"), both[0] / SEGMENTATION_FILE
    before = {path: path.read_bytes() for mode in ("ssp", "ssg") for path in (folder / mode).rglob("*.*")}
    said = []
    for mode in ("naive", "avg"):
        train_attributes([mode], {**SHORT, "data": faces}, segmentation_net, folder, True, said.append)
    assert {path: path.read_bytes() for path in before} == before
    at_once = train_attributes(
        ["avg", "naive"], {**SHORT, "data": faces}, segmentation_net, tmp_path / "at once", log=silent
    )
    for mode in ("avg", "naive"):
        assert_same_weights(weights_of(folder / mode), weights_of(at_once / mode))
    report = json.loads((folder / REPORT).read_text())["networks"]
    assert list(report) == ["avg", "ssp", "ssg", "naive", "ssp + ssg"]
    earlier = json.loads((both[0] / REPORT).read_text())["networks"]
    assert {name: report[name] for name in earlier} == earlier
    alone = json.loads((at_once / REPORT).read_text())["networks"]
    assert list(alone) == ["avg", "naive"] and {name: report[name] for name in alone} == alone


def test_who_joins_a_run_takes_its_options_and_its_segmentation_net(faces, both, tmp_path):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    join = functools.partial(train_attributes, ["concat"])
    text = refused(join, {**SHORT, "data": faces, "lr": 0.7}, None, folder, True, silent)
    assert text.startswith("--lr 0.7: the run to be resumed was started with 0.02;")
    other = save_segmentation_net(tmp_path / "other.h5", seed=5)
    text = refused(join, {}, other, folder, True, silent)
    assert text.startswith(
        f"--seg-weights {other}: the run to be resumed was started with another segmentation network"
    )
    text = refused(join, {}, None, folder, False, silent)
    assert text.startswith(f"--out {folder}: holds a run with ssp and ssg; resume it with --resume")
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    join({}, None, folder, True, silent)
    options = [
        checkpoint.load(folder / mode / training.LAST).training["options"] for mode in ("ssp", "concat")
    ]
    assert options[0] == options[1]


def test_a_network_that_was_broken_off_is_not_in_the_report(faces, both, tmp_path, monkeypatch):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    run = training.Trainer.run

    def stops(self):
        self.steps = 2  # of 3; a validation has left its best.h5
        run(self)
        raise training.Interrupted("stopped", 15)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "run", stops)
        with pytest.raises(training.Interrupted):
            train_attributes(["spp"], {"data": faces}, None, folder, True, silent)
    assert (folder / "spp" / training.BEST).exists()
    assert [task.network.mode for task in finished_tasks(folder)] == ["ssp", "ssg"]
    train_attributes(["spp"], {"data": faces}, None, folder, True, silent)
    assert [task.network.mode for task in finished_tasks(folder)] == ["ssp", "ssg", "spp"]


def test_evaluation_can_be_left_to_the_caller(faces, both, tmp_path):
    folder = shutil.copytree(both[0], tmp_path / "mine")
    (folder / REPORT).unlink()
    said = []
    train_attributes(["ssp", "ssg"], {"data": faces}, None, folder, True, said.append, evaluate_at_end=False)
    assert not (folder / REPORT).exists() and "error %" not in "\n".join(said)
    summary, table = evaluate_tasks(finished_tasks(folder), open_dataset(faces, "val", "attributes"))
    report = json.loads((both[0] / REPORT).read_text())
    assert json.loads(json.dumps(summary)) == report["networks"] and table in both[1]


def test_all_networks_in_one_run(faces, baselines):
    report = json.loads((baselines / REPORT).read_text())["networks"]
    assert list(report) == [*MODES, "ssp + ssg"]
    for mode in MODES:
        assert checkpoint.load_network(baselines / mode / training.BEST).mode == mode
        assert len(training.read_log(baselines / mode / training.LOG)) > 3
    assert evaluate([baselines], faces, log=silent) == report


@pytest.mark.parametrize("mode", MODES)
def test_evaluate_one_file_of_a_run(faces, baselines, mode):
    """By the segmentation network and the landmarks that it was trained with."""
    report = json.loads((baselines / REPORT).read_text())["networks"]
    assert evaluate([baselines / mode / training.BEST], faces, log=silent) == {mode: report[mode]}


@pytest.mark.parametrize("mode", ["naive", "bbox", "joint"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(faces, baselines, tmp_path, monkeypatch, mode):
    run, segmentation_net = training.Trainer.run, baselines / SEGMENTATION_FILE

    def stops(self):
        self.steps = 2
        run(self)
        raise training.Interrupted("stopped", 15)

    given, folder = {**SHORT, "data": faces}, tmp_path / "mine"
    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "run", stops)
        with pytest.raises(training.Interrupted):
            train_attributes([mode], given, segmentation_net, folder, log=silent)
    train_attributes([mode], {"data": faces}, None, folder, True, silent)
    assert_same_weights(weights_of(folder / mode), weights_of(baselines / mode))


@pytest.mark.parametrize("mode", MODES)
def test_every_network_can_begin_with_the_segmentation_net(faces, baselines, mode):
    given = {**SHORT, "data": faces, "steps": 1, "init": "parser"}
    folder = train_attributes([mode], given, baselines / SEGMENTATION_FILE, log=silent, evaluate_at_end=False)
    assert checkpoint.load_network(folder / mode / training.BEST).mode == mode


def test_bbox_learns_from_the_landmarks_of_the_data_set(faces, baselines, tmp_path):
    """Without them, from those of the segmentation network's regions: other weights."""
    blind = shutil.copytree(faces, tmp_path / "faces")
    for file in blind.rglob("list_landmarks*"):
        file.unlink()
    given = {**SHORT, "data": str(blind)}
    folder = train_attributes(["bbox"], given, baselines / SEGMENTATION_FILE, log=silent)
    ours, theirs = weights_of(folder / "bbox"), weights_of(baselines / "bbox")
    assert not np.array_equal(ours["head.recognition.weight"], theirs["head.recognition.weight"])
    dataset = open_dataset(faces, "val", "attributes")
    segmentation_net = checkpoint.load_network(baselines / SEGMENTATION_FILE)
    task = tasks.AttributeTask(checkpoint.load_network(baselines / "bbox" / training.BEST), segmentation_net)
    points = scale_landmarks(dataset.landmarks, (218, 178), TINY.size)
    images = to_network_input(np.stack([dataset.image(i, TINY.size) for i in range(len(dataset))]))
    measured = attribute_metrics(task.probabilities(images, landmarks=points), dataset.attributes)
    best = checkpoint.load(baselines / "bbox" / training.BEST)
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
    segmentation_net = checkpoint.load_network(folder / SEGMENTATION_FILE)
    found = {
        mode: tasks.AttributeTask(
            checkpoint.load_network(folder / mode / training.BEST), segmentation_net
        ).probabilities(images)
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


def test_the_run_keeps_the_segmentation_net_it_was_trained_with(both):
    folder, _ = both
    assert (folder / SEGMENTATION_FILE).read_bytes() == (folder.parent / "parser.h5").read_bytes()
    expected = {training.BEST, training.LAST, training.LOG, "curve.png"}
    for mode in ("ssp", "ssg"):
        assert {path.name for path in (folder / mode).iterdir()} == expected
        assert checkpoint.load(folder / mode / training.BEST).network.mode == mode


def test_networks_record_their_data_and_the_segmentation_net(faces, both, tmp_path):
    for mode in ("ssp", "ssg"):
        notes = checkpoint.load(both[0] / mode / training.BEST).notes
        [data_set] = notes["trained_on"]
        assert data_set["faces"] == "drawn" and data_set["splits"] == {"train": 6, "val": 5, "test": 0}
        assert notes["others"] == {"parser": [{"faces": "not recorded"}]}
    photos, segmentation_net = (
        as_photos(faces, tmp_path / "photos"),
        save_segmentation_net(tmp_path / "parser.h5", faces="drawn"),
    )
    given = {**SHORT, "data": photos, "init": "parser"}
    folder = train_attributes(["avg"], given, segmentation_net, tmp_path / "run", log=silent)
    assert provenance.line([folder / "avg" / training.BEST]) == (
        "attributes trained on photos of people (CelebA in photos), segmentation network trained on drawn faces only"
    )


def test_a_network_does_not_depend_on_those_trained_before_it(faces, both):
    folder, _ = both
    alone = train_attributes(["ssg"], {**SHORT, "data": faces}, folder / SEGMENTATION_FILE, log=silent)
    one, other = (checkpoint.load_network(f / "ssg" / training.LAST).state_dict() for f in (alone, folder))
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


@pytest.mark.parametrize("command", ["train-seg", "train-attr"])
def test_without_a_validation_split_there_is_nothing_to_report(command):
    draw_dataset("faces", 4, 0, 0)
    given, said = {**SHORT, "data": "faces"}, []
    if command == "train-seg":
        folder = train_segmentation(given, log=said.append)
    else:
        folder = train_attributes(["avg"], given, log=said.append)
    assert "faces: no validation split, so the best network is the last one" in said
    assert not (folder / REPORT).exists()
    assert len(list(folder.rglob(training.BEST))) == 1


def test_the_basic_network_needs_no_segmentation_net(faces):
    folder = train_attributes(["avg"], {**SHORT, "data": faces, "steps": 1}, log=silent)
    assert folder == Path("runs/attr-tiny") and not (folder / SEGMENTATION_FILE).exists()
    assert list(json.loads((folder / REPORT).read_text())["networks"]) == ["avg"]
