import os
import shutil
from pathlib import Path

import pytest
from command_runs import SHORT, TINY, as_photos, refused, save, save_segmentation_net, silent

from tinyface import checkpoint, training
from tinyface.faces.commands import trained
from tinyface.faces.commands.anet import find_lnet
from tinyface.faces.commands.attributes import train_attributes
from tinyface.faces.commands.predict import find_anet
from tinyface.faces.commands.segmentation import train_segmentation
from tinyface.faces.commands.sspl import pretrain_sspl
from tinyface.faces.commands.trained import (
    find_pretrained,
    find_segmentation_net,
    is_finished,
    networks_in_runs,
)
from tinyface.faces.models import ANet, AttributeNet, JointNet, LNet, SegmentationNet, SSPLNet
from tinyface.faces.predict import SEGMENTATION_FILE, load_segmentation_net
from tinyface.faces.provenance import DRAWN, PHOTOS, UNKNOWN
from tinyface.faces.wild.localize import LOCALIZER
from tinyface.faces.wild.predictor import SVM


def aged(path, age):
    """The file, last changed at `age`: the larger, the newer."""
    os.utime(path, (age, age))
    return path


def begun(folder, step, steps=3):
    """Leave what a training saves to resume from."""
    state = {"step": step, "options": {"steps": steps}}
    checkpoint.save(folder / training.LAST, checkpoint.Checkpoint(SegmentationNet(1, (19, 15)), {}, state))


# ---------------------------------------------------------------- the segmentation network


def test_the_segmentation_net_named_comes_first(tmp_path):
    save_segmentation_net(Path("runs/seg-tiny/best.h5"), faces=PHOTOS)
    mine, said = save_segmentation_net(tmp_path / "mine.h5", faces=DRAWN), []
    assert find_segmentation_net("mine.h5", TINY.size, said.append, PHOTOS) == Path(mine.name)
    assert said == ["segmentation network: mine.h5, trained on drawn faces only"]


def test_then_the_last_one_trained_for_this_size_then_the_bundled_one(tmp_path):
    said = []

    def find():
        return find_segmentation_net(None, TINY.size, said.append)

    text = refused(find)
    assert text.startswith("--seg-weights: no segmentation network for images of 55×45 found in runs or")
    assert "train-seg" in text

    bundled = save_segmentation_net(trained.DEFAULT_WEIGHTS / SEGMENTATION_FILE, faces=DRAWN)
    assert find() == bundled
    assert said[-1] == f"segmentation network: {bundled}, the bundled one, trained on drawn faces only"

    kept = [
        save_segmentation_net(Path(f"runs/{name}/best.h5")) for name in ("seg-tiny-2", "seg-tiny", "seg-mine")
    ]
    for age, path in enumerate(kept):
        aged(path, 1000 - age)
    assert find() == kept[0]
    assert said[-1] == f"segmentation network: {kept[0]}, the last one trained on data that are not recorded"
    aged(kept[1], 2000)
    assert find() == kept[1]

    aged(save_segmentation_net(Path("runs/seg-small/best.h5"), size=(109, 89)), 3000)
    assert find() == kept[1]
    for path in kept:
        path.unlink()
    assert find() == bundled


def test_the_file_tells_what_is_a_segmentation_net_not_its_folder():
    segmentation_net = aged(save_segmentation_net(Path("runs/helen/best.h5")), 1000)
    aged(save(Path("runs/seg-tiny/best.h5"), AttributeNet(1, "avg", TINY.size)), 2000)
    aged(save(Path("runs/seg-tiny/ssp/best.h5"), AttributeNet(1, "ssp", TINY.size)), 2000)
    assert find_segmentation_net(None, TINY.size, silent) == segmentation_net
    nested = aged(save_segmentation_net(Path("runs/reproduce-tiny/parser/best.h5")), 3000)
    assert find_segmentation_net(None, TINY.size, silent) == nested
    joint = aged(save(Path("runs/both/best.h5"), JointNet(1, TINY.size)), 4000)
    assert find_segmentation_net(None, TINY.size, silent) == joint


