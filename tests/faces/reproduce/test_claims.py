import pytest

from tinyface.faces.reproduce import claims as claims_of
from tinyface.faces.reproduce.statistics import MISSING, NO, ONE_SEED, WITHIN, YES

PAPER = {("avg",): 0.0914, ("ssg",): 0.0838, ("ssp",): 0.0833, ("ssp", "ssg"): 0.0820, ("naive",): 0.0913,
         ("spp",): 0.0949, ("bbox",): 0.0876}  # fmt: skip


BALANCED = {("avg",): 0.70, ("ssg",): 0.71, ("ssp",): 0.72}


def over_seeds(measure, values, spread=0.0001, seeds=2):
    signs = (1, -1)[:seeds]
    return {key: [{measure: value + sign * spread} for sign in signs] for key, value in values.items()}


def measured(errors, **settings):
    found = over_seeds("error", errors, **settings)
    for key, balanced in over_seeds("balanced_accuracy", BALANCED, **settings).items():
        for measures, plain in zip(found[key], balanced, strict=True):
            measures |= plain
    return found


def segmentation_nets(mean, spread=0.001):
    return [{"mean": mean + spread}, {"mean": mean - spread}]


def verdicts(errors, alone=0.6184, joint=0.6566, tuned=None, **settings):
    tuned = over_seeds(
        "balanced_accuracy", tuned or {key: v + 0.15 for key, v in BALANCED.items()}, **settings
    )
    found = claims_of.claims(
        measured(errors, **settings), tuned, segmentation_nets(alone), segmentation_nets(joint)
    )
    return [claim.verdict for claim in found]


def test_the_papers_own_numbers_bear_out_the_papers_claims():
    assert verdicts(PAPER) == [YES] * 5


def test_a_large_deviation_leaves_it_open():
    assert verdicts(PAPER, spread=0.2) == [WITHIN] * 4 + [YES]


@pytest.mark.parametrize(
    "change, claim",
    [({("ssp",): 0.095}, 0), ({("ssg",): 0.095}, 0), ({("ssp", "ssg"): 0.0835}, 1), ({("naive",): 0.08}, 2),
     ({("spp",): 0.08}, 2), ({("bbox",): 0.08}, 2)],
)  # fmt: skip
def test_each_claim_rests_on_its_rows(change, claim):
    assert verdicts(PAPER | change)[claim] == NO


@pytest.mark.parametrize("key", BALANCED)
def test_weights_that_do_not_help_are_a_no(key):
    assert verdicts(PAPER, tuned={**{k: 0.9 for k in BALANCED}, key: 0.6})[3] == NO


def test_parsing_that_does_not_gain_is_a_no():
    assert verdicts(PAPER, alone=0.7)[4] == NO


def test_one_seed_gives_no_verdict_and_a_missing_row_says_so():
    assert verdicts(PAPER, seeds=1)[:4] == [ONE_SEED] * 4
    del (errors := dict(PAPER))[("bbox",)]
    assert verdicts(errors) == [YES, YES, MISSING, YES, YES]


def test_the_numbers_stand_beside_the_verdict():
    tuned = over_seeds("balanced_accuracy", {key: v + 0.15 for key, v in BALANCED.items()})
    found = claims_of.claims(measured(PAPER), tuned, segmentation_nets(0.6184), segmentation_nets(0.6566))
    text = claims_of.to_text(found)
    assert "SSP against basic, error: better by 0.81 ± 0.02" in text
    assert "SSG with against without weights, balanced accuracy: better by 15.00 ± 0.02" in text
    assert "with against without attributes, mean IoU: better by 3.82 ± 0.20" in text
    markdown = claims_of.to_markdown(found)
    assert markdown.count("**yes**") == 5 and "SPPNet\\*" in markdown
