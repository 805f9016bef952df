import json
from pathlib import Path

from command_runs import SHORT, TINY, as_photos, silent

from tinyface import __version__, checkpoint, training
from tinyface.faces import tasks
from tinyface.faces.commands.folders import REPORT
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.data.layouts import open_dataset


def test_a_run_of_train_seg_leaves_all_it_promises(faces):
    said = []
    folder = train_segmentation({**SHORT, "data": faces}, log=said.append)
    assert folder == Path("runs/seg-tiny")
    expected = {training.BEST, training.LAST, training.LOG, REPORT, "curve.png", "parsing.png"}
    assert {path.name for path in folder.iterdir()} == expected
    assert said[0] == f"{faces}: Helen (Smith et al., probability maps): 6 train, 5 val, 0 test"
    assert said[-1].startswith(f"the run is in {folder}: ")

    best = checkpoint.load(folder / training.BEST)
    assert best.network.config["width"] == TINY.width and tuple(best.network.config["size"]) == TINY.size
    assert best.notes["command"] == "train-seg" and best.notes["data"] == faces
    assert best.notes["options"]["steps"] == 3
    splits = {"train": 6, "val": 5, "test": 0}
    assert best.notes["trained_on"] == [
        {"faces": "drawn", "layout": "Helen", "folder": "faces", "splits": splits}
    ]
    assert (
        best.notes["version"] == __version__ and checkpoint.load(folder / training.LAST).notes["trained_on"]
    )
    report = json.loads((folder / REPORT).read_text())
    dataset = open_dataset(faces, "val", "labels")
    confusion = tasks.validation(tasks.SegmentationTask(best.network), dataset, 64, TINY.size)
    assert report["split"] == "val" and report["mean_iou"] == confusion.mean_iou()
    assert list(report["iou"]) == list(report["f1"]) == list(REGIONS)
    assert f"{100 * confusion.mean_iou():.2f}" in "\n".join(said)


def test_a_run_that_goes_on_with_other_data_learned_from_both(faces, tmp_path):
    folder = train_segmentation({**SHORT, "data": faces}, log=silent)
    last = checkpoint.load(folder / training.LAST)
    last.training["step"] = 2
    checkpoint.save(folder / training.LAST, last)
    train_segmentation({"data": as_photos(faces, tmp_path / "photos")}, folder, True, silent)
    learned_from = checkpoint.load(folder / training.LAST).notes["trained_on"]
    assert [data_set["faces"] for data_set in learned_from] == ["drawn", "photos"]
