"""The table of few labels: what it trains, what it measures, what stands in it."""

import csv
import json

import pytest

from tinyface import checkpoint, training
from tinyface.errors import TinyfaceError
from tinyface.faces import tasks
from tinyface.faces.commands.folders import PRETRAINED
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.reproduce import plan as planning
from tinyface.faces.reproduce import reproduce, sspl, tables
from tinyface.faces.reproduce.job import Job
from tinyface.faces.reproduce.paper import ROWS

PAIR = [row for row in ROWS if row.key in ("basic", "ssp")]


def folders(job, only=()):
    return [step.folder for step in planning.plan(job, ["sspl"], (), planning.choose_rows(only))]


def test_shares_of_fewer_than_two_faces_are_left_out(faces, tmp_path):
    assert sspl.usable(open_dataset(faces, "train", "attributes")) == {1.0: 12}  # of 12 faces
    draw_dataset(tmp_path / "many", train=120, val=0, test=0)
    counts = sspl.usable(open_dataset(tmp_path / "many", "train", "attributes"))
    assert counts == {0.01: 2, 0.02: 3, 0.05: 6, 1.0: 120}


def test_one_pretraining_and_every_network_with_and_without_it(make_job, monkeypatch):
    monkeypatch.setattr(sspl, "usable", lambda dataset: {0.5: 6, 1.0: 12})
    found = folders(make_job(seeds=2))
    assert found[:2] == ["parser", "sspl"] and len(found) == len(set(found))
    assert set(found[2:]) == {
        f"labels/{share}/{init}/seed-{seed}/{mode}"
        for share in ("0.5", "1")
        for init in ("random", "sspl")
        for seed in (0, 1)
        for mode in ("avg", "ssp")
    }
    assert [f for f in folders(make_job(), ["ssp"]) if f.endswith("avg")] == []
    with pytest.raises(TinyfaceError, match="--only: the table sspl has the rows basic and ssp"):
        folders(make_job(), ["naive"])


def test_from_training_to_table(make_job, faces, silent, monkeypatch):
    monkeypatch.setattr(sspl, "usable", lambda dataset: {0.01: 3, 1.0: 12})
    monkeypatch.setitem(sspl.PAPER, 0.01, 11.16)
    cut = {0.01: 0.3}  # 12 faces are too few for a hundredth: a third stands in for it
    monkeypatch.setattr(
        sspl, "given_of", lambda job, share, init, count: (("labels", cut.get(share, share)), ("init", init),
                                                           ("batch_size", min(4, count))),
    )  # fmt: skip
    job = make_job()
    [table], claims = reproduce(job, ["sspl"], [], ["basic"], silent)
    assert not claims
    line = dict(zip(table.columns, map(tables.show, table.rows[2]), strict=True))
    assert line["labels"] == "1 %" and line["faces"] == "3" and line["SSPL, paper"] == "11.16"
    kept = json.loads((job.out / "measures.json").read_text())
    for init, column in (("random", "basic"), ("sspl", "basic, pre-trained")):
        folder = job.out / f"labels/0.01/{init}/seed-0"
        network = checkpoint.load_network(folder / "avg" / training.BEST)
        dataset = open_dataset(faces, "test", "attributes")
        error = tasks.validation(tasks.AttributeTask(network), dataset, 64, job.network.size).mean_error
        assert line[column] == f"{100 * error:.2f}"
        assert kept[f"labels/0.01/{init}/seed-0/avg"]["measures"]["error"] == pytest.approx(error)
        options = checkpoint.load(folder / "avg" / training.LAST).training["options"]
        assert (options["labels"], options["init"]) == (0.3, init)
        assert (folder / PRETRAINED).exists() == (init == "sspl")
    first = table.rows[0]
    assert [tables.show(cell) for cell in first] == ["0.2 %", "–", "–", "–", "13.33"]
    with open(job.out / "sspl.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(sspl.PAPER)

    monkeypatch.setattr(training.Trainer, "run", lambda self: pytest.fail("trained again"))
    again, _ = reproduce(job, ["sspl"], [], ["basic"], silent)
    assert again == [table]


def test_the_validation_split_chooses_only_where_another_judges(make_job, tmp_path):
    job = make_job()
    job.data = str(job.data)
    assert sspl.chooses_step(job, job.data)
    assert "the validation split chose the step" in "".join(sspl.table(job, PAIR, {}, {}, ()).notes)
    draw_dataset(tmp_path / "two", train=3, val=3, test=0)
    alone = Job(tmp_path / "out", "tiny", str(tmp_path / "two"))
    assert not sspl.chooses_step(alone, alone.data)
    assert "the last step counts" in "".join(sspl.table(alone, PAIR, {}, {}, ()).notes)


@pytest.mark.parametrize("test", [0, 3])
def test_validations_of_a_training(make_job, silent, tmp_path, test):
    draw_dataset(tmp_path / "data", train=8, val=3, test=test)
    job = make_job(data=tmp_path / "data")
    given = (("labels", 0.5), ("init", "random"))
    step = planning.Step("labels/x/seed-0/avg", None, 0, "avg", job.data, given)
    planning.training.train_with_few(job, step, silent)
    log = training.read_log(job.out / step.folder / training.LOG)
    assert [r["step"] for r in log if "validation" in r] == ([1, 2, 3] if test else [3])


def test_a_batch_is_no_larger_than_what_is_labelled(make_job):
    assert dict(sspl.given_of(make_job(), 0.1, "sspl", 3)) == {"labels": 0.1, "init": "sspl", "batch_size": 3}
    assert dict(sspl.given_of(make_job(options={"batch_size": None}), 0.1, "random", 3)) == {
        "labels": 0.1,
        "init": "random",
    }


def test_paper_s_errors():
    accuracies = {0.002: 86.67, 0.005: 88.05, 0.01: 88.84, 0.02: 89.58, 1.0: 91.77}
    assert {s: pytest.approx(100 - a) for s, a in accuracies.items()} == {
        s: e for s, e in sspl.PAPER.items() if e is not None
    }
