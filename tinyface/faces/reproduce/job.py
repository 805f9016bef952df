"""What is asked for: which data, at which size, how many seeds, and the folder that everything goes to.

<out>/parser/                     the segmentation network, unless --seg-weights names one
<out>/seed-<s>/<mode>/            attribute networks of one seed (Table 2)
<out>/seed-<s>/balanced/<mode>/   the same after fine-tuning with the weighted loss
<out>/seed-<s>/parser-alone/      Table 4, without attributes
<out>/seed-<s>/joint-parser/      Table 4, with attributes
<out>/lfwa/seed-<s>/<mode>/       Table 3
<out>/sspl/                       the pre-trained network
<out>/seed-<s>/anet/              ANet and its SVMs
<out>/labels/<share>/<random or sspl>/seed-<s>/<mode>/   trained from a share of the labels
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write
from tinyface.training import BEST

from ..choices import LFWA
from ..commands.options import Options
from ..commands.sources import evaluation_split, find_data
from ..data.layouts import choose_layout, describe, find_layouts, open_dataset, split_sizes
from ..predict import load_segmentation_net, segmentation_file
from ..presets import DEFAULT, find_preset

RECORD = "data.json"


@dataclass
class Job:
    """Everything that a step of the work needs to know.

    data: faces with attributes; seg_data: faces with label maps, else those of `data`; lfwa: LFWA's folder.
    seeds: how many, from 0 on. options: for every training, such as steps, batch_size, workers, device.
    """

    out: Path
    preset: str = DEFAULT
    data: str | None = None
    seg_data: str | None = None
    seg_weights: str | None = None
    lfwa: str | None = None
    seeds: int = 1
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        self.out = Path(self.out)
        self.options = {name: value for name, value in self.options.items() if value is not None}
        self.network = find_preset(self.preset)
        Options.resolve("attributes", {**self.options, "preset": self.preset})
        if self.seeds < 1:
            raise TinyfaceError(f"--seeds must be at least 1, got {self.seeds}")

    @property
    def device(self):
        return self.options.get("device", "cpu")

    @property
    def segmentation_file(self):
        """The file of the segmentation network that predicts regions for the attribute networks."""
        return segmentation_file(self.seg_weights) if self.seg_weights else self.out / "parser" / BEST

    def find_data(self, need_labels, log):
        """Determine the folders of the data, drawing toy faces if none is named; refuse what can't be used.

        Raises TinyfaceError before anything is trained: for a folder that is not a data set, or that has no
        attributes, no label maps where they are needed, or no split to evaluate on.
        """
        self.data = str(find_data(self.data, "attributes", log))
        usable(self.data, "attributes", "--data")
        if need_labels or self.seg_data or has_labels(self.data):
            self.seg_data = str(self.seg_data or self.data)
            usable(self.seg_data, "labels", "--seg-data")
        if self.seg_weights:
            load_segmentation_net(self.segmentation_file)
        if self.lfwa is None and choose_layout(self.data, "attributes").name == LFWA:
            self.lfwa = self.data
        if self.lfwa:
            usable(self.lfwa, "attributes", "--lfwa")
            found = choose_layout(self.lfwa, "attributes").name
            if found != LFWA:
                raise TinyfaceError(f"--lfwa {self.lfwa}: is {found}, not LFWA; give LFWA's folder")

    def remember_data(self):
        """Note in the folder which data its networks learn from.

        Raises TinyfaceError where they have learned from other data: the paths may change, the data must not.
        """
        path, now = self.out / RECORD, {}
        for option, data, need in (
            ("--data", self.data, "attributes"),
            ("--seg-data", self.seg_data, "labels"),
            ("--lfwa", self.lfwa, "attributes"),
        ):
            if data:
                now[option] = describe(data, need)
        try:
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError:
            before = {}
        for option, found in now.items():
            if before.get(option, found) != found:
                raise TinyfaceError(
                    f"{option}: the networks in {self.out} learn from {before[option]}, and this is {found}; "
                    "choose another --out"
                )
        atomic_write(path, json.dumps(before | now, indent=1))

    def given(self, kind, seed, data):
        """The options of one training. It is validated at its end only, so no network is chosen by the
        split that it is evaluated on. kind: which Training of the preset.
        """
        steps = self.options.get("steps") or getattr(self.network, kind).steps
        return {"val_every": steps, **self.options, "preset": self.preset, "seed": seed, "data": str(data)}


def usable(data, need, option):
    """Raises TinyfaceError, naming the option, where data lacks what is needed to train and to evaluate."""
    try:
        for split in ("train", evaluation_split(data, need)):
            open_dataset(data, split, need)
    except TinyfaceError as error:
        raise TinyfaceError(f"{option}: {error}") from None


def has_labels(data):
    """Whether a folder holds faces with label maps."""
    return any("labels" in layout.offers for layout in find_layouts(data))


def described_split(data, need):
    """E.g. "the 300 faces of split test of toyfaces"."""
    split = evaluation_split(data, need)
    return f"the {split_sizes(data, need)[split]} faces of split {split} of {data}"
