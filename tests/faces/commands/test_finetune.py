"""train-attr --balanced: what it begins with and what it minds, that it resumes, what it reports, bad input."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import as_photos, refused, silent

from tinyface import checkpoint, training
from tinyface.faces import provenance, tasks
from tinyface.faces.commands import finetune
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.evaluate import evaluate
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import SegmentationNet
from tinyface.faces.predict import SEGMENTATION_FILE
from tinyface.faces.presets import PRESETS

TINY = PRESETS["tiny"]
SHORT = {"steps": 4, "batch_size": 2, "val_every": 2, "save_every": 1, "log_every": 1}
MODES = ["ssp", "ssg"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=9, val=5, test=0, seed=1)
    return str(path)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """The folder of a run of train-attr --ssp --ssg."""
    folder = tmp_path_factory.mktemp("trained")
    segmentation_net = folder / "plain.h5"
    checkpoint.save(segmentation_net, checkpoint.Checkpoint(SegmentationNet(TINY.width, TINY.size)))
    given = {**SHORT, "preset": "tiny", "data": faces}
    return train_attributes(MODES, given, segmentation_net, folder / "attr", log=silent)


@pytest.fixture(scope="module")
def tuned(trained, tmp_path_factory):
    """A run that begins with these and that nothing interrupted: its folder and what it said."""
    said = []
    folder = tune(trained, tmp_path_factory.mktemp("tuned") / "run", log=said.append)
    return folder, "\n".join(said)


def tune(start_from=None, out=None, resume=False, modes=MODES, log=silent, **given):
    given = {} if resume else {**SHORT, **given}
    return train_attributes(modes, given, None, out, resume, log, balanced=True, start_from=start_from)


def weights(path):
    return checkpoint.load(path).network.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------- a run


def test_it_begins_with_the_trained_networks_and_a_fresh_optimizer(trained, faces, monkeypatch):
    begun = []

    def first(self, trainer):
        state = {mode: trainer.task.network.state_dict() for mode in [trainer.task.network.mode]}
        begun.append((state, trainer.optimizer.state_dict(), trainer.task))

    monkeypatch.setattr(training.Saver, "on_start", first)
    folder = tune(trained, steps=1)
    assert folder == Path("runs/balanced-tiny")
    shares = open_dataset(faces, "train", "attributes").attributes.mean(axis=0)
    for mode, (state, optimizer, task) in zip(MODES, begun, strict=True):
        assert same(state[mode], weights(trained / mode / training.BEST))
        assert not any(np.asarray(v).any() for slots in optimizer.values() for v in slots.values())
        two_sided = (shares > 0) & (shares < 1)
        expected = (1 - shares[two_sided]) / shares[two_sided]
        np.testing.assert_allclose(np.asarray(task.pos_weight)[two_sided], expected, rtol=1e-5)
        assert not same(weights(folder / mode / training.LAST), state[mode])
        assert checkpoint.load(folder / mode / training.LAST).notes["data"] == faces  # that of the run before
    assert (folder / SEGMENTATION_FILE).read_bytes() == (trained / SEGMENTATION_FILE).read_bytes()


def test_the_best_network_is_that_of_the_best_balanced_accuracy(tuned):
    for mode in MODES:
        validations = [
            r["validation"] for r in training.read_log(tuned[0] / mode / training.LOG) if "validation" in r
        ]
        best = checkpoint.load(tuned[0] / mode / training.BEST).notes["validation"]
        assert best["balanced_accuracy"] == max(v["balanced_accuracy"] for v in validations)


def test_before_and_after_are_reported(trained, tuned, faces):
    folder, said = tuned
    report = json.loads((folder / REPORT).read_text())
    for key, source in (("before", trained), ("networks", folder)):
        measured = evaluate([source], faces, log=silent)
        assert report[key] == json.loads(json.dumps(measured))
    for name, after in report["networks"].items():
        for measure in ("error", "average_precision", "balanced_accuracy"):
            assert f"{100 * report['before'][name][measure]:.2f} → {100 * after[measure]:.2f}" in said
    assert report["before"] != report["networks"]


# ---------------------------------------------------------------- the run to begin with


def test_the_newest_run_with_these_networks_is_taken(trained, tuned, tmp_path):
    def there(name, source, age, modes=MODES):
        for mode in modes:
            file = tmp_path / "runs" / name / mode / training.BEST
            file.parent.mkdir(parents=True)
            shutil.copy(source / mode / training.BEST, file)
            os.utime(file, (age, age))

    there("attr-old", trained, 1000)
    there("attr-new", trained, 2000)
    there("attr-ssp", trained, 3000, ["ssp"])
    there("tuned", tuned[0], 4000)
    for mode in MODES:
        (tmp_path / "runs/tuned" / mode / finetune.START).touch()
    assert finetune.find_run(None, MODES, None, "runs") == Path("runs/attr-new")
    assert finetune.find_run(None, ["ssp"], "tiny", "runs") == Path("runs/attr-ssp")
    assert finetune.find_run("runs/tuned", MODES, None, "runs") == Path("runs/tuned")
    text = refused(finetune.find_run, None, MODES, "small", "runs")
    assert text.startswith("--from: there is no run of train-attr with ssp and ssg in runs/")
    text = refused(finetune.find_run, "runs/attr-ssp", MODES, None, "runs")
    assert text.startswith("--from runs/attr-ssp: has no ssg/best.h5;")
    assert refused(finetune.find_run, "nowhere", MODES, None, "runs").startswith("--from nowhere: ")


def test_what_looks_like_such_a_run_but_is_none(trained, tmp_path):
    for name, source in (
        ("parser", trained / SEGMENTATION_FILE),
        ("other mode", trained / "ssp" / training.BEST),
    ):
        for mode in MODES:
            file = tmp_path / "runs" / name / mode / training.BEST
            file.parent.mkdir(parents=True)
            shutil.copy(source, file)
    assert refused(finetune.find_run, None, MODES, None, "runs").startswith(
        "--from: there is no run of train-attr"
    )
    assert finetune.find_run(None, ["ssp"], None, "runs") == Path("runs/other mode")
    shutil.copytree(tmp_path / "runs/parser/ssp", tmp_path / "runs/parser/resnet18")  # no mode in their files
    assert "no run of train-attr" in refused(finetune.find_run, None, ["resnet18"], None, "runs")
    mine = tmp_path / "runs" / "mine"
    shutil.copytree(trained, mine)
    assert finetune.find_run(None, MODES, None, "runs") == Path("runs/mine")


def test_a_run_of_other_faces_must_be_named(trained, faces, tmp_path):
    shutil.copytree(trained, tmp_path / "runs/mine")
    photos = as_photos(faces, tmp_path / "photos")
    text = refused(tune, data=photos)
    assert text.startswith(
        f"--from: the last run that fits, {Path('runs/mine')}, was trained on drawn faces only"
    )
    assert os.listdir("runs") == ["mine"]
    folder = tune("runs/mine", data=photos, modes=["ssp"])
    assert provenance.line([folder / "ssp" / training.BEST]).startswith(
        "attributes trained on photos of people (CelebA in photos) and drawn faces, segmentation network trained on "
    )


def test_a_preset_that_does_not_fit_is_named_before_anything_is_written(trained):
    text = refused(tune, trained, preset="small")
    assert text.startswith(f"--preset small: {trained / 'ssp' / training.BEST} has width 4")
    assert not Path("runs").exists()


def test_a_network_of_another_kind_is_named(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    for other in (trained / SEGMENTATION_FILE, trained / "ssp" / training.BEST):
        shutil.copy(other, copy / "ssg" / training.BEST)
        assert refused(tune, copy).startswith(
            f"{copy / 'ssg' / training.BEST}: holds no attribute network of mode ssg"
        )


def test_a_damaged_network_is_named(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "ssg" / training.BEST).write_bytes(b"no checkpoint")
    assert refused(tune, copy).startswith(f"{copy / 'ssg' / training.BEST}: damaged")


# ---------------------------------------------------------------- going on


class Stop(Exception):
    """Ends a run in the middle, as a kill would: nothing is saved on the way out."""


@pytest.mark.parametrize("network, step", [("ssp", 0), ("ssp", 3), ("ssg", 0), ("ssg", 2)])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(trained, tuned, tmp_path, network, step):
    """Also when the run that it came from has gone."""
    loss, source = tasks.BalancedTask.loss, shutil.copytree(trained, tmp_path / "source")

    def stopping(self, batch):
        if (self.network.mode, batch.step) == (network, step):
            raise Stop
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(tasks.BalancedTask, "loss", stopping)
        tune(source, tmp_path / "run")
    shutil.rmtree(source)
    tune(None, tmp_path / "run", resume=True)
    for mode in MODES:
        for name in (training.LAST, training.BEST):
            assert same(weights(tmp_path / "run" / mode / name), weights(tuned[0] / mode / name))
        one, other = (checkpoint.load(f / mode / training.LAST) for f in (tmp_path / "run", tuned[0]))
        assert one.training["best"] == other.training["best"]
    reports = [(folder / REPORT).read_text() for folder in (tmp_path / "run", tuned[0])]
    assert reports[0] == reports[1]


def test_a_run_that_was_stopped_before_its_first_checkpoint(trained, tuned, tmp_path):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):

        def stopping(*args):
            raise Stop

        patch.setattr("tinyface.faces.commands.attributes.fit", stopping)
        tune(trained, tmp_path / "run", modes=["ssp"])
    tune(None, tmp_path / "run", resume=True, modes=["ssp"])
    assert checkpoint.load(tmp_path / "run/ssp" / training.LAST).training["options"]["preset"] == "tiny"

    (tmp_path / "nearly/ssp").mkdir(parents=True)
    text = refused(tune, None, tmp_path / "nearly", resume=True)
    assert text.startswith("--resume: ") and "--from" in text


def test_the_flag_belongs_to_the_run(trained, tuned):
    text = refused(train_attributes, MODES, {}, None, tuned[0], True, silent)
    assert text == f"--balanced: the run in {tuned[0]} was started with it; add it"
    text = refused(tune, None, trained, resume=True)
    assert text == f"--balanced: the run in {trained} was started without it; leave it out"


def test_another_start_is_refused_when_going_on(trained, tuned, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    shutil.copy(trained / "ssp" / training.LAST, other / "ssp" / training.BEST)
    before = (tuned[0] / "ssp" / finetune.START).read_bytes()
    text = refused(tune, other, tuned[0], resume=True)
    assert text.startswith(f"--from {other}: the run to be resumed was started with another network")
    assert (tuned[0] / "ssp" / finetune.START).read_bytes() == before
    tune(trained, tuned[0], resume=True)
