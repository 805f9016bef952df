"""LNet and ANet from photos to runs, on a handful of toy photos: what is learned there is of no use, the ways are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import as_photos, silent
from PIL import Image

from tinyface import checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.faces import predict, provenance
from tinyface.faces.commands import anet, lnet
from tinyface.faces.commands.feeds import Feed
from tinyface.faces.commands.photos import find_backgrounds, photos_of
from tinyface.faces.commands.predict import find_anet
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset as draw_faces
from tinyface.faces.data.toywild import draw_dataset
from tinyface.faces.models import ANet, LNet
from tinyface.faces.wild import predict as wild_predict
from tinyface.faces.wild import predictor as wild
from tinyface.faces.wild.localize import Aligned, load_localizer

SHORT = {"preset": "tiny", "steps": 3, "batch_size": 4, "val_every": 2, "save_every": 2, "log_every": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "wild"
    draw_dataset(path, train=9, val=5, test=4, seed=1, per_person=3)
    return str(path)


@pytest.fixture(scope="module")
def found(photos, tmp_path_factory):
    """A run of train-lnet, and what it said."""
    folder, said = tmp_path_factory.mktemp("run") / "lnet", []
    lnet.train_lnet({**SHORT, "data": photos}, out=folder, log=said.append)
    return folder, "\n".join(said)


@pytest.fixture(scope="module")
def read(photos, found, tmp_path_factory):
    """A run of train-anet, and what it said."""
    folder, said = tmp_path_factory.mktemp("run") / "anet", []
    anet.train_anet({**SHORT, "data": photos}, found[0], out=folder, log=said.append)
    return folder, "\n".join(said)


def weights(file):
    return checkpoint.load(file).network.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def stop_at(monkeypatch, step, stage):
    """A training of that stage is stopped after a step, as by Ctrl-C."""
    real = training.Saver.on_step

    def on_step(self, trainer, loss):
        if trainer.step == step and self.path.parent.name == stage:
            self.caught = 2
        real(self, trainer, loss)

    monkeypatch.setattr(training.Saver, "on_step", on_step)


# ---------------------------------------------------------------- LNet


def test_a_run_of_lnet(found, photos):
    folder, said = found
    networks = [checkpoint.load_network(folder / stage / "best.h5") for stage in ("lnet_o", "lnet_s")]
    assert all(isinstance(network, LNet) for network in networks)
    report = json.loads((folder / "report.json").read_text())
    assert report["split"] == "test" and report["photos"] == 4 and report["backgrounds"] == 4
    for name in ("detected", "mean_iou", "iou_50", "found", "false_alarms"):
        assert 0 <= report[name] <= 1
    assert "9 train, 5 val, 4 test" in said and "a face from score" in said
    for stage in ("lnet_o", "lnet_s"):
        records = training.read_log(folder / stage / "log.jsonl")
        assert [r["step"] for r in records if "loss" in r] == [1, 2, 3]
    with Image.open(folder / "localization.png") as picture:
        assert picture.size == (4 * 166 + 6, 2 * 166 + 6)
    localizer = load_localizer(folder)
    faces = list(localizer.read(open_dataset(photos, "test", "attributes").images))
    assert report["detected"] == np.mean([face.score >= localizer.threshold for face in faces])


def test_boxes_are_not_learned_from(found, photos, tmp_path):
    shutil.copytree(photos, "blind")
    Path("blind/celeba/Anno/list_bbox_celeba.txt").unlink()
    lnet.train_lnet({**SHORT, "data": "blind"}, out="run", log=silent)
    for stage in ("lnet_o", "lnet_s"):
        assert_same(weights(f"run/{stage}/last.h5"), weights(found[0] / stage / "last.h5"))
    assert "iou_50" not in json.loads(Path("run/report.json").read_text())


@pytest.mark.parametrize("stage", ["lnet_o", "lnet_s"])
def test_a_stopped_run_of_lnet_goes_on_to_the_same_bits(found, photos, monkeypatch, stage):
    with monkeypatch.context() as context:
        stop_at(context, 1, stage)
        with pytest.raises(training.Interrupted):
            lnet.train_lnet({**SHORT, "data": photos}, out="run", log=silent)
    with pytest.raises(TinyfaceError, match="resume"):
        lnet.train_lnet({**SHORT, "data": photos}, out="run", log=silent)
    lnet.train_lnet({}, out="run", resume=True, log=silent)
    for name in ("lnet_o", "lnet_s"):
        assert_same(weights(f"run/{name}/last.h5"), weights(found[0] / name / "last.h5"))
    assert Path("run/localizer.json").read_text() == (found[0] / "localizer.json").read_text()


def test_photos_without_a_face_are_photos_without_a_tag(photos):
    empty = find_backgrounds(photos, None, silent)
    assert {split: len(files) for split, files in empty.items()} == {"train": 9, "val": 5, "test": 4}
    both = photos_of(photos, "train", empty)
    assert len(both) == 18 and not both.attributes[9:].any() and both.attributes[:9].any(axis=1).all()


def test_backgrounds_may_lie_elsewhere(photos):
    Path("streets").mkdir()
    for k in range(10):
        Image.new("RGB", (9, 8)).save(f"streets/{k}.png")
    empty = find_backgrounds(photos, "streets", silent)
    assert {split: len(files) for split, files in empty.items()} == {"train": 6, "val": 2, "test": 2}
    assert not set(empty["train"]) & set(empty["test"])
    Path("bare").mkdir()
    for folder in ("nowhere", "bare"):
        with pytest.raises(TinyfaceError, match=f"--backgrounds {folder}"):
            find_backgrounds(photos, folder, silent)
    shutil.copytree(Path(photos) / "celeba", "alone")
    said = []
    assert not any(find_backgrounds("alone", None, said.append).values())
    assert "--backgrounds" in said[0]


def test_without_backgrounds_all_photos_have_a_face(photos, found):
    shutil.copytree(Path(photos) / "celeba", "alone/celeba")
    localizer = load_localizer(found[0])
    empty = find_backgrounds("alone", None, silent)
    assert lnet.choose_threshold(localizer, "alone", empty, silent) == 0


def test_what_is_no_run_of_lnet_is_refused(found):
    with pytest.raises(TinyfaceError, match=r"localizer\.json is missing"):
        load_localizer("nowhere")
    shutil.copytree(found[0], "broken")
    Path("broken/localizer.json").write_text("{}")
    with pytest.raises(TinyfaceError, match="damaged"):
        load_localizer("broken")
    shutil.copytree(found[0], "other")
    checkpoint.save("other/lnet_s/best.h5", checkpoint.Checkpoint(ANet(2, (56, 56), 4)))
    with pytest.raises(TinyfaceError, match="holds no LNet"):
        load_localizer("other")
    with pytest.raises(TinyfaceError, match="--resume: there is no run"):
        lnet.train_lnet({"preset": "tiny"}, out="nowhere", resume=True, log=silent)


# ---------------------------------------------------------------- ANet


def test_a_run_of_anet(read, found, photos):
    folder, said = read
    people = checkpoint.load_network(folder / "identities" / "best.h5")
    faces = checkpoint.load_network(folder / "attributes" / "best.h5")
    assert people.config["outputs"] == 3 and faces.config["outputs"] == 40
    assert (folder / "lnet_s/best.h5").read_bytes() == (found[0] / "lnet_s/best.h5").read_bytes()
    report = json.loads((folder / "report.json").read_text())
    assert 0 < report["networks"]["lnet-anet"]["error"] < 1 and report["split"] == "test"
    assert f"faces as found by {found[0]}, trained on drawn faces only" in said
    for file in (folder / "identities" / "best.h5", folder / "attributes" / "best.h5", folder / "svm.h5"):
        notes = checkpoint.load(file).notes
        assert [(one["faces"], one["folder"]) for one in notes["trained_on"]] == [("drawn", "wild")]
        assert list(notes["others"]) == ["LNet"] and notes["others"]["LNet"] == notes["trained_on"]
    assert "linear SVMs on the features of 5 faces (val) and 9 faces (train), 9 patches of each" in said


def test_attributes_begin_where_identities_ended(photos, found, monkeypatch):
    started = []
    real = Feed.__init__

    def init(self, task, *rest, **named):
        started.append(task.network.state_dict())
        started[-1] = {name: array.copy() for name, array in started[-1].items()}
        real(self, task, *rest, **named)

    monkeypatch.setattr(Feed, "__init__", init)
    anet.train_anet({**SHORT, "data": photos}, found[0], out="run", log=silent)
    trained = weights("run/identities/best.h5")
    for name, array in started[1].items():
        same = np.array_equal(array, trained[name])
        assert same or name.startswith("head."), name


def test_identities_are_not_meant_to_be_validated(read):
    assert "no validation split" not in read[1]


@pytest.mark.parametrize("stage", ["identities", "attributes"])
def test_a_stopped_run_of_anet_goes_on_to_the_same_bits(read, found, photos, monkeypatch, stage):
    with monkeypatch.context() as context:
        stop_at(context, 1, stage)
        with pytest.raises(training.Interrupted):
            anet.train_anet({**SHORT, "data": photos}, found[0], out="run", log=silent)
    assert not anet.is_run("nowhere") and not Path("run/svm.h5").exists()
    anet.train_anet({}, out="run", resume=True, log=silent)
    for name in ("identities/last.h5", "attributes/last.h5", "svm.h5"):
        assert_same(weights(f"run/{name}"), weights(read[0] / name))


def test_without_identities(found, photos):
    shutil.copytree(photos, "anonymous")
    Path("anonymous/celeba/Anno/identity_CelebA.txt").unlink()
    given = {**SHORT, "data": "anonymous"}
    with pytest.raises(TinyfaceError, match="--no-identities"):
        anet.train_anet(given, found[0], out="run", log=silent)
    anet.train_anet(given, found[0], identities=False, out="run", log=silent)
    assert not Path("run/identities").exists() and Path("run/svm.h5").exists()
    with pytest.raises(TinyfaceError, match="--no-identities"):
        anet.train_anet({}, out="run", resume=True, log=silent)


def test_anet_needs_faces(photos):
    with pytest.raises(TinyfaceError, match="--lnet"):
        anet.train_anet({**SHORT, "data": photos}, out="run", log=silent)
    with pytest.raises(TinyfaceError, match=r"localizer\.json"):
        anet.train_anet({**SHORT, "data": photos}, "nowhere", out="run", log=silent)
    assert not Path("run").exists()


def test_runs_of_another_kind_are_left_alone(read, found, photos):
    with pytest.raises(TinyfaceError, match="holds a run"):
        lnet.train_lnet({**SHORT, "data": photos}, out=found[0], log=silent)
    shutil.copytree(found[0] / "lnet_o", "seg")  # a run of one network, as of train-seg
    for start in (lnet.train_lnet, anet.train_anet):
        with pytest.raises(TinyfaceError, match="train-seg"):
            start({**SHORT, "data": photos}, out="seg", log=silent)


# ---------------------------------------------------------------- using them


def test_evaluate_tells_what_the_run_told(read, found, photos):
    reported = json.loads((read[0] / "report.json").read_text())["networks"]["lnet-anet"]
    said = []
    measures = anet.evaluate(read[0], photos, as_json=True, log=said.append)
    record = json.loads(said[0])
    assert record["faces"] == 4 and record["split"] == "test" and len(said) == 1
    assert record["networks"] == "trained on drawn faces only; results on photos of real people mean little"
    assert record["measures"]["lnet-anet"] == reported == measures["lnet-anet"]
    located = json.loads((found[0] / "report.json").read_text())
    assert measures["localization"] == {k: v for k, v in located.items() if k != "split"}
    assert set(anet.evaluate(found[0], photos, "val", log=silent)) == {"localization"}


def test_predict(read, photos):
    path = open_dataset(photos, "test", "attributes").images[0]
    predictor = wild.WildPredictor.from_folder(read[0])
    predictor.localizer.threshold = 0
    [prediction] = predictor.predict(path)
    assert prediction.probabilities.shape == (40,) and (prediction.probabilities > 0).all()
    side = predictor.anet.config["size"][0] + 16
    assert prediction.image.shape == (side, side, 3)
    record = wild_predict.to_json(prediction)
    assert len(record["box"]) == 4 and len(record["attributes"]) == 40
    assert "face at" in wild_predict.to_text([prediction])
    assert wild_predict.picture(path, [prediction]).size == (160, 160)
    assert predictor.predict(path, several=True)
    predictor.localizer.threshold = np.inf
    assert predictor.predict(path) == [] == predictor.predict(path, several=True)
    assert wild_predict.to_text([]) == "  no face"


def test_patches_have_the_scale_that_anet_learned(read):
    """The middle patch of the enlarged region is the region that ANet learned from."""
    size = checkpoint.load_network(read[0] / "attributes/best.h5").config["size"][0]
    face = np.array([40.0, 30, 36, 50])
    learned, x = wild.patch_region(face), wild.enlarged_region(face, size)
    side = size + 8 * (wild.PATCHES - 1)
    pixel = x[2] / side
    np.testing.assert_allclose(x[:2] + 8 * (wild.PATCHES // 2) * pixel, learned[:2])
    np.testing.assert_allclose(size * pixel, learned[2:])


def test_a_part_of_the_system_is_no_network_for_the_other_one(found):
    with pytest.raises(TinyfaceError, match="--system lnet-anet"):
        predict.find_networks([found[0] / "lnet_o/best.h5"])


def test_predictors_need_a_finished_run(found, read, monkeypatch, tmp_path):
    with pytest.raises(TinyfaceError, match=r"svm\.h5"):
        wild.WildPredictor.from_folder(found[0])
    with pytest.raises(TinyfaceError, match="--weights"):
        find_anet()
    monkeypatch.setattr("tinyface.faces.commands.trained.RUNS", read[0].parent)
    assert find_anet() == read[0]


# ---------------------------------------------------------------- aligned faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_faces(path, train=8, val=5, test=4)
    return str(path)


@pytest.fixture(scope="module")
def aligned(faces, tmp_path_factory):
    """A run of train-anet on aligned faces, and what it said."""
    folder, said = tmp_path_factory.mktemp("run") / "anet", []
    given = {**SHORT, "data": faces}
    anet.train_anet(given, identities=False, aligned=True, out=folder, log=said.append)
    return folder, "\n".join(said)


def test_faces_in_photos_are_not_found_by_an_lnet_of_toy_photos_unless_it_is_named(found, photos, tmp_path):
    shutil.copytree(found[0], "runs/mine")
    given = {**SHORT, "data": as_photos(photos, tmp_path / "photos")}
    with pytest.raises(
        TinyfaceError, match="--lnet: no run of train-lnet that was trained on photos of people"
    ):
        anet.train_anet(given, out="run", log=silent)
    assert not Path("run").exists()
    anet.train_anet(given, "runs/mine", identities=False, out="run", log=silent)
    files = wild.networks_in("run")
    assert [file.parent.name for file in files] == ["lnet_o", "lnet_s", "attributes", "run"]
    assert provenance.line(files) == (
        "LNet trained on drawn faces only, ANet trained on photos of people (CelebA in photos)"
    )


def test_aligned_faces_need_no_lnet(aligned, faces, photos, read):
    folder, said = aligned
    assert not (folder / "lnet_o").exists() and not (folder / "localization.png").exists()
    assert "finding" not in said
    files = open_dataset(faces, "test", "attributes").images
    [prediction] = wild.WildPredictor.from_folder(folder).predict(files[0], several=True)
    width, height = Image.open(files[0]).size
    np.testing.assert_allclose(prediction.found.face / [width, height, width, height], Aligned.FACE)
    told = anet.evaluate(folder, faces, log=silent)
    assert told == {"lnet-anet": json.loads((folder / "report.json").read_text())["networks"]["lnet-anet"]}
    with pytest.raises(TinyfaceError, match="--aligned"):
        anet.train_anet({**SHORT, "data": photos}, read[0], aligned=True, out="run", log=silent)
    with pytest.raises(TinyfaceError, match="--aligned"):
        anet.train_anet({}, aligned=True, out=read[0], resume=True, log=silent)


@pytest.mark.parametrize(
    ("test", "most", "learned"),
    [
        (4, 20, [("val", 5), ("train", 8)]),
        (4, 7, [("val", 5), ("train", 2)]),
        (4, 4, [("val", 3), ("train", 1)]),
        (0, 20, [("train", 8)]),
    ],
)
def test_svms_learn_from_so_many_photos_but_never_from_what_judges(test, most, learned, monkeypatch):
    draw_faces("faces", train=8, val=5, test=test)
    monkeypatch.setattr(anet, "SVM_PHOTOS", most)
    splits = []
    real = anet.fit_svms

    def fit_svms(network, faces):
        splits.extend((dataset.split, len(boxes)) for dataset, boxes in faces)
        assert [len(dataset) for dataset, _ in faces] == [len(boxes) for _, boxes in faces]
        return real(network, faces)

    monkeypatch.setattr(anet, "fit_svms", fit_svms)
    folder = anet.train_anet(
        {**SHORT, "data": "faces"}, identities=False, aligned=True, out="run", log=silent
    )
    judged = json.loads((folder / "report.json").read_text())["split"]
    assert splits == learned and judged == ("test" if test else "val")
