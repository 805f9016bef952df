"""What the paper claims, in five comparisons of rows, and whether each came out here.

A claim holds where every part does: a gain larger than the deviation of a difference (`statistics.verdict`).
"""

from dataclasses import dataclass

from .statistics import Summary, difference, verdict, weakest
from .tables import percent


@dataclass(frozen=True)
class Part:
    """One comparison: what is better than what, by how much, in points, and the verdict."""

    text: str
    gain: float | None
    deviation: float | None
    verdict: str


@dataclass(frozen=True)
class Claim:
    text: str
    source: str  # where the paper claims it
    parts: tuple

    @property
    def verdict(self):
        return weakest({part.verdict for part in self.parts})


def claims(measured, fine_tuned, alone, joint):
    """The five. measured, fine_tuned: {modes: [measures of each seed]}; alone, joint: Table 4's, of each seed."""
    names = {
        ("avg",): "basic", ("ssp",): "SSP", ("ssg",): "SSG", ("ssp", "ssg"): "SSP + SSG", ("naive",): "naive",
        ("spp",): "SPPNet*", ("bbox",): "BBox",
    }  # fmt: skip

    def errs_less(better, worse):
        errors = [percent(m["error"] for m in measured.get(key, [])) for key in (worse, better)]
        return part(f"{names[better]} against {names[worse]}, error", *errors)

    def gains(key):
        both = (
            percent(m["balanced_accuracy"] for m in found.get(key, [])) for found in (fine_tuned, measured)
        )
        return part(f"{names[key]} with against without weights, balanced accuracy", *both)

    ious = [percent(m["mean"] for m in found) for found in (joint, alone)]
    basic, ssp, ssg, both = ("avg",), ("ssp",), ("ssg",), ("ssp", "ssg")
    return [
        Claim(
            "Pooling or gating by regions errs less than the basic network.",
            "4.3.1, Table 2",
            (errs_less(ssp, basic), errs_less(ssg, basic)),
        ),
        Claim(
            "The average of SSP and SSG errs less than either.",
            "4.3.1, Table 2",
            (errs_less(both, ssp), errs_less(both, ssg)),
        ),
        Claim(
            "Pooling by regions errs less than boxes at the landmarks, a pyramid of cells, or region maps as further "
            "input channels.",
            "4.3.1, Table 2",
            tuple(errs_less(ssp, other) for other in (("bbox",), ("spp",), ("naive",))),
        ),
        Claim(
            "Weights in the loss make up for rare attributes.",
            "4.3.1, Balanced Classification Accuracy",
            tuple(map(gains, (basic, ssg, ssp))),
        ),
        Claim(
            "Attributes help parsing.",
            "4.4, Table 4",
            (part("with against without attributes, mean IoU", *ious),),
        ),
    ]


def part(text, better: Summary, worse: Summary):
    """The comparison of two Summaries; `better` is the one that should be larger."""
    gain, deviation = difference(better, worse)
    return Part(text, gain, deviation, verdict(gain, deviation))


def describe(part):
    """E.g. "SSP against basic, error: better by 0.81 ± 0.10"."""
    if part.gain is None:
        return f"{part.text}: {part.verdict}"
    better = "better" if part.gain >= 0 else "worse"
    deviation = "" if part.deviation is None else f" ± {part.deviation:.2f}"
    return f"{part.text}: {better} by {abs(part.gain):.2f}{deviation}"


def to_text(found):
    """A line for each claim, with its parts below it."""
    lines = ["The paper's claims, and whether they came out here"]
    for number, claim in enumerate(found, 1):
        lines += ["", f"{number}. {claim.text} {claim.verdict.capitalize()}. ({claim.source})"]
        lines += [f"   {describe(part)}" for part in claim.parts]
    return "\n".join(lines)


def to_markdown(found):
    """A table of Markdown: claim, verdict, numbers, source."""
    lines = ["## The paper's claims, and whether they came out here", ""]
    lines += ["| claim | here | by how many points | paper |", "|---|---|---|---|"]
    for claim in found:
        parts = "; ".join(map(describe, claim.parts))
        line = f"| {claim.text} | **{claim.verdict}** | {parts} | {claim.source} |"
        lines.append(line.replace("SPPNet*", "SPPNet\\*"))
    return "\n".join([*lines, ""])
