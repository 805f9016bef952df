import json
from pathlib import Path

import numpy as np
import pytest
from command_runs import refused, silent

from tinyface import checkpoint, training
from tinyface.faces.commands import few_labels
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.evaluate import evaluate
from tinyface.faces.commands.folders import PRETRAINED, REPORT, RUNS
from tinyface.faces.commands.options import Options
from tinyface.faces.commands.trained import find_pretrained
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.loader import TrainLoader
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import ResNetAttributes, SegmentationNet, SSPLNet
from tinyface.faces.presets import PRESETS, Training

TINY = PRESETS["tiny"]
TRAINING = Training(steps=600, batch_size=32, lr=0.02, warmup=60, val_every=200)
SHORT = {"preset": "tiny", "batch_size": 2, "steps": 4, "log_every": 1, "save_every": 2, "seed": 2}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=13, val=4, test=2, seed=1)
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Files of pre-trained networks by backbone."""
    folder, files = tmp_path_factory.mktemp("sspl"), {}
    for backbone in ("encoder", "resnet18"):
        network = SSPLNet(backbone, TINY.width, TINY.size)
        for parameter in network.parameters():
            parameter.data += 0.01
        files[backbone] = folder / f"{backbone}.h5"
        checkpoint.save(files[backbone], checkpoint.Checkpoint(network))
    return files


def learn(faces, modes=("avg",), out=None, resume=False, sspl_weights=None, log=silent, **given):
    given = {**SHORT, "data": str(faces), **given}
    return train_attributes(list(modes), given, None, out, resume, log, sspl_weights=sspl_weights)


# ---------------------------------------------------------------- which images


@pytest.mark.parametrize(
    ("share", "indices"),
    [
        (1.0, range(13)),
        (0.7, [0, 1, 2, 4, 5, 7, 8, 10, 11, 12]),
        (0.5, range(0, 13, 2)),
        (0.3, [0, 3, 6, 10]),
        (0.1, [0, 10]),
    ],
)
def test_images_at_even_distances_with_all_that_is_known_of_it(faces, share, indices):
    for need in ("attributes", "labels"):
        whole = open_dataset(faces, "train", need)
        part = few_labels.labelled(whole, share)
        assert part.images == [whole.images[i] for i in indices]
        for name in ("attributes", "landmarks", "identities"):
            known = getattr(whole, name)
            if known is not None:
                np.testing.assert_array_equal(getattr(part, name), known[list(indices)])
        if need == "labels":
            for n, i in enumerate(indices):
                np.testing.assert_array_equal(part.labels(n, (20, 16)), whole.labels(i, (20, 16)))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_an_impossible_share(share):
    assert refused(Options.resolve, "attributes", {"labels": share}).startswith("--labels must be")


def test_less_than_one_image_and_less_than_two(faces):
    assert refused(learn, faces, labels=0.07).startswith("--labels 0.07: is less than one of the 13 faces of")
    assert refused(learn, faces, labels=1 / 13).startswith("--labels 0.0769231: is a single face")
    assert not Path("runs").exists()


# ---------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("count", "batch", "steps", "warmup", "lr"),
    [
        (14, 14, 100, 10, 0.01), (70, 32, 218, 21, 0.01), (140, 32, 437, 43, 0.01), (350, 32, 600, 60, 0.02),
        (7000, 32, 600, 60, 0.02),
    ],
)  # fmt: skip
def test_no_more_than_a_hundred_passes(count, batch, steps, warmup, lr):
    found = few_labels.scale_schedule({}, TRAINING, 0.5, count)
    wanted = {
        "batch_size": batch,
        "steps": steps,
        "warmup": warmup,
        "val_every": max(1, steps // 12),
        "lr": lr,
    }
    assert found == wanted
    assert steps * batch <= 100 * count


def test_what_is_given_stays():
    given = {"batch_size": 5, "steps": 1000, "warmup": 0, "val_every": 7, "lr": 1.0}
    assert few_labels.scale_schedule(given, TRAINING, 0.1, 14) == given
    short = few_labels.scale_schedule({"steps": 7, "lr": None}, TRAINING, 0.1, 14)
    assert short["val_every"] == 1 and short["lr"] == TRAINING.lr


def test_a_batch_larger_than_what_is_labelled(faces):
    text = refused(learn, faces, labels=0.3, batch_size=6)
    assert text.startswith("--batch-size 6: is more than the 4 labelled faces of --labels 0.3")
    assert not Path("runs").exists()


# ---------------------------------------------------------------- runs


def test_a_run_sees_the_labelled_images_alone(faces, monkeypatch):
    seen = []
    batch = TrainLoader.batch

    def watching(self, step):
        made = batch(self, step)
        seen.extend(self.samples.dataset.images[i] for i in made.indices)
        return made

    monkeypatch.setattr(TrainLoader, "batch", watching)
    said = []
    folder = learn(faces, labels=0.3, steps=9, log=said.append)
    whole = open_dataset(faces, "train", "attributes")
    assert set(seen) == {whole.images[index] for index in (0, 3, 6, 10)}
    assert "labels: 4 of the 13 training faces" in said
    assert json.loads((folder / REPORT).read_text())["labelled_faces"] == 4
    validations = [r["step"] for r in training.read_log(folder / "avg" / training.LOG) if "validation" in r]
    assert validations == list(range(1, 10))  # the best of all steps counts


def test_the_preset_gives_way_to_few_images(faces):
    folder = train_attributes(["avg"], {"preset": "tiny", "data": str(faces), "labels": 0.1}, log=silent)
    options = checkpoint.load(folder / "avg" / training.LAST).training["options"]
    assert (options["batch_size"], options["steps"], options["labels"]) == (2, 20, 0.1)


def weights(folder, mode="avg", name=training.LAST):
    return checkpoint.load_network(folder / mode / name).state_dict()


def assert_same(one, other):
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


class Stop(Exception):
    """Ends a run in the middle, as a kill would."""


@pytest.mark.parametrize("init", ["random", "sspl"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(faces, pretrained, tmp_path, init):
    given = {"labels": 0.5, "init": init, "sspl_weights": pretrained["encoder"] if init == "sspl" else None}
    whole = learn(faces, out=tmp_path / "whole", **given)
    saver = training.Saver.on_step

    def stopping(self, trainer, loss):
        saver(self, trainer, loss)
        if trainer.step == 3:
            raise Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(training.Saver, "on_step", stopping)
        learn(faces, out=tmp_path / "run", **given)
    folder = train_attributes(["avg"], {}, None, tmp_path / "run", True, silent)  # options are kept
    for name in (training.LAST, training.BEST):
        assert_same(weights(folder, name=name), weights(whole, name=name))
    text = refused(learn, faces, out=folder, resume=True, labels=0.3)
    assert text.startswith("--labels 0.3: the run to be resumed was started with 0.5;")


def test_a_checkpoint_of_before_there_were_shares_goes_on(faces, tmp_path):
    """Its options lack those that came later."""
    folder = learn(faces, out=tmp_path / "run")
    state = checkpoint.load(folder / "avg" / training.LAST)
    for name in ("labels", "backbone"):
        del state.training["options"][name]
    checkpoint.save(folder / "avg" / training.LAST, state)
    before = weights(folder)
    learn(faces, out=folder, resume=True, labels=1.0)
    assert_same(weights(folder), before)


@pytest.mark.parametrize("mode", ["avg", "ssp", "resnet18"])
def test_fine_tuning_begins_with_what_was_pretrained(faces, pretrained, tmp_path, mode):
    segmentation_net = tmp_path / "parser.h5"
    checkpoint.save(segmentation_net, checkpoint.Checkpoint(SegmentationNet(TINY.width, TINY.size)))
    file = pretrained["resnet18" if mode == "resnet18" else "encoder"]
    begun = []

    class Watching(training.Saver):
        def save(self, trainer):
            if trainer.step == 0:
                begun.append(trainer.task.network.state_dict())
            super().save(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Saver", Watching)
        folder = train_attributes(
            [mode], {**SHORT, "data": str(faces), "init": "sspl"}, segmentation_net, tmp_path / "run", log=silent,
            sspl_weights=file,
        )  # fmt: skip
    theirs = checkpoint.load_network(file).state_dict()
    shared = [name for name in begun[0] if name in theirs]
    assert len(shared) > 40 and all(name.startswith("encoder.") for name in shared)
    assert [name for name in shared if not np.array_equal(begun[0][name], theirs[name])] == []
    assert (folder / PRETRAINED).read_bytes() == file.read_bytes()
    others = checkpoint.load(folder / mode / training.BEST).notes["others"]
    assert list(others) == ["pre-trained network", *(["parser"] if mode == "ssp" else [])]


def test_a_run_of_resnet_is_evaluated_predicted_and_summarised(faces, tmp_path):
    from tinyface import summary
    from tinyface.faces import predict

    folder = learn(faces, ["resnet18"], tmp_path / "run")
    result = evaluate([folder], str(faces), log=silent)
    assert list(result) == ["resnet18"] and 0 < result["resnet18"]["error"] < 1
    prediction = predict.FacePredictor.from_paths([folder]).predict(next((faces / "celeba").rglob("*.jpg")))
    assert prediction.probabilities.shape == (40,)
    [(title, network)] = summary.load_networks([folder])
    assert title.endswith("ResNet-18 attribute network") and isinstance(network, ResNetAttributes)
    names = [row.name for row in summary.summarise(network)]
    assert names[:4] == ["Conv1", "MaxPool1", "Block11.conv1", "Block11.conv2"] and names[-1] == "Linear"
    assert len(set(names)) == len(names)


# ---------------------------------------------------------------- which pre-trained network


def test_the_last_one_that_fits_is_taken(faces, tmp_path):
    import os

    text = refused(learn, faces, init="sspl")
    assert (
        text.startswith("--sspl-weights: no pre-trained network of this --preset") and "pretrain-sspl" in text
    )

    def make(name, age, backbone="encoder", width=TINY.width, size=TINY.size):
        file = RUNS / name / training.BEST
        file.parent.mkdir(parents=True)
        checkpoint.save(file, checkpoint.Checkpoint(SSPLNet(backbone, width, size)))
        os.utime(file, (age, age))
        return file

    older, newer = make("sspl-tiny", 1000), make("sspl-mine", 2000)
    make("sspl-wide", 3000, width=TINY.width + 1)
    make("sspl-large", 3000, size=(109, 89))
    deep = make("sspl-deep", 3000, "resnet18")

    def find(modes, resume=False, kept=tmp_path / "none"):
        return find_pretrained(None, kept, modes, TINY, resume, silent)

    assert find(["avg", "ssp"]) == newer and find(["resnet18"]) == deep
    newer.unlink()
    assert find(["avg"]) == older
    assert find(["avg"], True, deep) == deep  # what the resumed run began with


def test_pretrained_weights_that_do_not_serve(faces, pretrained, tmp_path):
    segmentation_net = tmp_path / "parser.h5"
    checkpoint.save(segmentation_net, checkpoint.Checkpoint(SegmentationNet(TINY.width, TINY.size)))
    text = refused(learn, faces, init="sspl", sspl_weights=segmentation_net)
    assert text.startswith(
        f"{segmentation_net}: holds an SegmentationNet, but a pre-trained network (SSPLNet) is needed"
    )
    assert refused(learn, faces, init="sspl", sspl_weights="none.h5").startswith("none.h5: no such file")
    wide = tmp_path / "wide.h5"
    checkpoint.save(wide, checkpoint.Checkpoint(SSPLNet("encoder", TINY.width + 1, TINY.size)))
    for modes, file in (
        (["avg"], pretrained["resnet18"]),
        (["resnet18"], pretrained["encoder"]),
        (["avg"], wide),
    ):
        text = refused(learn, faces, modes, init="sspl", sspl_weights=file)
        assert text.startswith(f"--sspl-weights {file}: holds the backbone ")
    assert not Path("runs").exists()
    folder = learn(faces, out=tmp_path / "run", init="sspl", sspl_weights=pretrained["encoder"])
    other = tmp_path / "other.h5"
    checkpoint.save(other, checkpoint.Checkpoint(SSPLNet("encoder", TINY.width, TINY.size)))
    text = refused(learn, faces, out=folder, resume=True, sspl_weights=other)
    assert text.startswith(f"--sspl-weights {other}: the run to be resumed was started with others")
