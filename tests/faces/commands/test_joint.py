"""train-joint: what a run leaves, bit-identical resuming, comparison with a plain segmentation network, bad input."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import arrays, assert_same_run, refused

from tinyface import checkpoint, summary, training
from tinyface.faces import predict, tasks
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.evaluate import evaluate
from tinyface.faces.commands.folders import REPORT, named
from tinyface.faces.commands.joint import train_joint
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import AttributeNet, JointNet, SegmentationNet
from tinyface.faces.presets import PRESETS

ROOT = Path(__file__).resolve().parents[3]
TINY = PRESETS["tiny"]
STEPS = 6
SHORT = {
    "preset": "tiny", "steps": STEPS, "batch_size": 2, "val_every": 3, "save_every": 2, "log_every": 1, "seed": 5
}  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=7, val=4, test=3, seed=1)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The file of a segmentation network that attributes did not help."""
    path = tmp_path_factory.mktemp("plain") / "best.h5"
    checkpoint.save(path, checkpoint.Checkpoint(SegmentationNet(TINY.width, TINY.size)))
    return path


@pytest.fixture(scope="module")
def whole(faces, plain, tmp_path_factory):
    """A run that nothing interrupted: its folder and what it said."""
    said = []
    folder = joint(faces, tmp_path_factory.mktemp("runs") / "whole", compare=plain, log=said.append)
    return folder, "\n".join(said)


def joint(data, out=None, resume=False, compare=None, log=lambda line: None, **given):
    return train_joint({**SHORT, "data": str(data), **given}, compare, out, resume, log)


# ---------------------------------------------------------------- a run


def test_a_run_leaves_all_it_promises(whole, faces):
    folder, said = whole
    expected = {training.BEST, training.LAST, training.LOG, REPORT, "curve.png", "parsing.png"}
    assert {path.name for path in folder.iterdir()} == expected
    assert isinstance(checkpoint.load_network(folder / training.BEST), JointNet)
    notes = checkpoint.load(folder / training.BEST).notes
    assert notes["data"] == str(faces)
    assert [(one["faces"], one["layout"]) for one in notes["trained_on"]] == [
        ("drawn", "Helen"),
        ("drawn", "CelebA"),
    ]
    validations = [r["validation"] for r in training.read_log(folder / training.LOG) if "validation" in r]
    assert len(validations) == 2 and {"mean_iou", "error"} <= validations[0].keys()
    best = checkpoint.load(folder / training.BEST).notes["validation"]
    assert best["mean_iou"] == max(v["mean_iou"] for v in validations)
    assert f"{folder}: {training.BEST} to use" in said


def test_the_default_folder_is_named_after_it(faces):
    assert joint(faces, steps=1) == Path("runs/joint-tiny")


def confusion_of(segmentation_net, faces, split="val"):
    dataset = open_dataset(faces, split, "labels")
    return tasks.validation(tasks.SegmentationTask(segmentation_net), dataset, 64, TINY.size)


def test_iou_without_and_with_attributes(whole, faces, plain):
    folder, said = whole
    report = json.loads((folder / REPORT).read_text())
    together = confusion_of(checkpoint.load_network(folder / training.BEST).parser, faces)
    without = confusion_of(checkpoint.load_network(plain), faces)
    assert without.mean_iou() != together.mean_iou()
    assert report["mean_iou"] == together.mean_iou()
    assert report["compare"] == {
        "parser": str(plain),
        "mean_iou": without.mean_iou(),
        "iou": named(REGIONS, without.iou()),
        "f1": named(REGIONS, without.f1()),
    }
    rows = [*zip(REGIONS, without.iou(), together.iou(), strict=True)]
    for name, a, b in (*rows, ("mean", without.mean_iou(), together.mean_iou())):
        assert f"{name:<12}{100 * a:>12.2f}{100 * b:>12.2f}{100 * (b - a):>+12.2f}" in said
    reader = checkpoint.load_network(folder / training.BEST).reader
    metrics = tasks.validation(
        tasks.AttributeTask(reader), open_dataset(faces, "val", "attributes"), 64, TINY.size
    )
    assert report["networks"]["avg"]["error"] == metrics.mean_error


def test_each_data_set_has_an_order_of_its_own(faces, monkeypatch):
    """Toy faces are the same faces twice: a step must not see them side by side."""
    seen = []
    loss = tasks.JointTask.loss

    def watching(self, batch):
        seen.append((batch.labelled, batch.attributed))
        return loss(self, batch)

    monkeypatch.setattr(tasks.JointTask, "loss", watching)
    joint(faces)
    assert len(seen) == STEPS
    for step, (labelled, attributed) in enumerate(seen):
        assert labelled.step == attributed.step == step
        assert labelled.targets.shape == (2, *TINY.size) and attributed.targets.shape == (2, 40)
    assert any(not np.array_equal(a.indices, b.indices) for a, b in seen)


def test_two_folders(faces, whole, tmp_path):
    """--data for the label maps and --attr-data for the attributes give the run that one folder with both gives."""
    folder = joint(faces / "helen", tmp_path / "two", attr_data=str(faces / "celeba"))
    assert (
        checkpoint.load(folder / training.LAST).notes["data"] == f"{faces / 'helen'} and {faces / 'celeba'}"
    )
    assert_same_run(folder, whole[0], STEPS)


def test_without_validation_splits(tmp_path):
    draw_dataset("few", train=4, val=0, test=0)
    said = []
    folder = joint("few", tmp_path / "run", log=said.append)
    assert "few: no validation split, so the best network is the last one" in said
    assert not (folder / REPORT).exists() and (folder / training.BEST).is_file()


