import os
from pathlib import Path

import pytest
from command_runs import SHORT, refused, silent

from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.commands.sources import evaluation_split, find_data, validation_split
from tinyface.faces.data.toyfaces import draw_dataset


def test_toy_faces_are_drawn_where_no_data_is_given(monkeypatch):
    drawn = []

    def draw(path, train, val, test, seed, **options):
        drawn.append((train, val, test))
        draw_dataset(path, 2, 1, 0, seed)

    monkeypatch.setattr("tinyface.faces.data.toyfaces.draw_dataset", draw)
    said = []
    assert find_data(None, "labels", said.append) == Path("toyfaces")
    assert said[-1].startswith("toyfaces: Helen") and "2 train, 1 val, 0 test" in said[-1]
    assert find_data(None, "attributes", said.append) == Path("toyfaces")
    assert len(drawn) == 1


def test_bad_data_is_named_before_anything_is_written(tmp_path):
    text = refused(train_segmentation, {**SHORT, "data": "nowhere"}, "run", log=silent)
    assert text.startswith("nowhere: no such folder")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("counts, val, evaluated", [((2, 1, 1), "val", "test"), ((2, 1, 0), "val", "val"),
                                                    ((2, 0, 1), None, "test")])  # fmt: skip
def test_splits_to_validate_and_to_evaluate_on(counts, val, evaluated):
    draw_dataset("faces", *counts)
    for need in ("labels", "attributes"):
        assert validation_split("faces", need) == val
        assert evaluation_split("faces", need) == evaluated
