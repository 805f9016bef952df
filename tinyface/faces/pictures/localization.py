"""Which region an attribute is predicted from: SSP's weights over a data set (Figure 4), and if the place is right.

w[r,a] is the weight of region r for attribute a on one face, Σ_r w[r,a] = 1 (Kalayeh et al. 2017, section 3.1.2).
On toy faces it is known where an attribute shows, so that "the weights match human expectation" can be counted.
"""

from dataclasses import dataclass

import numpy as np

from tinyface.errors import TinyfaceError

from ..data.dataset import ATTRIBUTES, REGIONS
from ..data.toyfaces import ATTRIBUTE_REGIONS

WEIGHTED = ("ssp", "joint")  # modes whose head weighs the seven regions; bbox weighs sixteen boxes


def face_weights(task, images):
    """Weights (N, 7, 40) float32, on the host, of an AttributeTask's network for images (N, 3, H, W) float32.

    Raises TinyfaceError where the network does not weigh the seven regions.
    """
    network = task.network
    if network.mode not in WEIGHTED:
        raise TinyfaceError(
            f"a network of mode {network.mode} has no weights of the {len(REGIONS)} regions; "
            f"take one of mode {' or '.join(WEIGHTED)}"
        )
    task.probabilities(images)
    return network.region_weights


def gather_weights(task, batches):
    """`face_weights` (N, 7, 40) and targets (N, 40) of every face in batches of images and attributes."""
    weights, targets = zip(*((face_weights(task, b.images), b.targets) for b in batches), strict=True)
    return np.concatenate(weights), np.concatenate(targets)


def heaviest_regions(weights, targets):
    """Each attribute's mean weights over the faces that HAVE it, (R, A), and the heaviest region, (A,) int.

    weights (N, R, A), targets (N, A) of 0 and 1. Only those faces, because the weights depend on the face: they show
    which region the score comes from, and an absent attribute has no place. (Figure 4
    takes the mean over all faces.) An attribute that no face has gets NaN and region −1.
    Raises ValueError for shapes that do not fit.
    """
    weights, targets = np.asarray(weights), np.asarray(targets)
    if weights.ndim != 3 or targets.shape != (weights.shape[0], weights.shape[2]):
        raise ValueError(f"weights {weights.shape} and targets {targets.shape} are not (N, R, A) and (N, A)")
    has = targets == 1
    count = has.sum(axis=0)
    total = np.einsum("nra,na->ra", weights.astype(np.float64), has.astype(np.float64))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean, np.where(count > 0, np.where(count > 0, mean, 0).argmax(axis=0), -1)


@dataclass
class Localized:
    """One attribute: where it shows, which region is the heaviest (None: no face has it), and its mean weight."""

    attribute: str
    true: tuple  # names of regions
    heaviest: str | None
    weight: float

    @property
    def right(self):
        return self.heaviest in self.true


@dataclass
class LocalizationShare:
    """How many attributes have their heaviest region where they show.

    share: of `counted` attributes, in [0, 1]; NaN of none. chance: what regions drawn at random would reach.
    constant: what the one region that is right most often would reach, if it were the heaviest of all.
    """

    rows: list  # Localized, one per attribute that has a place
    share: float
    chance: float
    constant: float
    constant_region: str | None

    @property
    def counted(self):
        return sum(row.heaviest is not None for row in self.rows)


def localization_share(weights, targets, truth=ATTRIBUTE_REGIONS, names=ATTRIBUTES, regions=REGIONS):
    """LocalizationShare of weights (N, R, A) and targets (N, A): is the heaviest region one of the true ones?

    truth: {attribute: names of the regions where it shows}; attributes that are not in it have no one place (Male,
    Blurry) and don't count, nor do those that no face has. The mean is that of `heaviest_regions`.
    Raises ValueError for shapes that do not fit the names.
    """
    mean, heaviest = heaviest_regions(weights, targets)
    if mean.shape != (len(regions), len(names)):
        raise ValueError(f"weights of {mean.shape}, not {len(regions)} regions and {len(names)} attributes")
    rows = []
    for index, name in enumerate(names):
        if name not in truth:
            continue
        region = int(heaviest[index])
        known = region >= 0
        weight = float(mean[region, index]) if known else np.nan
        rows.append(Localized(name, tuple(truth[name]), regions[region] if known else None, weight))
    counted = [row for row in rows if row.heaviest is not None]
    if not counted:
        return LocalizationShare(rows, np.nan, np.nan, np.nan, None)
    often = {region: np.mean([region in row.true for row in counted]) for region in regions}
    constant = max(often, key=often.get)
    return LocalizationShare(
        rows,
        share=float(np.mean([row.right for row in counted])),
        chance=float(np.mean([len(row.true) for row in counted]) / len(regions)),
        constant=float(often[constant]),
        constant_region=constant,
    )


def format_localization_table(result):
    """A LocalizationShare as aligned text: attribute, true regions, the heaviest and its weight; then the share."""
    width = max([9, *(len(row.attribute) for row in result.rows)])
    place = max([4, *(len(", ".join(row.true)) for row in result.rows)])
    lines = [f"{'attribute':<{width}}  {'true':<{place}}  {'heaviest':<10}  weight"]
    lines.append("-" * (len(lines[0]) + 7))
    for row in result.rows:
        weight = (
            "     -" if row.heaviest is None else f"{row.weight:6.2f}  {'right' if row.right else 'wrong'}"
        )
        lines.append(
            f"{row.attribute:<{width}}  {', '.join(row.true):<{place}}  {row.heaviest or '-':<10}  {weight}"
        )
    lines.append(lines[1])
    if not result.counted:
        return "\n".join([*lines, "no face has any of these attributes"])
    right = sum(row.right for row in result.rows)
    lines.append(
        f"heaviest region is a true one for {right} of {result.counted} attributes, {100 * result.share:.1f} % "
        f"(at random {100 * result.chance:.1f} %, always {result.constant_region} {100 * result.constant:.1f} %)"
    )
    left_out = [row.attribute for row in result.rows if row.heaviest is None]
    if left_out:
        lines.append(f"left out, because no face has it: {', '.join(left_out)}")
    return "\n".join(lines)


def attribute_maps(weights, masks):
    """Where each attribute's score comes from: Σ_r w[r,a]·m[r], (N, R, A) and (N, R, h, w) → (N, A, h, w).

    Between 0 and 1 where masks are. Raises ValueError where the regions or the faces differ in number.
    """
    if weights.shape[:2] != masks.shape[:2]:
        raise ValueError(f"weights {weights.shape} and masks {masks.shape} differ in faces or regions")
    return np.einsum("nra,nrhw->nahw", weights, masks)