# ---------------------------------------------------------------- going on


class Stop(Exception):
    """Ends a run in the middle, as a kill would: nothing is saved on the way out."""


@pytest.mark.parametrize("step", [0, 3, 5])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(faces, whole, tmp_path, step):
    loss = tasks.JointTask.loss

    def stopping(self, batch):
        if batch.labelled.step == step:
            raise Stop
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(tasks.JointTask, "loss", stopping)
        joint(faces, tmp_path / "run")
    joint(faces, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole[0], STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_killed_goes_on_to_the_same_bits(faces, whole, tmp_path, number):
    options = [str(x) for name, value in SHORT.items() for x in (f"--{name.replace('_', '-')}", value)]
    command = [sys.executable, str(ROOT / "cli.py"), "train-joint", "--data", str(faces), *options]
    command += ["--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for line in process.stderr:
        if f" 3/{STEPS} " in line:
            break
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (128 + number if number == signal.SIGINT else -number)
    assert checkpoint.load(tmp_path / "run" / training.LAST).training["step"] < STEPS
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert_same_run(tmp_path / "run", whole[0], STEPS)


def test_what_contradicts_the_run_is_named(faces, whole):
    assert refused(joint, faces, whole[0], resume=True, lr=0.7).startswith("--lr 0.7: ")


# ---------------------------------------------------------------- afterwards


def test_evaluate_measures_both_or_what_the_data_has(whole, faces):
    folder, _ = whole
    said = []
    result = evaluate([folder], str(faces), as_json=True, log=said.append)
    record = json.loads(said[0])
    assert record.keys() == {"labels", "attributes"}
    assert {r["split"] for r in record.values()} == {"test"} and {r["faces"] for r in record.values()} == {3}
    segmentation_net = str(folder / training.BEST)
    both = checkpoint.load_network(folder / training.BEST)
    assert result[segmentation_net]["mean_iou"] == confusion_of(both.parser, faces, "test").mean_iou()
    for part, name in (("helen", segmentation_net), ("celeba", "avg")):
        alone = evaluate([folder], str(faces / part), log=said.append)
        assert alone == {name: result[name]}


def test_predict_and_summary_take_a_joint_run(whole, faces):
    folder, _ = whole
    predictor = predict.FacePredictor.from_paths([folder])
    prediction = predictor.predict(next((faces / "celeba").rglob("*.jpg")))
    assert prediction.labels is not None and prediction.probabilities.shape == (40,)
    networks = [network for _, network in summary.load_networks([folder])]
    assert [type(network) for network in networks] == [SegmentationNet, AttributeNet]
    assert all(summary.summarise(network) for network in networks)


def test_a_joint_run_serves_as_segmentation_net(whole, faces, tmp_path):
    """Beside attribute networks it is the segmentation network alone: its own attribute network joins no average."""
    given = {**SHORT, "data": str(faces), "steps": 1}
    folder = train_attributes(["ssp"], given, whole[0], tmp_path / "attr", log=lambda line: None)
    segmentation_nets, attribute_nets = predict.find_networks([folder])
    assert [type(network) for _, network in segmentation_nets] == [SegmentationNet]
    assert [network.mode for _, network in attribute_nets] == ["ssp"]
    assert list(evaluate([folder], str(faces), log=lambda line: None)) == ["ssp"]


# ---------------------------------------------------------------- bad input


def test_data_without_labels_or_without_attributes(faces, tmp_path):
    text = refused(joint, faces / "celeba")
    assert text.startswith(f"{faces / 'celeba'}: label maps are needed, but CelebA has none")
    text = refused(joint, faces / "helen")
    assert text.startswith(f"{faces / 'helen'}: attributes are needed, but Helen has none")
    assert text.endswith("--attr-data")
    text = refused(joint, faces, attr_data=str(faces / "helen"))
    assert text.startswith(f"{faces / 'helen'}: attributes are needed")
    assert refused(joint, faces, attr_data="nowhere").startswith("nowhere: no such folder")
    assert list(tmp_path.iterdir()) == []


def test_a_segmentation_net_that_does_not_compare(faces, plain, tmp_path):
    other = tmp_path / "other.h5"
    checkpoint.save(other, checkpoint.Checkpoint(SegmentationNet(1, (40, 32))))
    text = refused(joint, faces, compare=other)
    assert text.startswith(f"--compare {other}: is made for images of 40×32, this run for 55×45")
    checkpoint.save(other, checkpoint.Checkpoint(AttributeNet(1, "avg")))
    assert refused(joint, faces, compare=other).startswith(
        f"{other}: holds an AttributeNet, but a segmentation network"
    )
    assert refused(joint, faces, compare="none.h5").startswith("none.h5: no such file")
    assert not Path("runs").exists()


def test_folders_of_other_commands_are_left_alone(faces, whole, tmp_path):
    folder, before = whole[0], arrays(whole[0] / training.LAST)
    assert "holds a run already" in refused(joint, faces, folder)
    given = {"data": str(faces)}
    text = refused(train_segmentation, given, folder, True, lambda line: None)
    assert text.startswith("--") or "another network" in text
    text = refused(train_attributes, ["avg"], given, None, folder, log=lambda line: None)
    assert text.startswith(f"--out {folder}: holds a run of train-seg or train-joint")
    (tmp_path / "attr" / "avg").mkdir(parents=True)
    (tmp_path / "attr" / "avg" / training.LAST).touch()
    text = refused(joint, faces, tmp_path / "attr")
    assert text.startswith(f"--out {tmp_path / 'attr'}: holds a run of train-attr")
    assert arrays(folder / training.LAST) == before
