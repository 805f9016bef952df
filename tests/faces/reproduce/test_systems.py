"""The table of three systems: what it trains, what it counts, what stands in it."""

import json

import pytest

from tinyface import checkpoint, training
from tinyface.faces.models import AttributeNet, SegmentationNet
from tinyface.faces.reproduce import plan as planning
from tinyface.faces.reproduce import reproduce, systems, tables
from tinyface.summary import summarise


def folders(job):
    return [step.folder for step in planning.plan(job, ["systems"], (), planning.choose_rows(()))]


def test_every_system_is_trained_once_for_each_seed(make_job, faces, silent):
    job = make_job(data=faces, seeds=2)
    found = folders(job)
    assert found[0] == "parser" and len(found) == len(set(found))
    assert set(found[1:]) == {
        "sspl",
        *(f"seed-{seed}/{name}" for seed in (0, 1) for name in ("avg", "ssp", "ssg", "anet")),
        *(f"labels/1/sspl/seed-{seed}/avg" for seed in (0, 1)),
    }
    assert found.index("sspl") < found.index("labels/1/sspl/seed-0/avg")


def test_from_training_to_table(make_job, silent, monkeypatch):
    job = make_job(seeds=2)
    [table], claims = reproduce(job, ["systems"], [], [], silent)
    assert not claims and table.columns == systems.COLUMNS and len(table.rows) == 4
    shown = {row[0]: dict(zip(table.columns, map(tables.show, row), strict=True)) for row in table.rows}

    told = [
        json.loads((job.out / f"seed-{s}/anet/report.json").read_text())["networks"]["lnet-anet"]
        for s in (0, 1)
    ]
    assert shown[systems.ANET]["error"].startswith(f"{50 * (told[0]['error'] + told[1]['error']):.2f} ± ")
    kept = json.loads((job.out / "measures.json").read_text())
    learned = [kept[f"labels/1/sspl/seed-{s}/avg"]["measures"]["error"] for s in (0, 1)]
    assert shown[systems.SSPL]["error"].startswith(f"{50 * sum(learned):.2f} ± ")
    averaged = [kept[f"seed-{s}/ssp + ssg"]["measures"]["error"] for s in (0, 1)]
    assert shown["SSP + SSG (Kalayeh et al.)"]["error"].startswith(f"{50 * sum(averaged):.2f} ± ")
    assert all(float(row["training, minutes"].split()[0]) >= 0 for row in shown.values())

    monkeypatch.setattr(training.Trainer, "run", lambda self: pytest.fail("trained again"))
    again, _ = reproduce(job, ["systems"], [], [], silent)
    assert again == [table]


def test_a_broken_run_of_anet_goes_on(make_job, silent):
    job = make_job()
    [table], _ = reproduce(job, ["systems"], [], [], silent)
    (job.out / "seed-0/anet/report.json").unlink()
    assert not planning.finished(job, planning.plan(job, ["systems"], (), [])[-1 - 2])
    again, _ = reproduce(job, ["systems"], [], [], silent)
    assert [row[:-1] for row in again[0].rows] == [row[:-1] for row in table.rows]


def test_a_face_costs_what_its_networks_cost(tmp_path):
    networks = {
        "p": SegmentationNet(2, (32, 32)),
        "a": AttributeNet(2, "ssp", (32, 32)),
        "b": AttributeNet(3, "avg", (32, 32)),
    }
    for name, network in networks.items():
        checkpoint.save(tmp_path / name, checkpoint.Checkpoint(network))
    parameters, adds = systems.cost_of_networks(tmp_path / "p", [tmp_path / "a", tmp_path / "b"])
    assert parameters == sum(p.size for net in networks.values() for p in net.parameters())
    assert adds == sum(row.multiply_adds for net in networks.values() for row in summarise(net))


def test_minutes_are_those_of_the_steps(tmp_path):
    assert systems.training_minutes(tmp_path) is None
    network = AttributeNet(2, "avg", (32, 32))
    saved = checkpoint.Checkpoint(network, training={"step": 30, "options": {"batch_size": 8}})
    checkpoint.save(tmp_path / training.LAST, saved)
    lines = [
        {"step": 10, "images_per_second": 2.0},
        {"step": 10, "validation": {}},
        {"step": 30, "images_per_second": 4.0},
    ]
    (tmp_path / training.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert systems.training_minutes(tmp_path) == pytest.approx((10 * 8 / 2 + 20 * 8 / 4) / 60)
