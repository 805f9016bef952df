"""The data sets of training and evaluation."""

from pathlib import Path

from ..data.layouts import describe, split_sizes

TOYFACES = Path("toyfaces")


def find_data(path, need, log):
    """The folder of the data set; without one, toy faces, drawn if they are not there yet. Logs what was found."""
    if path is None:
        path = TOYFACES
        if not path.exists():
            draw_toyfaces(path, log=log)
    log(f"{path}: {describe(path, need)}")
    return path


def draw_toyfaces(path, train=2000, val=300, test=300, seed=0, log=print):
    """Draw a set of toy faces."""
    from ..data.toyfaces import draw_dataset

    total = train + val + test
    log(f"{path}: drawing {total} toy faces")
    draw_dataset(path, train=train, val=val, test=test, seed=seed)


def validation_split(data, need):
    """The name of the split to validate on while training: "val", or None."""
    return "val" if split_sizes(data, need)["val"] else None


def evaluation_split(data, need):
    """ "test" where the data set has one, else "val"."""
    return "test" if split_sizes(data, need)["test"] else "val"


def split_to_evaluate(data, need):
    """As `evaluation_split`, None where the data set has neither."""
    split = evaluation_split(data, need)
    return split if split_sizes(data, need)[split] else None
