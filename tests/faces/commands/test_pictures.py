import json

import pytest

from tinyface import training
from tinyface.faces.commands.pictures import draw_curve


@pytest.mark.parametrize(
    "records, drawn",
    [
        ([{"step": 1, "loss": 0.5}, {"step": 2, "validation": {"error": 0.2}}], True),
        ([{"step": 2, "validation": {"error": 0.2}}], True),  # no loss: a GPU was never asked for one
        ([{"step": 1, "loss": 0.5}], True),
        ([{"step": 2, "validation": {"error": float("nan")}}], False),
        ([], False),
    ],
)
def test_the_curve_shows_what_the_log_has(tmp_path, records, drawn):
    (tmp_path / training.LOG).write_text("".join(json.dumps(record) + "\n" for record in records))
    draw_curve(tmp_path, "error")
    assert (tmp_path / "curve.png").exists() == drawn
