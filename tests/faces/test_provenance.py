"""What networks say they were trained on: in one line, whatever their files hold."""

import pytest
from command_runs import as_photos, save

from tinyface import __version__, checkpoint
from tinyface.faces import predict, provenance
from tinyface.faces.data.toyfaces import draw_dataset
from tinyface.faces.models import AttributeNet, JointNet, SegmentationNet, SSPLNet
from tinyface.faces.provenance import DRAWN, NOT_RECORDED, PHOTOS, UNKNOWN

SIZE = (19, 15)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "faces"
    draw_dataset(path, train=3, val=2, test=1, seed=1)
    return path


@pytest.fixture
def file(tmp_path):
    """file(name, network, faces=None, **notes): a checkpoint with these notes."""
    return lambda name, network, faces=None, **notes: save(tmp_path / name, network, faces, **notes)


def reader():
    return AttributeNet(1, "ssp", SIZE)


def segmentation_net():
    return SegmentationNet(1, SIZE)


def test_a_record_names_the_data_set_but_not_its_path(faces, file):
    used = file("parser.h5", segmentation_net(), PHOTOS)
    record = provenance.record((faces / "celeba", "attributes"), (faces, "labels"), others=[used])
    splits = {"train": 3, "val": 2, "test": 1}
    assert record == {
        "version": __version__,
        "trained_on": [
            {"faces": DRAWN, "layout": "CelebA", "folder": "celeba", "splits": splits},
            {"faces": DRAWN, "layout": "Helen", "folder": "faces", "splits": splits},
        ],
        "others": {"parser": [{"faces": PHOTOS, "layout": "CelebA", "folder": "my photos"}]},
    }
    assert provenance.kind_of(record) == DRAWN


def test_the_folder_is_named_from_within_it_too(faces, monkeypatch):
    monkeypatch.chdir(faces)
    for path in (".", "celeba/.."):
        assert provenance.record((path, "attributes"))["trained_on"][0]["folder"] == "faces"


def test_photos_are_told_from_drawn_faces(faces, tmp_path):
    photos = as_photos(faces, tmp_path / "photos")
    for need in ("attributes", "labels"):
        assert provenance.kind_of(provenance.record((photos, need))) == PHOTOS


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (DRAWN, "drawn faces only; results on photos of real people mean little"),
        (PHOTOS, "photos of people (CelebA in my photos)"),
        (UNKNOWN, "faces of an unknown kind (CelebA in my unknown)"),
        (None, "data that are not recorded"),
    ],
)
def test_networks_of_one_origin(file, kind, words):
    files = [file("ssp.h5", reader(), kind), file("parser.h5", segmentation_net(), kind)]
    assert provenance.line(files) == f"trained on {words}"
    header = checkpoint.read_header(files[0])
    assert provenance.phrase(header.notes) == f"trained on {words.split(';')[0]}"
    assert provenance.kind_of(header.notes) == (kind or NOT_RECORDED)


def test_networks_of_several_origins_are_told_apart_by_role(file):
    files = [file("ssp.h5", reader(), PHOTOS), file("parser.h5", segmentation_net(), DRAWN)]
    assert provenance.line(files) == (
        "attributes trained on photos of people (CelebA in my photos), segmentation network trained on drawn faces only"
    )


def test_what_a_network_began_with_is_told_though_it_is_not_there(file):
    shown = provenance.record(others=[file("parser.h5", segmentation_net())])["others"]
    begun = file("sspl.h5", SSPLNet("encoder", 1, SIZE), DRAWN, others=shown)
    start = file("start.h5", reader(), DRAWN)
    others = provenance.record(others=[begun, start])["others"]
    assert list(others) == ["pre-trained network", "parser", "attributes"]
    assert provenance.line([file("ssp.h5", reader(), PHOTOS, others=others)]) == (
        "attributes trained on photos of people (CelebA in my photos) and drawn faces, pre-trained network trained on "
        "drawn faces only, segmentation network trained on data that are not recorded"
    )


def test_a_joint_network_of_both_kinds_suits_both(file):
    sets = [{"faces": kind, "layout": "LaPa", "folder": kind} for kind in (DRAWN, PHOTOS)]
    path = file("joint.h5", JointNet(1, SIZE), trained_on=sets)
    assert provenance.line([path]) == "trained on photos of people (LaPa in photos) and drawn faces"
    assert provenance.kind_of(checkpoint.read_header(path).notes) is None
    assert list(provenance.by_role([path])) == ["parser"]


def test_which_kinds_go_together():
    assert not provenance.go_together(DRAWN, PHOTOS) and not provenance.go_together(PHOTOS, DRAWN)
    for kind in (DRAWN, PHOTOS, UNKNOWN, NOT_RECORDED, None):
        assert provenance.go_together(kind, kind)
        assert provenance.go_together(kind, None) and provenance.go_together(UNKNOWN, kind)


def test_a_run_that_goes_on_with_other_data_learned_from_both():
    one, other = ({"trained_on": [{"faces": kind}]} for kind in (DRAWN, PHOTOS))
    both = provenance.resumed(one, {**other, "step": 3})
    assert both == {"trained_on": [{"faces": DRAWN}, {"faces": PHOTOS}], "step": 3}
    assert provenance.resumed(one, one) == one and provenance.resumed({}, one) == one


@pytest.mark.parametrize(
    "value", [3, [], [3], {"faces": DRAWN}, [{"faces": [DRAWN]}], [{"faces": "new"}], "drawn"]
)
def test_notes_that_make_no_sense_are_no_record(file, value):
    path = file("ssp.h5", reader(), trained_on=value, others=value)
    assert provenance.line([path]) == "trained on data that are not recorded"
    assert provenance.kind_of(checkpoint.read_header(path).notes) == NOT_RECORDED
    assert provenance.resumed({"trained_on": value}, {})["trained_on"] == [{"faces": NOT_RECORDED}]


def test_a_folder_of_two_lines_is_told_in_one(file):
    sets = [{"faces": PHOTOS, "layout": "LFWA", "folder": "a\nb"}]
    assert (
        provenance.line([file("ssp.h5", reader(), trained_on=sets)])
        == "trained on photos of people (LFWA in a b)"
    )


def test_the_networks_that_come_along_say_that_they_know_drawn_faces_only():
    files = sorted(predict.DEFAULT_WEIGHTS.glob("*.h5"))
    assert [file.stem for file in files] == ["parser", "ssg", "ssp"]
    for file in files:
        assert provenance.kind_of(checkpoint.read_header(file).notes) == DRAWN
    assert (
        provenance.line(files) == "trained on drawn faces only; results on photos of real people mean little"
    )
