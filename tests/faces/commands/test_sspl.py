"""pretrain-sspl: what a run leaves, that it resumes to the same bits, what serves it as data, bad input."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import arrays, assert_same_run, refused, save_segmentation_net
from PIL import Image

from tinyface import checkpoint, summary, training
from tinyface.faces import predict, provenance, tasks
from tinyface.faces.commands import sspl
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.evaluate import evaluate
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import AttributeNet, SSPLNet
from tinyface.faces.predict import load_segmentation_net
from tinyface.faces.presets import PRESETS
from tinyface.faces.tasks.sspl import SSPLTask

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
def segmentation_net(tmp_path_factory):
    return save_segmentation_net(tmp_path_factory.mktemp("parser") / "best.h5")


@pytest.fixture(scope="module")
def whole(faces, segmentation_net, tmp_path_factory):
    """A run that nothing interrupted: its folder and what it said."""
    said = []
    folder = pretrain(faces, segmentation_net, tmp_path_factory.mktemp("runs") / "whole", log=said.append)
    return folder, "\n".join(said)


def pretrain(data, segmentation_net=None, out=None, resume=False, log=lambda line: None, **given):
    return sspl.pretrain_sspl({**SHORT, "data": str(data), **given}, segmentation_net, out, resume, log)


# ---------------------------------------------------------------- a run


def test_a_run_leaves_all_it_promises(whole, faces, segmentation_net):
    folder, said = whole
    expected = {
        training.BEST, training.LAST, training.LOG, REPORT, predict.SEGMENTATION_FILE, "curve.png", "puzzles.png"
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    assert (folder / predict.SEGMENTATION_FILE).read_bytes() == segmentation_net.read_bytes()
    assert np.asarray(Image.open(folder / "puzzles.png")).std() > 20
    best = checkpoint.load(folder / training.BEST)
    assert isinstance(best.network, SSPLNet) and best.network.config["backbone"] == "encoder"
    assert best.network.config["width"] == TINY.width and tuple(best.network.config["size"]) == TINY.size
    assert best.notes["command"] == "pretrain-sspl (encoder)" and best.notes["data"] == str(faces)
    validations = [r["validation"] for r in training.read_log(folder / training.LOG) if "validation" in r]
    assert provenance.line([folder / training.BEST]) == (
        "pre-trained network trained on drawn faces only, segmentation network trained on data that are not recorded"
    )
    assert best.notes["validation"]["mean"] == max(v["mean"] for v in validations) and len(validations) == 2
    assert f"{folder}: {training.BEST} for train-attr --init sspl" in said


def test_the_report_is_of_the_best_network_on_the_validation_split(whole, faces, segmentation_net):
    folder, said = whole
    report = json.loads((folder / REPORT).read_text())
    network = checkpoint.load_network(folder / training.BEST)
    task = SSPLTask(network, checkpoint.load_network(segmentation_net), SHORT["seed"])
    measures = task.summarise(tasks.validation(task, open_dataset(faces, "val", "attributes"), 64, TINY.size))
    assert report["split"] == "val"
    for name, value in measures.items():
        assert report[name] == value and f"{100 * value:.2f} %" in said


def test_resnet18_in_the_default_folder(faces, segmentation_net):
    folder = pretrain(faces, segmentation_net, steps=1, backbone="resnet18")
    assert folder == Path("runs/sspl-tiny")
    assert checkpoint.load_network(folder / training.BEST).config["backbone"] == "resnet18"


@pytest.mark.parametrize("part", ["helen", "celeba"])
def test_faces_with_labels_of_either_kind_serve(faces, segmentation_net, part):
    folder = pretrain(faces / part, segmentation_net, steps=1)
    assert checkpoint.load(folder / training.LAST).notes["data"] == str(faces / part)


def test_without_a_validation_split(segmentation_net, tmp_path):
    draw_dataset("few", train=4, val=0, test=0)
    folder = pretrain("few", segmentation_net, tmp_path / "run")
    assert not (folder / REPORT).exists() and (folder / "puzzles.png").exists()


# ---------------------------------------------------------------- going on


class Stop(Exception):
    """Ends a run in the middle, as a kill would: nothing is saved on the way out."""


@pytest.mark.parametrize("step", [0, 3, 5])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(faces, segmentation_net, whole, tmp_path, step):
    loss = SSPLTask.loss

    def stopping(self, batch):
        if batch.step == step:
            raise Stop
        return loss(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(SSPLTask, "loss", stopping)
        pretrain(faces, segmentation_net, tmp_path / "run")
    save_segmentation_net(Path("parser.h5"), seed=9)  # another one; the run keeps its own
    sspl.pretrain_sspl({"data": str(faces)}, None, tmp_path / "run", True, lambda line: None)
    assert_same_run(tmp_path / "run", whole[0], STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_killed_goes_on_to_the_same_bits(faces, segmentation_net, whole, tmp_path, number):
    options = [str(x) for name, value in SHORT.items() for x in (f"--{name.replace('_', '-')}", value)]
    command = [sys.executable, str(ROOT / "cli.py"), "pretrain-sspl", "--data", str(faces), *options]
    command += ["--seg-weights", str(segmentation_net), "--out", str(tmp_path / "run")]
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


def test_what_contradicts_the_run_is_named(faces, whole, tmp_path):
    folder = whole[0]
    text = refused(pretrain, faces, None, folder, True, backbone="resnet18")
    assert text.startswith("--backbone resnet18: the run to be resumed was started with encoder;")
    other = save_segmentation_net(tmp_path / "other.h5", seed=7)
    text = refused(pretrain, faces, other, folder, True)
    assert text.startswith(
        f"--seg-weights {other}: the run to be resumed was started with another segmentation network"
    )


# ---------------------------------------------------------------- bad input


def test_bad_input_is_named_before_anything_is_written(faces, tmp_path):
    other = tmp_path / "avg.h5"
    checkpoint.save(other, checkpoint.Checkpoint(AttributeNet(1, "avg")))
    assert refused(pretrain, "nowhere").startswith("nowhere: no such folder")
    assert refused(pretrain, faces).startswith("--seg-weights: no segmentation network for images of 55×45")
    assert refused(pretrain, faces, other).startswith(
        f"{other}: holds an AttributeNet, but a segmentation network"
    )
    assert refused(pretrain, faces, backbone="vgg").startswith("--backbone must be one of encoder, resnet18")
    assert [path.name for path in tmp_path.iterdir()] == ["avg.h5"]


def test_folders_of_other_commands_are_left_alone(faces, segmentation_net, whole, tmp_path):
    folder, before = whole[0], arrays(whole[0] / training.LAST)
    assert "holds a run already" in refused(pretrain, faces, segmentation_net, folder)
    text = refused(train_segmentation, {"data": str(faces)}, folder, True, lambda line: None)
    assert "another network" in text or text.startswith("--")
    text = refused(train_attributes, ["avg"], {"data": str(faces)}, None, folder, log=lambda line: None)
    assert text.startswith(f"--out {folder}: holds a run of train-seg or train-joint")
    (tmp_path / "attr" / "resnet18").mkdir(parents=True)
    (tmp_path / "attr" / "resnet18" / training.LAST).touch()
    text = refused(pretrain, faces, segmentation_net, tmp_path / "attr")
    assert text.startswith(f"--out {tmp_path / 'attr'}: holds a run of train-attr")
    assert arrays(folder / training.LAST) == before


def test_evaluate_tells_what_the_run_told(whole, faces, tmp_path):
    folder, _ = whole
    said = []
    measures = sspl.evaluate(folder, faces, "val", as_json=True, log=said.append)
    [line] = said
    assert json.loads(line)["networks"] == provenance.line(
        [folder / training.BEST, folder / predict.SEGMENTATION_FILE]
    )
    told = json.loads((folder / REPORT).read_text())
    assert told == {"split": "val", **measures} and json.loads(line)["measures"]["sspl"] == measures
    other = save_segmentation_net(tmp_path / "best.h5", seed=1, faces="photos")
    others = sspl.evaluate(folder, faces, seg_weights=other, log=said.append)
    assert f"networks: {provenance.line([folder / training.BEST, other])}" in said
    assert others["mean_iou"] != measures["mean_iou"] and "split test: 3 faces" in said
    assert sspl.is_run(folder) and not sspl.is_run(folder / "best.h5") and not sspl.is_run(tmp_path)


def test_what_is_pretrained_reads_nothing_yet(whole, faces):
    folder = whole[0]
    for call in (
        lambda: predict.FacePredictor.from_paths([folder / training.BEST]),
        lambda: evaluate([folder], str(faces), log=lambda line: None),
    ):
        text = refused(call)
        assert (
            text.startswith(f"{folder / training.BEST}: holds a pre-trained network")
            and "--init sspl" in text
        )
    assert "a segmentation network (SegmentationNet) is needed" in refused(
        load_segmentation_net, folder / training.BEST
    )


def test_summary_of_what_was_pretrained(whole):
    titles = {title: network for title, network in summary.load_networks([whole[0] / training.BEST])}
    [(title, network)] = titles.items()
    assert title.endswith("SSPL's network, backbone encoder")
    rows = summary.summarise(network)
    assert sum(row.parameters for row in rows) == sum(p.size for p in network.parameters())
    assert {"Conv42", "Place", "Angle", "Block1", "Block2", "Last", "Head", "Presence"} <= {
        r.name for r in rows
    }


@pytest.mark.gpu
@pytest.mark.slow
def test_a_run_on_the_gpu(faces, segmentation_net, whole, tmp_path):
    """The CPU's losses, up to rounding; and what it leaves serves on the CPU."""
    folder = pretrain(faces, segmentation_net, tmp_path / "cuda", device="cuda")
    ours, theirs = (
        [r["loss"] for r in training.read_log(f / training.LOG) if "loss" in r] for f in (folder, whole[0])
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-2)
    assert isinstance(checkpoint.load_network(folder / training.BEST), SSPLNet)
