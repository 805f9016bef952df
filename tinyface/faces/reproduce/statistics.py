"""Several seeds, one number: x̄ ± s with s² = Σ(x − x̄)² / (n − 1); and whether two of these differ.

Two rows differ where |x̄_a − x̄_b| > √(s_a² + s_b²), the deviation of a difference.
"""

import math
from dataclasses import dataclass

YES, NO, WITHIN, ONE_SEED, MISSING = (
    "yes", "no", "within the deviation", "one seed, so no deviation", "not measured"
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """mean and deviation of n values; deviation is None for fewer than two, mean None for none."""

    mean: float | None
    deviation: float | None
    count: int


def summarise(values):
    """Summary of the values that are defined: neither None nor NaN."""
    known = [float(v) for v in values if v is not None and not math.isnan(v)]
    if not known:
        return Summary(None, None, 0)
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return Summary(mean, None, 1)
    variance = math.fsum((v - mean) ** 2 for v in known) / (len(known) - 1)
    return Summary(mean, math.sqrt(variance), len(known))


def difference(better, worse):
    """How far `better` lies above `worse`, and the deviation of that; None where it is unknown."""
    if better.mean is None or worse.mean is None:
        return None, None
    if better.deviation is None or worse.deviation is None:
        return better.mean - worse.mean, None
    return better.mean - worse.mean, math.hypot(better.deviation, worse.deviation)


def verdict(gain, deviation):
    """Whether a gain is significant: yes, no, within the deviation, or why that is unknown."""
    if gain is None:
        return MISSING
    if deviation is None:
        return ONE_SEED
    if gain > deviation:
        return YES
    return NO if gain < -deviation else WITHIN


def weakest(verdicts):
    """The verdict on a claim of several parts: what is missing first, then no, then doubt."""
    return next(v for v in (MISSING, NO, ONE_SEED, WITHIN, YES) if v in verdicts)
