import json

import numpy as np
import pytest

from tinyface import checkpoint
from tinyface.faces import tasks
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.transforms import to_network_input
from tinyface.faces.metrics import ConfusionMatrix, attribute_metrics
from tinyface.faces.predict import load_segmentation_net
from tinyface.faces.reproduce import measure, plan, run


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """A job with a segmentation network and the networks of SSP + SSG; not to be changed."""
    from tinyface.faces.reproduce import Job

    options = {"steps": 2, "batch_size": 4, "save_every": 1, "workers": 0}
    job = Job(tmp_path_factory.mktemp("run"), "tiny", str(faces), options=options)
    job.find_data(True, lambda line: None)
    steps = [
        s for s in plan.plan(job, ["2"], [], plan.choose_rows(["ssp+ssg"])) if "balanced" not in s.folder
    ]
    run.train_all(job, steps, lambda line: None)
    return job


@pytest.fixture
def store(tmp_path, silent):
    return measure.Measures(tmp_path, silent)


BOTH = ("ssp", "ssg")


def measured(job, store, log=lambda line: None):
    return measure.measure_attribute_nets(job, store, "seed-0", list(BOTH), [BOTH], job.data, log)


def test_networks_and_their_average_are_judged_on_the_test_split(trained, store, faces):
    dataset = open_dataset(faces, "test", "attributes")
    images = to_network_input(np.stack([dataset.image(i, trained.network.size) for i in range(len(dataset))]))
    segmentation_net = load_segmentation_net(trained.segmentation_file)
    found = {
        mode: tasks.AttributeTask(
            checkpoint.load_network(trained.out / f"seed-0/{mode}/best.h5"), segmentation_net
        ).probabilities(images)
        for mode in BOTH
    }
    expected = {("ssp",): found["ssp"], ("ssg",): found["ssg"], BOTH: (found["ssp"] + found["ssg"]) / 2}
    for key, measures in measured(trained, store).items():
        wanted = attribute_metrics(expected[key], dataset.attributes)
        assert measures["faces"] == 6
        assert measures["error"] == pytest.approx(wanted.mean_error)
        assert measures["average_precision"] == pytest.approx(wanted.mean_average_precision)
        assert measures["balanced_accuracy"] == pytest.approx(wanted.mean_balanced_accuracy)


def test_the_segmentation_net_is_judged_by_iou_on_the_test_split(trained, store, faces, silent):
    dataset = open_dataset(faces, "test", "labels")
    size, confusion = trained.network.size, ConfusionMatrix(7)
    for i in range(len(dataset)):
        image = to_network_input(dataset.image(i, size)[None])
        confusion.update(
            tasks.parse(load_segmentation_net(trained.segmentation_file), image),
            dataset.labels(i, size)[None],
        )
    measures = measure.measure_segmentation_net(trained, store, "parser", silent)
    assert measures["mean"] == pytest.approx(confusion.mean_iou())
    assert measures["iou"]["hair"] == pytest.approx(confusion.iou()[1])


def test_nothing_is_measured_twice(trained, store, tmp_path, monkeypatch, silent):
    first = measured(trained, store), measure.measure_segmentation_net(trained, store, "parser", silent)
    monkeypatch.setattr(measure, "evaluate_files", lambda *a: pytest.fail("measured again"))
    monkeypatch.setattr(tasks, "validation", lambda *a: pytest.fail("measured again"))
    again = measure.Measures(tmp_path, silent)
    assert (
        measured(trained, again),
        measure.measure_segmentation_net(trained, again, "parser", silent),
    ) == first


def test_only_what_is_new_is_measured(trained, store):
    measured(trained, store)
    del store.entries["seed-0/ssg"]
    said = []
    measured(trained, store, said.append)
    assert said == ["measuring seed-0: ssg"]


@pytest.mark.parametrize("file", ["seed-0/ssp/best.h5", "parser/best.h5"])
def test_another_network_or_segmentation_net_is_measured_anew(trained, store, file, monkeypatch):
    measured(trained, store)
    path, said = trained.out / file, []
    content = path.read_bytes()
    try:
        network = checkpoint.load_network(path)
        network.parameters()[0].data[...] *= 1.5
        checkpoint.save(path, checkpoint.Checkpoint(network))
        measured(trained, store, said.append)
    finally:
        path.write_bytes(content)
    assert len(said) == 1 and "ssp" in said[0]


def test_other_faces_are_measured_anew(trained, store, tmp_path, silent):
    from tinyface.faces.data.toyfaces import draw_dataset

    draw_dataset(tmp_path / "more", train=4, val=2, test=3, seed=2)
    best = trained.out / "parser/best.h5"
    assert measure.identify([best], trained.data, "labels") != measure.identify(
        [best], str(tmp_path / "more"), "labels"
    )


def test_a_damaged_file_is_begun_anew(trained, tmp_path):
    (tmp_path / measure.FILE).write_text('{"seed-0/ssp": {"ide')
    said = []
    store = measure.Measures(tmp_path, said.append)
    assert len(said) == 1 and str(tmp_path / measure.FILE) in said[0]
    measured(trained, store)
    assert set(json.loads((tmp_path / measure.FILE).read_text())) == {
        "seed-0/ssp", "seed-0/ssg", "seed-0/ssp + ssg"
    }  # fmt: skip


def test_what_is_undefined_is_null_in_json():
    metrics = attribute_metrics(np.full((3, 40), 0.7), np.ones((3, 40)))
    measures = measure.plain(metrics)
    assert measures["balanced_accuracy"] is None and measures["per_attribute"]["error"]["Bald"] == 0
    assert "NaN" not in json.dumps(measures)


def test_always_the_majority(faces):
    train, test = (open_dataset(faces, split, "attributes").attributes for split in ("train", "test"))
    guess = train.mean(axis=0) > 0.5
    assert measure.always_the_majority(str(faces)) == pytest.approx((test != guess).mean())
