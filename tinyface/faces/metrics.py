"""Measures of the papers, in plain NumPy: attribute error, average precision, balanced accuracy; IoU and F1.

A measure that is undefined (an attribute without positives, a region that never occurs) is NaN. It is left
out of the mean, and the printed table says so.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class AttributeMetrics:
    """Measures per attribute, arrays (A,) of fractions in [0, 1], and their means over the attributes."""

    error: np.ndarray
    average_precision: np.ndarray  # NaN without a positive
    balanced_accuracy: np.ndarray  # NaN without a positive or without a negative
    count: int  # images

    @property
    def mean_error(self):
        return _mean(self.error)

    @property
    def mean_average_precision(self):
        return _mean(self.average_precision)

    @property
    def mean_balanced_accuracy(self):
        return _mean(self.balanced_accuracy)

    @property
    def without_average_precision(self):
        """Indices of the attributes that the mean average precision leaves out."""
        return np.flatnonzero(np.isnan(self.average_precision))

    @property
    def without_balanced_accuracy(self):
        """Indices of the attributes that the mean balanced accuracy leaves out."""
        return np.flatnonzero(np.isnan(self.balanced_accuracy))


def attribute_metrics(scores, targets, threshold=0.5):
    """Error, average precision and balanced accuracy of scores (N, A) against targets (N, A) of 0 and 1.

    A score above `threshold` says yes: 0.5 for probabilities, 0 for logits. Balanced accuracy is the mean of
    the true positive and the true negative rate, per attribute and not pooled (Kalayeh et al., 4.3.1).
    Raises ValueError for shapes that differ, no rows, scores that are NaN, targets other than 0 and 1.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or scores.shape != targets.shape or not len(scores):
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} must both be (N, A) with N >= 1")
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    positive = _binary(targets)
    said_yes = scores > threshold
    ap = [average_precision(s, t) for s, t in zip(scores.T, positive.T, strict=True)]
    with np.errstate(invalid="ignore"):  # 0/0 where an attribute has no positives or no negatives
        true_positive_rate = (said_yes & positive).sum(0) / positive.sum(0)
        true_negative_rate = (~said_yes & ~positive).sum(0) / (~positive).sum(0)
    return AttributeMetrics(
        error=(said_yes != positive).mean(0),
        average_precision=np.array(ap),
        balanced_accuracy=(true_positive_rate + true_negative_rate) / 2,
        count=len(scores),
    )


def average_precision(scores, targets):
    """Average precision of one attribute, Σ_k (R_k − R_{k−1}) P_k: scores (N,), targets (N,) of 0 and 1.

    Equal scores count as one threshold, as in scikit-learn. NaN without a positive.
    """
    positive = _binary(targets)
    if not positive.any():
        return np.nan
    order = np.argsort(scores)[::-1]
    scores, positive = np.asarray(scores)[order], positive[order]
    last_of_ties = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(positive)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    recall = hits / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def majority_error(train_targets, targets):
    """Error (A,) of always guessing the training split's majority, and its mean: what a network must beat.

    train_targets (N, A) and targets (M, A) of 0 and 1; a tie guesses "no".
    """
    guess = _binary(train_targets).mean(0) > 0.5
    error = (_binary(targets) != guess).mean(0)
    return error, _mean(error)


