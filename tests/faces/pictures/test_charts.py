import json
import math

import numpy as np
import pytest

from tinyface.errors import TinyfaceError
from tinyface.faces.pictures import charts, drawing


def where(chart, colour):
    """(x, y) of the pixels of a colour."""
    y, x = np.nonzero((np.asarray(chart) == colour).all(-1))
    return x, y


# Reading logs


def test_read_curve(tmp_path):
    records = [
        {"step": 1, "loss": 0.5},
        {"step": 2, "validation": {"error": 0.25, "average_precision": 0.5}},
        {"step": 4, "validation": {"error": 0.125}},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert charts.read_curve(tmp_path) == [(2, 0.25), (4, 0.125)]
    assert charts.read_curve(str(tmp_path), "average_precision") == [(2, 0.5)]
    assert charts.read_curve(tmp_path, "mean_iou") == []
    with pytest.raises(TinyfaceError, match=r"missing/log\.jsonl: no such file; give the folder of a run"):
        charts.read_curve(tmp_path / "missing")


# Curves


def test_each_run_has_its_line_where_its_values_are():
    chart = charts.curves_chart({"low": [(0, 0.1), (100, 0.1)], "high": [(0, 0.3), (100, 0.2)]}, "error")
    field = chart.crop((0, 0, chart.width, 320))
    (x, low), (x2, high) = where(field, charts.LINES[0]), where(field, charts.LINES[1])
    assert abs(x.min() - 84) < 6 and abs(x.max() - 830) < 6
    assert np.ptp(low) < 10 and low.min() > high.max()
    assert high[x2 == x2.min()].mean() < high[x2 == x2.max()].mean() - 100  # it falls
    key = chart.crop((0, 370, chart.width, chart.height))
    assert all(where(key, colour)[0].size for colour in charts.LINES[:2])


def test_points_come_in_order_and_without_what_is_not_finite():
    clean = charts.curves_chart({"a": [(1, 0.1), (2, 0.3), (3, 0.2)]}, "error")
    messy = {"a": [(3, 0.2), (1, 0.1), (4, math.nan), (2, 0.3), (9, math.inf)], "b": [(1, math.nan)], "c": []}
    assert charts.curves_chart(messy, "error").tobytes() == clean.tobytes()


def test_percent_scales_the_numbers():
    curve = {"a": [(1, 0.1), (2, 0.3)]}
    whole = {"a": [(1, 10), (2, 30)]}
    a, b = charts.curves_chart(curve, "x"), charts.curves_chart(whole, "x %", percent=False)
    assert a.tobytes() == b.tobytes() != charts.curves_chart(curve, "x", percent=False).tobytes()


def test_many_runs_are_told_apart():
    curves = {f"run {k} of a long name": [(0, k), (100, k)] for k in range(24)}
    chart = charts.curves_chart(curves, "error", percent=False)
    counts = [where(chart.crop((0, 0, chart.width, 320)), charts.LINES[0])]
    rows = {round(np.mean(counts[0][1][np.abs(counts[0][1] - y) < 3])) for y in np.unique(counts[0][1])}
    assert len(rows) >= 3  # lines 0, 8 and 16 have one colour …
    x, y = counts[0]
    lines = sorted(rows, reverse=True)
    lengths = [np.unique(x[np.abs(y - line) < 3]).size for line in (lines[0], lines[-1])]
    assert lengths[0] > 1.5 * lengths[1]  # … and other strokes
    with pytest.raises(ValueError, match="25 curves can't be told apart; draw at most 24"):
        charts.curves_chart({**curves, "one more": [(0, 1)]}, "error")


@pytest.mark.parametrize("points", [[(5, 0.5)], [(0, 0.0), (1, 0.0)], [(k, k % 7) for k in range(300)]])
def test_curves_edges(points):
    chart = charts.curves_chart({"a": points, "b": points}, "error")
    assert where(chart, charts.LINES[1])[0].size


def test_no_curve_says_so():
    for curves in {}, {"a": []}, {"a": [(1, math.nan)]}:
        with pytest.raises(TinyfaceError, match="error: no run has a finite value to draw; train"):
            charts.curves_chart(curves, "error")


# Bars


def bars(chart):
    """(first x, length, middle y) of each bar, from top to bottom."""
    x, y = where(chart, charts.BAR)
    found = []
    for line in np.split(np.unique(y), np.flatnonzero(np.diff(np.unique(y)) > 5) + 1):
        own = x[np.isin(y, line)]
        found.append((own.min(), own.max() - own.min(), line.mean()))
    return found


def test_bars_are_as_long_as_the_means():
    chart = charts.bar_chart({"a": (0.02, None), "b": (0.08, None), "c": (0.1, math.nan)}, "error")
    found = bars(chart)
    assert len({start for start, _, _ in found}) == 1
    np.testing.assert_allclose([length for _, length, _ in found], [96, 384, 480], atol=2)


def test_whiskers_reach_from_mean_minus_to_mean_plus_deviation():
    plain = charts.bar_chart({"a": (0.05, None), "b": (0.1, None)}, "e")
    chart = charts.bar_chart({"a": (0.05, 0.02), "b": (0.1, None)}, "e")
    start = bars(plain)[0][0]
    row = np.asarray(chart)[round(bars(plain)[0][2])].astype(int)
    dark = np.flatnonzero((np.abs(row - drawing.INK).sum(-1) < 60) & (np.arange(len(row)) >= start))
    dark = dark[dark < start + 480]
    assert abs(dark.min() - (start + 480 * 0.3)) <= 2 and abs(dark.max() - (start + 480 * 0.7)) <= 2
    assert (np.diff(dark) == 1).all()
    wide = charts.bar_chart({"a": (0.05, 0.07), "b": (0.1, None)}, "e")  # not below 0
    assert where(wide.crop((start + 2, 62, start + 480, 94)), drawing.INK)[0].size
    assert not where(wide.crop((start - 12, 62, start - 2, 94)), drawing.INK)[0].size


def test_the_paper_is_marked_where_its_value_is():
    chart = charts.bar_chart(
        {"a–b": (0.05, None), "b": (None, None), "c": (0.1, None)},
        "e",
        reference={"a–b": 0.025, "b": 0.075, "x": 1},
    )
    start = bars(chart)[0][0]
    x, y = where(chart, drawing.SECOND)
    for row, value in ((0, 0.025), (1, 0.075)):
        own = x[(y >= 62 + 32 * row) & (y < 62 + 32 * (row + 1))]
        assert abs(own.mean() - (start + 4800 * value)) <= 1.5
    assert not x[(y >= 62 + 64) & (y < 62 + 96)].size
    without = charts.bar_chart({"a": (0.05, None)}, "e", reference={"a": None})
    assert not where(without, drawing.SECOND)[0].size


def test_a_row_without_a_mean_has_no_bar():
    assert len(bars(charts.bar_chart({"a": (0.5, 0.1), "b": (math.nan, 0.1), "c": (None, None)}, "e"))) == 1
    for rows in {}, {"a": (None, None)}, {"a": (math.nan, 0)}:
        with pytest.raises(TinyfaceError, match="e: no row has a value to draw"):
            charts.bar_chart(rows, "e")


def test_bars_begin_at_zero():
    charts.bar_chart({"a": (0.0, 0.0)}, "e")
    with pytest.raises(ValueError, match="must not be below"):
        charts.bar_chart({"a": (0.5, None), "b": (-0.1, None)}, "e")
    with pytest.raises(ValueError, match="must not be below"):
        charts.bar_chart({"a": (0.5, None)}, "e", reference={"a": -1})