def test_files_that_cannot_be_read_are_passed_over():
    segmentation_net, damaged = (
        aged(save_segmentation_net(Path("runs/mine/best.h5")), 1000),
        Path("runs/seg/best.h5"),
    )
    damaged.parent.mkdir()
    for content in (b"", b"no HDF5", segmentation_net.read_bytes()[:3000]):
        damaged.write_bytes(content)
        assert find_segmentation_net(None, TINY.size, silent) == segmentation_net


def test_a_finished_run_comes_before_one_that_is_not():
    finished, other, said = (
        *(save_segmentation_net(Path(f"runs/{name}/best.h5")) for name in ("old", "new")),
        [],
    )
    aged(finished, 1000)
    aged(other, 2000)
    begun(other.parent, step=2)
    begun(finished.parent, step=3)
    assert find_segmentation_net(None, TINY.size, said.append) == finished
    shutil.rmtree(finished.parent)
    assert find_segmentation_net(None, TINY.size, said.append) == other
    assert said[-1].startswith(f"segmentation network: {other}, of a run that is not finished, trained on ")
    (other.parent / training.LAST).write_bytes(b"damaged")
    assert not is_finished(other.parent)
    (other.parent / training.LAST).unlink()
    assert is_finished(other.parent)


@pytest.mark.parametrize(("faces", "others"), [(PHOTOS, DRAWN), (DRAWN, PHOTOS)])
def test_a_segmentation_net_of_other_faces_is_not_taken_unless_it_is_named(faces, others):
    said = []
    fits = aged(save_segmentation_net(Path("runs/fits/best.h5"), faces=faces), 1000)
    other = aged(save_segmentation_net(Path("runs/other/best.h5"), faces=others), 2000)
    assert find_segmentation_net(None, TINY.size, said.append, faces) == fits
    assert find_segmentation_net(None, TINY.size, said.append) == other
    fits.unlink()
    text = refused(find_segmentation_net, None, TINY.size, silent, faces)
    words = {PHOTOS: "photos of people", DRAWN: "drawn faces"}[faces]
    assert text.startswith(
        f"--seg-weights: no segmentation network for images of 55×45 that was trained on {words}, as in this data,"
    )
    assert text.endswith(f"or name its file to take it all the same, such as {other}")
    assert find_segmentation_net(other, TINY.size, silent, faces) == other
    for kind in (UNKNOWN, None):
        save_segmentation_net(other, faces=kind)
        assert find_segmentation_net(None, TINY.size, said.append, faces) == other
    assert said[-1].endswith("the last one trained on data that are not recorded")


def test_nor_is_the_bundled_one():
    bundled = save_segmentation_net(trained.DEFAULT_WEIGHTS / SEGMENTATION_FILE, faces=DRAWN)
    assert find_segmentation_net(None, TINY.size, silent, DRAWN) == bundled
    text = refused(find_segmentation_net, None, TINY.size, silent, PHOTOS)
    assert "that was trained on photos of people, as in this data," in text and text.endswith(
        f"such as {bundled}"
    )


def test_a_bundled_segmentation_net_of_another_size_serves_where_there_is_no_other():
    bundled, said = save_segmentation_net(trained.DEFAULT_WEIGHTS / SEGMENTATION_FILE, size=(109, 89)), []
    assert find_segmentation_net(None, TINY.size, said.append) == bundled
    assert said == [
        f"segmentation network: {bundled}, the bundled one (made for 109×89; one from train-seg would serve "
        "better), trained on data "
        "that are not recorded"
    ]


def test_a_segmentation_net_must_be_one(tmp_path):
    path = tmp_path / "avg.h5"
    checkpoint.save(path, checkpoint.Checkpoint(AttributeNet(1, "avg")))
    text = refused(load_segmentation_net, path)
    assert text.startswith(
        f"{path}: holds an AttributeNet, but a segmentation network (SegmentationNet) is needed;"
    )
    assert refused(load_segmentation_net, tmp_path / "none.h5").startswith(
        f"{tmp_path / 'none.h5'}: no such file"
    )


