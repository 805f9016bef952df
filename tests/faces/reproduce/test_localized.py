import shutil

import numpy as np
import pytest

from tinyface.faces.data.dataset import ATTRIBUTES, REGIONS
from tinyface.faces.data.toyfaces import ATTRIBUTE_REGIONS
from tinyface.faces.pictures import localization
from tinyface.faces.reproduce import localized, reproduce, tables
from tinyface.faces.reproduce.measure import Measures


@pytest.fixture
def job(make_job, silent):
    """A Job of two seeds whose SSP networks are trained."""
    job = make_job(seeds=2)
    reproduce(job, ("2",), (), only=("ssp",), log=silent)
    return job


def pointing_at(region):
    """What `gather_weights` would give if every network took this region for everything, on faces that have it all."""
    weights = np.zeros((3, len(REGIONS), len(ATTRIBUTES)), np.float32)
    weights[:, REGIONS.index(region)] = 1
    return weights, np.ones((3, len(ATTRIBUTES)))


def test_a_column_for_each_seed_and_the_share(job, silent, monkeypatch):
    answers = iter(["hair", "mouth"])
    monkeypatch.setattr(localized, "gather_weights", lambda *_: pointing_at(next(answers)))
    table = localized.localization_table(job, Measures(job.out, silent), silent)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Bangs"] == ["hair", "hair", "mouth", "1"]
    assert rows["Rosy_Cheeks"] == ["face skin", "hair", "mouth", "0"]
    places = list(ATTRIBUTE_REGIONS.values())
    share = [100 * np.mean([region in place for place in places]) for region in ("hair", "mouth")]
    assert table.columns == ("attribute", "true region", "seed 0", "seed 1", "right")
    *_, last = table.rows
    assert last[2:4] == [f"{value:.1f}" for value in share]
    assert last[4] == f"{np.mean(share):.2f} ± {np.std(share, ddof=1):.2f}"
    assert tables.to_csv(table).count("\n") == len(table.rows) + 1
    assert "–" not in tables.to_text(table)


def test_networks_are_measured_once_and_again_when_they_change(job, silent, monkeypatch):
    first = localized.localization_table(job, Measures(job.out, silent), silent)
    monkeypatch.setattr(localized, "localization_share", lambda *_: pytest.fail("measured again"))
    assert localized.localization_table(job, Measures(job.out, silent), silent) == first
    shutil.copy(job.out / "seed-1/ssp/best.h5", job.out / "seed-0/ssp/best.h5")
    monkeypatch.setattr(localized, "localization_share", localization.localization_share)
    second = localized.localization_table(job, Measures(job.out, silent), silent)
    assert [row[2] for row in second.rows] == [row[3] for row in first.rows]


def test_on_other_faces_there_is_no_truth(job, silent, faces, tmp_path):
    shutil.copytree(faces, tmp_path / "others")
    (tmp_path / "others/celeba/toyfaces.txt").unlink()
    job.data = str(tmp_path / "others")
    assert localized.localization_table(job, Measures(job.out, silent), silent) is None
