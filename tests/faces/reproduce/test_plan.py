import h5py
import pytest
from command_runs import refused

from tinyface.faces.reproduce import plan as planning
from tinyface.faces.reproduce import run, training
from tinyface.faces.reproduce.paper import ROWS


def folders(job, tables=(), figures=(), only=()):
    return [step.folder for step in planning.plan(job, tables, figures, planning.choose_rows(only))]


def test_table_2_takes_every_mode_once_for_each_seed(make_job):
    found = folders(make_job(seeds=2), ["2"])
    assert found[0] == "parser" and len(found) == len(set(found))
    for seed in ("seed-0", "seed-1"):
        modes = [f.split("/")[1] for f in found if f.startswith(seed) and f.count("/") == 1]
        assert modes == ["avg", "ssg", "ssp", "naive", "spp", "bbox", "concat", "joint"]
    first = [found.index(f) for f in found if f.startswith("seed-0")]
    assert max(first) < min(found.index(f) for f in found if f.startswith("seed-1"))


def test_only_takes_the_modes_of_these_rows(make_job):
    plain = [f for f in folders(make_job(), ["2"], only=["ssp+ssg"]) if "balanced" not in f]
    assert plain == ["parser", "seed-0/ssp", "seed-0/ssg"]


def test_an_unknown_row_is_named_with_those_there_are():
    text = refused(planning.choose_rows, ["spp", "vgg"])
    assert text.startswith("--only vgg: ") and all(row.key in text for row in ROWS)


def test_a_segmentation_net_that_is_given_is_not_trained(make_job):
    assert "parser" not in folders(make_job(seg_weights="parser.h5"), ["2"], ["3", "4"])


def test_figures_need_networks_of_the_first_seed_only(make_job):
    job = make_job(seeds=3)
    assert folders(job, figures=["3"]) == ["parser"]
    assert folders(job, figures=["4"]) == ["parser", "seed-0/ssp"]
    assert folders(job, figures=["4", "5"]) == ["parser", "seed-0/ssp", "seed-0/avg"]
    assert set(folders(job, figures=["4", "5"])) <= set(folders(job, tables=["2"]))


def test_table_3_needs_lfwa(make_job):
    assert not any("lfwa" in f for f in folders(make_job(), ["3"]))
    found = folders(make_job(lfwa="somewhere", seeds=2), ["3"])
    lfwa = [f"lfwa/seed-{s}/{mode}" for s in (0, 1) for mode in ("avg", "ssg", "ssp")]
    assert found == ["parser", *lfwa]


@pytest.fixture
def trained(make_job, silent):
    """A job whose segmentation network is trained, and the step."""
    job = make_job()
    job.find_data(True, silent)
    [step] = planning.plan(job, [], ["3"])
    run.train_all(job, [step], silent)
    return job, step


def test_what_is_done_is_skipped(trained, monkeypatch, silent):
    job, step = trained
    assert planning.finished(job, step)
    monkeypatch.setattr(training, "train_segmentation", lambda *a, **k: pytest.fail("trained again"))
    run.train_all(job, [step], silent)


def test_half_done_is_not_done(trained):
    job, step = trained
    (job.out / "parser/best.h5").unlink()
    assert not planning.finished(job, step)
    assert not planning.finished(make_other(job, out="nowhere"), step)


def make_other(job, **change):
    return type(job)(**{**{k: v for k, v in vars(job).items() if k != "network"}, **change})


def test_a_checkpoint_on_the_way_is_not_the_end(trained):
    job, step = trained
    with h5py.File(job.out / "parser/last.h5", "r+") as file:
        file["training"].attrs["state"] = file["training"].attrs["state"].replace('"step": 3', '"step": 2')
    assert not planning.finished(job, step)


@pytest.mark.parametrize("name, value", [("steps", 5), ("batch_size", 3)])
def test_other_options_than_those_of_the_run_are_named(trained, name, value):
    job, step = trained
    text = refused(planning.finished, make_other(job, options={**job.options, name: value}), step)
    assert f"--{name.replace('_', '-')} {value}" in text and str(job.out / "parser") in text


def test_another_preset_is_named(trained):
    job, step = trained
    assert "--preset demo" in refused(planning.finished, make_other(job, preset="demo"), step)


def test_without_options_a_finished_run_of_any_length_is_done(trained):
    job, step = trained
    assert planning.finished(make_other(job, options={}), step)


def test_networks_of_another_segmentation_net_are_not_taken(trained, silent):
    job, _ = trained
    [step] = planning.plan(job, [], ["4"])[1:]
    run.train_all(job, [step], silent)
    assert planning.finished(job, step)
    kept = job.out / "seed-0/parser.h5"
    kept.write_bytes(kept.read_bytes() + b"x")
    assert str(kept) in refused(planning.finished, job, step)