def test_photos_of_people_are_not_learned_from_with_a_segmentation_net_of_drawn_faces(faces, tmp_path):
    """The way of a user: train-seg on toy faces under any name, then train-attr on photos."""
    photos, said = as_photos(faces, tmp_path / "photos"), []
    train_segmentation({**SHORT, "data": faces}, "runs/helen", log=silent)
    for command, modes in ((train_attributes, [["ssp"]]), (pretrain_sspl, [])):
        text = refused(command, *modes, {**SHORT, "data": photos}, log=silent)
        assert text.startswith("--seg-weights: no segmentation network") and text.endswith(
            f"such as {Path('runs/helen/best.h5')}"
        )
    assert os.listdir("runs") == ["helen"]

    train_segmentation({**SHORT, "data": photos}, "runs/mine", log=silent)
    aged(Path("runs/mine/best.h5"), 1000)
    folder = train_attributes(["ssp"], {**SHORT, "data": photos}, log=said.append)
    assert (folder / SEGMENTATION_FILE).read_bytes() == Path("runs/mine/best.h5").read_bytes()
    assert (
        f"segmentation network: {Path('runs/mine/best.h5')}, the last one trained on photos of people (Helen in photos)"
        in said
    )


# ---------------------------------------------------------------- other networks


def test_a_pretrained_network_of_other_faces_is_not_taken_unless_it_is_named(tmp_path):
    said = []

    def find(faces, named=None):
        return find_pretrained(named, tmp_path / "none", ["avg"], TINY, False, said.append, faces)

    fits, other = (
        aged(save(Path(f"runs/{kind}/best.h5"), SSPLNet("encoder", TINY.width, TINY.size), kind), age)
        for kind, age in ((PHOTOS, 1000), (DRAWN, 2000))
    )
    aged(
        save_segmentation_net(Path("runs/sspl-tiny/best.h5")), 3000
    )  # a segmentation network, whatever its folder is called
    assert find(PHOTOS) == fits and find(DRAWN) == find(None) == other
    fits.unlink()
    text = refused(find, PHOTOS)
    assert text.startswith(
        "--sspl-weights: no pre-trained network of this --preset and --backbone that was trained on photos"
    )
    assert text.endswith(f"such as {other}")
    assert find(PHOTOS, other.parent) == other
    assert said[-1] == f"pre-trained: {other}, trained on drawn faces only"


def lnet_run(name, kind=None, age=1000, *more):
    for stage in ("lnet_o", "lnet_s"):
        aged(save(Path("runs", name, stage, "best.h5"), LNet(1, (48, 48), 2), kind), age)
    for file in (LOCALIZER, *more):
        Path("runs", name, file).parent.mkdir(exist_ok=True)
        Path("runs", name, file).touch()
    return Path("runs", name)


def test_the_run_of_lnet_is_found_under_any_name():
    assert refused(find_lnet, None).startswith("--lnet: no run of train-lnet found in runs; train one")
    old, new = lnet_run("lnet-tiny", PHOTOS, 1000), lnet_run("faces", DRAWN, 2000)
    lnet_run("anet", DRAWN, 3000, "attributes/best.h5")  # has copies of LNet's networks
    lnet_run("early", DRAWN, 3000)
    Path("runs/early", LOCALIZER).unlink()  # not trained to its end
    assert find_lnet(None) == find_lnet(DRAWN) == new and find_lnet(PHOTOS) == old
    shutil.rmtree(old)
    text = refused(find_lnet, PHOTOS)
    assert text.startswith(
        "--lnet: no run of train-lnet that was trained on photos of people, as in this data, found"
    )
    assert f"such as {new}" in text


def test_the_run_of_anet_is_found_under_any_name():
    assert refused(find_anet).startswith("--weights: no run of train-anet found in runs")
    for name, age in (("mine", 1000), ("anet-early", 2000)):
        aged(save(Path("runs", name, "attributes/best.h5"), ANet(2, (56, 56), 4)), age)
    Path("runs/mine", SVM).touch()
    assert find_anet() == Path("runs/mine")


def test_what_lies_deeper_or_elsewhere_is_not_found():
    for place in ("runs/best.h5", "runs/a/b/c/best.h5", "other/a/best.h5", "runs/a/last.h5"):
        save_segmentation_net(Path(place))
    assert networks_in_runs("SegmentationNet") == []
