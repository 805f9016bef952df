"""Training on a fraction of the labelled images (Shu et al., CVPR 2021): which images, and how long.

Images of the training split at even distances, every hundredth for a share of 0.01, so that the choice is the same for
all networks. Few images are soon overfitted: unless options say otherwise a run makes at most PASSES epochs, with no
larger batch than there are images, and is validated VALIDATIONS times, for the best step may come early. A run that is
shortened so has half the learning rate.
"""

import math

from tinyface.errors import TinyfaceError

PASSES, VALIDATIONS = 100, 12


def check_share(share):
    """Raises TinyfaceError where a share is not a number above 0 and up to 1."""
    if not (math.isfinite(share) and 0 < share <= 1):
        raise TinyfaceError(f"--labels must be a share greater than 0 and no greater than 1, got {share:g}")


def labelled(dataset, share):
    """The part of a FaceDataset that has labels. Raises TinyfaceError where that is less than one image."""
    if share * len(dataset) < 1:
        raise TinyfaceError(
            f"--labels {share:g}: is less than one of the {len(dataset)} faces of {dataset.root}; "
            f"give {1 / len(dataset):.2g} or more"
        )
    count = math.ceil(round(share * len(dataset), 6))
    return dataset.take([math.floor(round(index / share, 6)) for index in range(count)])


def scale_schedule(given, training, share, count):
    """The options in `given`; those that it lacks are scaled to `count` labelled images.

    training: the preset's, which is never exceeded. Raises TinyfaceError where a batch can't be filled.
    """
    if count < 2:
        raise TinyfaceError(
            f"--labels {share:g}: is a single face, and batch normalisation has nothing to compare it with; give more"
        )
    size = given.get("batch_size") or min(training.batch_size, count)
    if size > count:
        raise TinyfaceError(
            f"--batch-size {size}: is more than the {count} labelled faces of --labels {share:g}; give {count} or less"
        )
    steps = given.get("steps") or max(1, min(training.steps, PASSES * count // size))
    shortened = not given.get("steps") and steps < training.steps
    chosen = {
        "batch_size": size,
        "steps": steps,
        "lr": training.lr / 2 if shortened else training.lr,
        "warmup": training.warmup * min(steps, training.steps) // training.steps,
        "val_every": max(1, steps // VALIDATIONS),
    }
    return {**given, **{name: value for name, value in chosen.items() if given.get(name) is None}}
