"""The rows of the tables, and what Kalayeh et al. 2017 report in them, in percent; None where they report nothing.

Table 2's numbers are those of the pre-cropped images of CelebA (its second column), which is how the data set
is used here. Of Table 3 only the ends are known: its error falls from 14.73 to 12.87 (section 4.3.2: by 1.86).
"""

from dataclasses import dataclass

from .. import choices


@dataclass(frozen=True)
class Row:
    """A network, or the average of several. key: its name for --only.

    error, precision, balanced: Table 2; balanced there is of networks fine-tuned with the weighted loss.
    """

    key: str
    name: str
    error: float | None = None
    precision: float | None = None
    balanced: float | None = None
    lfwa_error: float | None = None
    fine_tuned: bool = False  # whether the paper fine-tunes it for balanced accuracy
    beyond: bool = False  # not in the paper

    @property
    def modes(self):
        """The networks whose predictions are averaged."""
        return choices.ROWS[self.key]


ROWS = (
    Row("basic", "basic", 9.14, 79.74, 86.73, 14.73, fine_tuned=True),
    Row("ssg", "SSG", 8.38, 80.55, 87.82, fine_tuned=True),
    Row("ssp", "SSP", 8.33, 81.02, 88.24, fine_tuned=True),
    Row("ssp+ssg", "SSP + SSG", 8.20, 81.45, None, 12.87, fine_tuned=True),
    Row("naive", "naive", 9.13, 79.74),
    Row("spp", "SPPNet*", 9.49, 77.69),
    Row("bbox", "BBox", 8.76, 79.95),
    Row("concat", "concat (beyond)", beyond=True),
    Row("joint", "SSP-SSG joint (beyond)", beyond=True),
)
LFWA_ROWS = ROWS[:4]

# Table 4: IoU of each region on Helen, without and with attributes.
PARSING = {
    "background": (89.25, 89.64),
    "hair": (47.56, 48.32),
    "face skin": (78.65, 79.92),
    "eyes": (46.83, 56.33),
    "eyebrows": (31.22, 42.25),
    "mouth": (62.03, 65.42),
    "nose": (77.40, 77.74),
    "mean": (61.84, 65.66),
}
