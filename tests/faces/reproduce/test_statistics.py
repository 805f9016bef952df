import math
import statistics as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyface.faces.reproduce.statistics import (
    MISSING,
    NO,
    ONE_SEED,
    WITHIN,
    YES,
    Summary,
    difference,
    summarise,
    verdict,
    weakest,
)

numbers = st.floats(-1e3, 1e3)


@given(st.lists(numbers, min_size=2, max_size=9))
def test_mean_and_sample_deviation_are_the_standard_librarys(values):
    found = summarise(values)
    assert found.mean == pytest.approx(standard.mean(values), abs=1e-9)
    assert found.deviation == pytest.approx(standard.stdev(values), abs=1e-6)
    assert found.count == len(values)


def test_one_value_has_no_deviation_and_none_has_no_mean():
    assert summarise([3.0]) == Summary(3.0, None, 1)
    assert summarise([]) == Summary(None, None, 0)


def test_what_is_undefined_is_left_out():
    assert summarise([1.0, None, math.nan, 3.0]) == Summary(2.0, math.sqrt(2), 2)


def test_a_difference_has_the_combined_deviation():
    gain, deviation = difference(Summary(5.0, 0.3, 3), Summary(4.0, 0.4, 3))
    assert (gain, deviation) == (1.0, 0.5)
    assert difference(Summary(5.0, None, 1), Summary(4.0, 0.4, 3)) == (1.0, None)
    assert difference(Summary(5.0, 0.3, 3), Summary(None, None, 0)) == (None, None)


@pytest.mark.parametrize(
    "gain, deviation, wanted",
    [(0.6, 0.5, YES), (-0.6, 0.5, NO), (0.5, 0.5, WITHIN), (-0.5, 0.5, WITHIN), (0.0, 0.0, WITHIN),
     (0.6, None, ONE_SEED), (None, None, MISSING)],
)  # fmt: skip
def test_a_gain_counts_only_beyond_its_deviation(gain, deviation, wanted):
    assert verdict(gain, deviation) == wanted


@pytest.mark.parametrize(
    "parts, wanted",
    [({YES}, YES), ({YES, WITHIN}, WITHIN), ({YES, NO}, NO), ({WITHIN, NO}, NO), ({YES, ONE_SEED}, ONE_SEED),
     ({YES, MISSING, NO}, MISSING)],
)  # fmt: skip
def test_a_claim_is_as_strong_as_its_weakest_part(parts, wanted):
    assert weakest(parts) == wanted
