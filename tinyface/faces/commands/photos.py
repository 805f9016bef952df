"""The photos that LNet and ANet learn from: tagged ones, and ones without a face."""

from pathlib import Path

import numpy as np

from tinyface.errors import TinyfaceError

from ..data.crops import cropped, with_backgrounds
from ..data.dataset import SPLITS
from ..data.layouts import choose_layout, open_dataset
from ..predict import PHOTO_SUFFIXES
from .sources import find_data, validation_split


def find_wild(path, log):
    """The folder of the photos; without one, toy photos, drawn if they are not there yet. Logs what was found."""
    from ..data import toywild

    if path is None:
        path = Path("toywild")
        if not path.exists():
            log(f"{path}: drawing 2600 toy photos, and as many without a face")
            toywild.draw_dataset(path)
    return find_data(path, "attributes", log)


def find_backgrounds(data, folder, log):
    """{split: files of photos without a face}. Raises TinyfaceError where a folder that is named has none.

    A folder has sub-folders train, val and test, or else images that are dealt out to these 3 : 1 : 1.
    """
    root = choose_layout(data, "attributes").root
    places = [Path(folder)] if folder else [root / "backgrounds", root.parent / "backgrounds"]
    place = next((place for place in places if place.is_dir()), None)
    if place is None and folder:
        raise TinyfaceError(f"--backgrounds {folder}: no such folder; name one with photos without a face")

    def images(path):
        inside = path.iterdir() if path.is_dir() else ()
        return sorted(p for p in inside if p.suffix.lower() in PHOTO_SUFFIXES and p.name[0] != ".")

    found = {split: images(place / split) if place else [] for split in SPLITS}
    if place and not any(found.values()):
        flat = images(place)
        deal = np.arange(len(flat)) % 5
        parts = {"train": deal < 3, "val": deal == 3, "test": deal == 4}
        found = {split: [flat[i] for i in np.flatnonzero(part)] for split, part in parts.items()}
    if folder and not any(found.values()):
        raise TinyfaceError(f"--backgrounds {folder}: no images there, nor in train/, val/ and test/ in it")
    counts = ", ".join(f"{len(found[split])} {split}" for split in SPLITS)
    log(
        f"{place}: photos without a face: {counts}"
        if place
        else "no photos without a face, so every photo will be taken to have one; name some by --backgrounds"
    )
    return found


def photos_of(data, split, backgrounds):
    """The photos of a split with those without a face behind them; None where the split does not exist."""
    if split == "val" and not validation_split(data, "attributes"):
        return None
    return with_backgrounds(open_dataset(data, split, "attributes"), backgrounds[split])


def shoulders_of(localizer, dataset):
    """The regions of head and shoulders in a data set's photos, as a data set."""
    if dataset is None:
        return None
    return cropped(dataset, np.stack(list(localizer.shoulders(dataset.images))))
