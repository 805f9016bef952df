import pytest

from tinyface.data.toyfaces import draw_dataset
from tinyface.reproduce import Job

QUICK = {"steps": 3, "batch_size": 4, "save_every": 1, "workers": 0}


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A few toy faces, of which some are for testing; not to be changed."""
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=12, val=4, test=6, seed=1)
    return path


@pytest.fixture
def make_job(faces, tmp_path):
    """make_job(out="out", seeds=1, …): a Job of a few steps on the toy faces."""

    def make(out="out", preset="tiny", data=faces, options=(), **settings):
        return Job(tmp_path / out, preset, data and str(data), options={**QUICK, **dict(options)}, **settings)

    return make


@pytest.fixture
def silent():
    return lambda line="", **rest: None
