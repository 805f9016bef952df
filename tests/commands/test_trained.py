import os
from pathlib import Path

from command_runs import TINY, refused, save_parser, silent

from tinyface import checkpoint
from tinyface.commands import trained
from tinyface.commands.trained import find_parser
from tinyface.models import AttributeNet
from tinyface.predict import PARSER, load_parser


def test_the_parser_named_comes_first(tmp_path):
    save_parser(Path("runs/seg-tiny/best.h5"))
    assert find_parser("mine.h5", TINY.size, silent) == Path("mine.h5")


def test_then_the_last_one_trained_for_this_size_then_the_shipped_one(tmp_path):
    said = []

    def find():
        return find_parser(None, TINY.size, said.append)

    text = refused(find)
    assert text.startswith("--seg-weights: no parser for images of 55×45 found") and "train-seg" in text

    shipped = save_parser(trained.DEFAULT_WEIGHTS / PARSER)
    assert find() == shipped
    assert said[-1] == f"parser: {shipped}, the shipped one"

    kept = [save_parser(Path(f"runs/{name}/best.h5")) for name in ("seg-tiny-2", "seg-tiny", "seg-mine")]
    for age, path in enumerate(kept):
        os.utime(path, (1000 - age, 1000 - age))
    assert find() == kept[0]
    assert said[-1] == f"parser: {kept[0]}, the last one trained"
    os.utime(kept[1], (2000, 2000))
    assert find() == kept[1]

    newest = save_parser(Path("runs/seg-small/best.h5"), size=(109, 89))
    os.utime(newest, (3000, 3000))
    assert find() == kept[1]
    for path in kept:
        path.unlink()
    assert find() == shipped


def test_a_shipped_parser_of_another_size_serves_where_there_is_no_other():
    shipped, said = save_parser(trained.DEFAULT_WEIGHTS / PARSER, size=(109, 89)), []
    assert find_parser(None, TINY.size, said.append) == shipped
    assert said == [
        f"parser: {shipped}, the shipped one (made for 109×89; one from train-seg would serve better)"
    ]


def test_a_parser_must_be_one(tmp_path):
    path = tmp_path / "avg.h5"
    checkpoint.save(path, checkpoint.Checkpoint(AttributeNet(1, "avg")))
    text = refused(load_parser, path)
    assert text.startswith(f"{path}: holds an AttributeNet, but a parser (SegmentationNet) is needed;")
    assert refused(load_parser, tmp_path / "none.h5").startswith(f"{tmp_path / 'none.h5'}: no such file")
