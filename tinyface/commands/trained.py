"""Networks trained earlier that a command makes use of: the parser, and what training begins with."""

from pathlib import Path

from .. import train
from ..errors import TinyfaceError
from ..models.resnet import RESNET
from ..predict import DEFAULT_WEIGHTS, PARSER, load_parser, load_pretrained, parser_file
from .folders import RUNS


def find_parser(seg_weights, size, say):
    """The parser's file: the one named; else the last one trained for this image size; else the shipped one."""
    if seg_weights is not None:
        return parser_file(seg_weights)
    for path in newest(f"seg*/{train.BEST}"):
        if tuple(load_parser(path).config["size"]) == tuple(size):
            say(f"parser: {path}, the last one trained")
            return path
    shipped = DEFAULT_WEIGHTS / PARSER
    if not shipped.exists():
        raise TinyfaceError(
            f"--seg-weights: no parser for images of {size[0]}×{size[1]} found in {RUNS}/seg* or {DEFAULT_WEIGHTS}; "
            "train one with train-seg and the same --preset, or name its file"
        )
    h, w = load_parser(shipped).config["size"]
    made_for = "" if (h, w) == tuple(size) else f" (made for {h}×{w}; one from train-seg would serve better)"
    say(f"parser: {shipped}, the shipped one{made_for}")
    return shipped


def same_parser(seg_weights, kept, resume):
    """`kept`, the parser in the folder of a run, where that is resumed; else None.

    Raises TinyfaceError where another one is named.
    """
    if not (resume and kept.exists()):
        return None
    if seg_weights is not None and not same_content(parser_file(seg_weights), kept):
        raise TinyfaceError(
            f"--seg-weights {seg_weights}: the run to be resumed was started with another parser, {kept}; "
            "leave the option out"
        )
    return kept


def find_pretrained(named, kept, modes, preset, resume, say):
    """The file for --init sspl: the one named; else the one that the resumed run began with; else the last one that
    pretrain-sspl made for this backbone and preset. Raises TinyfaceError where there is none, or another than `kept`.
    """
    backbone = RESNET if RESNET in modes else "encoder"
    if named is not None:
        named = Path(named) / train.BEST if Path(named).is_dir() else Path(named)
        config = load_pretrained(named).config
        if (config["backbone"], config["width"]) != (backbone, preset.width):
            raise TinyfaceError(
                f"--sspl-weights {named}: holds the backbone {config['backbone']} of width {config['width']}, but "
                f"{backbone} of width {preset.width} is needed; give one made with the same --preset and --backbone"
            )
        if resume and kept.exists() and not same_content(named, kept):
            raise TinyfaceError(
                f"--sspl-weights {named}: the run to be resumed was started with others, {kept}; leave the option out"
            )
        return named
    if resume and kept.exists():
        return kept
    wanted = backbone, preset.width, tuple(preset.size)
    for path in newest(f"sspl*/{train.BEST}"):
        config = load_pretrained(path).config
        if (config["backbone"], config["width"], tuple(config["size"])) == wanted:
            say(f"pre-trained: {path}, the last one that fits")
            return path
    raise TinyfaceError(
        f"--sspl-weights: no pre-trained network that fits found in {RUNS}/sspl*; make one with pretrain-sspl and the "
        "same --preset and --backbone, or name its file"
    )


def begin_with(network, trained, init):
    """--init parser or sspl. Raises TinyfaceError where the trained network does not fit."""
    try:
        network.begin_with(trained)
    except ValueError as error:
        raise TinyfaceError(f"--init {init}: {error}; give a {init} of the same --preset") from None


def same_content(path, other):
    """Whether two files hold the same bytes; a file that is not there has none."""
    return path.is_file() and path.read_bytes() == other.read_bytes()


def newest(pattern):
    """The files in runs/ that fit a pattern, the one changed last first."""
    return sorted(RUNS.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)


def newest_run(pattern):
    """The folder of the newest file in runs/ that fits a pattern, or None."""
    found = newest(pattern)
    return found[0].parent if found else None
