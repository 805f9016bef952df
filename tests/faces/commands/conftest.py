"""Runs of train-attr, made once, that several files look at; and every test in a folder of its own."""

import pytest
from command_runs import SHORT, save_segmentation_net, silent

from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models.attributes import MODES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test in a folder of its own, since runs go to runs/ of the current one, and nothing is bundled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tinyface.faces.commands.trained.DEFAULT_WEIGHTS", tmp_path / "weights")


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=6, val=5, test=0, seed=1)
    return str(path)


@pytest.fixture(scope="session")
def both(faces, tmp_path_factory):
    """A run of train-attr --ssp --ssg: its folder and what it said."""
    folder, said = tmp_path_factory.mktemp("run") / "both", []
    segmentation_net = save_segmentation_net(folder.parent / "parser.h5")
    train_attributes(["ssp", "ssg"], {**SHORT, "data": faces}, segmentation_net, folder, log=said.append)
    return folder, "\n".join(said)


@pytest.fixture(scope="session")
def baselines(faces, tmp_path_factory):
    """A run of all networks."""
    folder = tmp_path_factory.mktemp("run") / "all"
    segmentation_net = save_segmentation_net(folder.parent / "parser.h5")
    train_attributes(MODES, {**SHORT, "data": faces}, segmentation_net, folder, log=silent)
    return folder