class ConfusionMatrix:
    """Counts of pixels by true class (row) and predicted class (column), gathered over batches.

    `counts` is (classes, classes) int64. A class that neither the labels nor the predictions contain has no
    IoU and no F1: NaN, left out of the mean.
    """

    def __init__(self, classes):
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, predictions, labels, ignore=-1):
        """Add class indices of any one shape; pixels whose label is `ignore` don't count.

        Raises ValueError for shapes that differ and for indices outside 0 … classes − 1.
        """
        predictions, labels = np.asarray(predictions), np.asarray(labels)
        if predictions.shape != labels.shape:
            raise ValueError(f"predictions {predictions.shape} and labels {labels.shape} differ in shape")
        predictions, labels = predictions.astype(np.int64), labels.astype(np.int64)
        kept = labels != ignore
        predictions, labels = predictions[kept], labels[kept]
        for name, values in ("predictions", predictions), ("labels", labels):
            if values.size and not 0 <= values.min() <= values.max() < self.classes:
                found = f"{values.min()} to {values.max()}"
                raise ValueError(f"{name} reach from {found}, which is not in 0 to {self.classes - 1}")
        cells = np.bincount(labels * self.classes + predictions, minlength=self.classes**2)
        self.counts += cells.reshape(self.classes, self.classes)

    def iou(self):
        """Intersection over union per class (classes,): TP / (TP + FP + FN)."""
        hits, true, predicted = self._sums()
        with np.errstate(invalid="ignore"):
            return hits / (true + predicted - hits)

    def f1(self):
        """F1 per class (classes,), the same as Dice: 2 TP / (2 TP + FP + FN)."""
        hits, true, predicted = self._sums()
        with np.errstate(invalid="ignore"):
            return 2 * hits / (true + predicted)

    def mean_iou(self):
        return _mean(self.iou())

    def mean_f1(self):
        return _mean(self.f1())

    def pixel_accuracy(self):
        """Fraction of the counted pixels whose class is right; NaN before the first pixel."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else np.nan

    def _sums(self):
        return np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)


def format_attribute_table(metrics, names):
    """AttributeMetrics as aligned text, in percent: one line per attribute, then the mean."""
    columns = metrics.error, metrics.average_precision, metrics.balanced_accuracy
    means = metrics.mean_error, metrics.mean_average_precision, metrics.mean_balanced_accuracy
    lines = _table(("attribute", "error", "AP", "balanced"), names, columns, ("mean", *means))
    return "\n".join(lines + undefined_lines(metrics, names))


def undefined_lines(metrics, names):
    """What every table of means over attributes must say: which attributes a mean leaves out; [] where none."""
    lines = []
    for measure, left_out in (
        ("average precision", metrics.without_average_precision),
        ("balanced accuracy", metrics.without_balanced_accuracy),
    ):
        if len(left_out):
            listed = ", ".join(names[i] for i in left_out)
            used = len(names) - len(left_out)
            lines.append(f"mean {measure} over {used} of {len(names)}, undefined for {listed}")
    return lines


def format_region_table(confusion, names):
    """A ConfusionMatrix as aligned text, in percent: one line per region, the mean and the pixel accuracy."""
    iou = confusion.iou()
    means = ("mean", confusion.mean_iou(), confusion.mean_f1())
    lines = _table(("region", "IoU", "F1"), names, (iou, confusion.f1()), means)
    if np.isnan(iou).any():
        listed = ", ".join(names[i] for i in np.flatnonzero(np.isnan(iou)))
        lines.append(f"mean over {len(names) - np.isnan(iou).sum()} of {len(names)}, never present: {listed}")
    lines.append(f"pixel accuracy {percent(confusion.pixel_accuracy()).strip()} %")
    return "\n".join(lines)


def _table(head, names, columns, last):
    """Lines of a table: a head, a row per name, a rule, a last row; fractions are shown in percent."""
    width = max(len(text) for text in (*names, head[0], last[0]))
    rows = [(name, *values) for name, *values in zip(names, *columns, strict=True)]
    title = head[0].ljust(width) + "".join(f"{text + ' %':>12}" for text in head[1:])
    body = [row[0].ljust(width) + "".join(f"{percent(v):>12}" for v in row[1:]) for row in (*rows, last)]
    rule = "-" * len(title)
    return [title, rule, *body[:-1], rule, body[-1]]


def percent(fraction):
    """A fraction in percent, two decimals; "-" for NaN."""
    return "-" if np.isnan(fraction) else f"{100 * fraction:.2f}"


def _mean(values):
    """Mean of what is defined; NaN if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else np.nan


def _binary(targets):
    """Targets of 0 and 1 (or False and True) as booleans."""
    targets = np.asarray(targets)
    if not ((targets == 0) | (targets == 1)).all():
        raise ValueError("targets must be 0 or 1")
    return targets == 1
