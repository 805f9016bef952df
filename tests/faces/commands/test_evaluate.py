import json
import os
import shutil
from pathlib import Path

import pytest
from command_runs import SHORT, TINY, as_photos, refused, save_segmentation_net, silent

from tinyface import checkpoint, training
from tinyface.faces import tasks
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.evaluate import evaluate
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import AttributeNet
from tinyface.faces.predict import SEGMENTATION_FILE


def test_evaluate_says_the_same_as_the_training(faces, both):
    folder, _ = both
    report = json.loads((folder / REPORT).read_text())
    said = []
    result = evaluate([folder], faces, as_json=True, log=said.append)
    record = json.loads(said[0])
    assert len(said) == 1 and (record["split"], record["faces"], record["data"]) == ("val", 5, faces)
    assert record["measures"] == json.loads(json.dumps(result)) == report["networks"]


def test_what_the_networks_were_trained_on_is_told(faces, both, tmp_path):
    """Of the networks, of the segmentation network that showed regions in training, and of the one that does now."""
    segmentation_net, said = save_segmentation_net(tmp_path / "mine.h5", faces="photos"), []
    evaluate(
        [both[0] / "ssp"],
        as_photos(faces, tmp_path / "photos"),
        seg_weights=segmentation_net,
        log=said.append,
    )
    line = "attributes trained on drawn faces only, segmentation network trained on {}"
    assert (
        "networks: " + line.format("photos of people (CelebA in my photos) and data that are not recorded")
        in said
    )
    evaluate([both[0]], faces, as_json=True, log=said.append)
    assert json.loads(said[-1])["networks"] == line.format("data that are not recorded")
    evaluate([segmentation_net], faces, as_json=True, log=said.append)
    assert json.loads(said[-1])["networks"] == "trained on photos of people (CelebA in my photos)"


def test_a_network_without_its_segmentation_net_takes_one_of_the_same_kind_of_faces(faces, both, tmp_path):
    alone, said = shutil.copy(both[0] / "ssp" / training.BEST, tmp_path / "alone.h5"), []
    fits = save_segmentation_net(Path("runs/drawn/best.h5"), faces="drawn")
    os.utime(fits, (1000, 1000))
    save_segmentation_net(Path("runs/photos/best.h5"), faces="photos")
    evaluate([alone], faces, log=said.append)
    assert f"segmentation network: {fits}, the last one trained on drawn faces only" in said
    fits.unlink()
    assert "that was trained on drawn faces" in refused(evaluate, [alone], faces, log=silent)


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
    evaluate([both[0]], tmp_path / "one", as_json=True, log=said.append)
    record = json.loads(said[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(measures["balanced_accuracy"] is None for measures in record["measures"].values())
    said.clear()
    evaluate([both[0]], tmp_path / "one", log=said.append)
    assert "nan" not in said[-1] and "mean balanced accuracy over 0 of 40, undefined for" in said[-1]


def test_evaluate_networks_of_one_kind(faces, both):
    """Each under a name of its own, and not one in place of the other."""
    folder, _ = both
    other = train_attributes(
        ["ssp"], {**SHORT, "data": faces, "seed": 7}, folder / SEGMENTATION_FILE, log=silent
    )
    files = [f / "ssp" / training.BEST for f in (folder, other)]
    result = evaluate(files, faces, log=silent)
    assert list(result) == ["ssp", "ssp-2", "ssp + ssp-2"]
    for name, file in zip(result, files, strict=False):
        assert result[name] == evaluate([file], faces, log=silent)["ssp"]


def test_evaluate_takes_the_batch_size(faces, both, monkeypatch):
    sizes = []
    probabilities = tasks.AttributeTask.probabilities

    def watching(self, images, *known):
        sizes.append(len(images))
        return probabilities(self, images, *known)

    monkeypatch.setattr(tasks.AttributeTask, "probabilities", watching)
    evaluate([both[0] / "ssp"], faces, batch_size=2, log=silent)
    assert sizes == [2, 2, 1]


def test_evaluate_networks_of_several_sizes(faces, tmp_path):
    for name, size in (("a.h5", TINY.size), ("b.h5", (40, 32))):
        checkpoint.save(tmp_path / name, checkpoint.Checkpoint(AttributeNet(1, "avg", size)))
    text = refused(evaluate, [tmp_path / "a.h5", tmp_path / "b.h5"], faces, log=silent)
    assert "a.h5 for images of 55×45 and " in text and "b.h5 for images of 40×32: " in text


def test_evaluate_a_segmentation_net(faces, both):
    path, said = both[0] / SEGMENTATION_FILE, []
    result = evaluate([path], faces, split="train", log=said.append)
    task = tasks.SegmentationTask(checkpoint.load_network(path))
    confusion = tasks.validation(task, open_dataset(faces, "train", "labels"), 64, TINY.size)
    assert result[str(path)]["mean_iou"] == confusion.mean_iou()
    assert result[str(path)]["mean_f1"] == confusion.mean_f1()
    assert "split train: 6 faces" in said
