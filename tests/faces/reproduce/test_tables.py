import csv
import io

import pytest

from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.reproduce import pictures, tables
from tinyface.faces.reproduce.paper import PARSING, ROWS
from tinyface.faces.reproduce.statistics import Summary


def measures(error, precision=0.8, balanced=0.7):
    per_attribute = {"average_precision": {"Bald": None, "Male": 0.8}, "balanced_accuracy": {"Male": 0.8}}
    return {
        "error": error,
        "average_precision": precision,
        "balanced_accuracy": balanced,
        "per_attribute": per_attribute,
    }


def table2(measured, tuned=()):
    return tables.attribute_table(
        "table2", "Table 2", ROWS, measured, dict(tuned), lambda r: (r.error, r.precision, r.balanced), ("A note.",)
    )  # fmt: skip


@pytest.fixture
def filled():
    measured = {("avg",): [measures(0.10), measures(0.12)], ("ssp",): [measures(0.08, None), measures(0.08)]}
    return table2(measured, {("avg",): [measures(0.2, balanced=0.91), measures(0.2, balanced=0.93)]})


@pytest.mark.parametrize(
    "cell, text",
    [(Summary(8.333, 0.051, 3), "8.33 ± 0.05"), (Summary(8.336, None, 1), "8.34"), (Summary(None, None, 0), "–"),
     (9.1, "9.10"), (None, "–"), ("SSP", "SSP")],
)  # fmt: skip
def test_cells_for_people(cell, text):
    assert tables.show(cell) == text


def test_values_stand_in_their_columns(filled):
    line = dict(zip(filled.columns, map(tables.show, filled.rows[0]), strict=True))
    assert line == {
        "network": "basic",
        "error": "11.00 ± 1.41",
        "error, paper": "9.14",
        "AP": "80.00 ± 0.00",
        "AP, paper": "79.74",
        "balanced": "70.00 ± 0.00",
        "balanced, fine-tuned": "92.00 ± 1.41",
        "balanced, paper": "86.73",
    }


def test_what_is_undefined_in_one_seed_is_left_out_of_the_mean(filled):
    assert filled.rows[2][3] == Summary(80.0, None, 1)


def test_what_was_not_measured_or_not_reported_is_a_dash(filled):
    naive = [tables.show(cell) for cell in filled.rows[4]]
    assert naive == ["naive", "–", "9.13", "–", "79.74", "–", "–", "–"]
    assert [tables.show(c) for c in filled.rows[-1]][1:] == ["–"] * 7


def test_the_papers_numbers_agree_among_themselves():
    """Their average over the regions is the one that the table gives; the paper cuts digits off."""
    for column in (0, 1):
        mean = sum(PARSING[region][column] for region in REGIONS) / len(REGIONS)
        assert mean == pytest.approx(PARSING["mean"][column], abs=0.01)
    basic, best = ROWS[0], ROWS[3]
    assert basic.lfwa_error - best.lfwa_error == pytest.approx(1.86)  # section 4.3.2


def test_the_parsing_table_has_the_gain_and_its_deviation():
    def found(mean, eyes):
        return {"mean": mean, "iou": {region: 0.5 for region in REGIONS} | {"eyes": eyes}}

    alone, joint = [found(0.60, 0.4), found(0.66, 0.4)], [found(0.70, 0.5), found(0.78, None)]
    table = tables.parsing_table(alone, joint, ())
    rows = {row[0]: list(map(tables.show, row[1:])) for row in table.rows}
    assert rows["mean"] == ["63.00 ± 4.24", "74.00 ± 5.66", "11.00 ± 7.07", "61.84", "65.66", "3.82"]
    assert rows["eyes"] == ["40.00 ± 0.00", "50.00", "10.00", "46.83", "56.33", "9.50"]
    assert list(rows) == [*REGIONS, "mean"]


def test_what_the_means_leave_out_is_said(filled):
    assert filled.notes[-1] == "AP: the mean over 1 of 2, undefined for Bald."
    assert table2({}).notes == ("A note.", "(beyond): not in the paper.")


def test_text_is_aligned(filled):
    title, _, *lines, note, beyond, _ = tables.to_text(filled).splitlines()
    assert title == "Table 2" and (note, beyond) == ("A note.", "(beyond): not in the paper.")
    assert len({len(line) for line in lines}) == 1 and len(lines) == len(ROWS) + 2


def test_markdown_has_as_many_cells_in_every_line(filled):
    lines = [line for line in tables.to_markdown(filled).splitlines() if line.startswith("|")]
    assert len(lines) == len(ROWS) + 2 and {line.count("|") for line in lines} == {len(filled.columns) + 1}
    assert "SPPNet\\*" in tables.to_markdown(filled) and "11.00 ± 1.41" in lines[2]


def test_csv_gives_mean_deviation_and_number_of_seeds(filled):
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(filled))))
    assert float(rows[0]["error"]) == pytest.approx(11) and rows[0]["error seeds"] == "2"
    assert float(rows[0]["error deviation"]) == pytest.approx(2**0.5)
    assert rows[0]["error, paper"] == "9.14" and rows[4]["error"] == "" and rows[4]["error seeds"] == "0"
    assert len(rows) == len(ROWS)


def test_the_picture_has_room_for_every_line(filled):
    short = tables.Table(filled.name, filled.title, filled.columns, filled.rows[:2], filled.notes)
    tall, low = pictures.draw_table(filled), pictures.draw_table(short)
    assert tall.height > low.height and tall.getextrema() != ((255, 255),) * 3


def test_long_notes_are_wrapped():
    font = pictures.font_of(13)
    lines = pictures.wrap("word " * 60, font, 300)
    assert len(lines) > 1 and all(font.getlength(line) <= 300 for line in lines)
    assert " ".join(lines).split() == ["word"] * 60


def test_a_curve_is_averaged_in_stretches():
    points = [(10.0 * k, float(k % 2)) for k in range(80)]
    found = pictures.in_stretches(points)
    assert len(found) == 40 and found[0] == (5.0, 0.5) and found[-1] == (785.0, 0.5)
    assert pictures.in_stretches(points[:3]) == points[:3]
