import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import ATTRIBUTES, HELEN_TO_REGION, REGIONS
from tinyface.faces.data.layouts import open_dataset
from tinyface.faces.data.toyfaces import (
    ATTRIBUTE_REGIONS,
    MARK,
    NOT_DRAWN,
    RATES,
    are_toyfaces,
    contact_sheet,
    draw_dataset,
    draw_face,
    sample_attributes,
)

HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
LEFT_EYE, RIGHT_EYE, NOSE, LIPS, HAIR = 4, 5, 6, (7, 8, 9), 10


def face(seed, **options):
    return draw_face(np.random.default_rng(seed), **options)


def changed(attributes, **values):
    attributes = attributes.copy()
    for name, value in values.items():
        attributes[ATTRIBUTES.index(name)] = value
    return attributes


@pytest.fixture(scope="module")
def faces():
    return [face(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def samples():
    """Attribute -> bool for each of 4000 faces."""
    drawn = np.array([sample_attributes(np.random.default_rng(seed)) for seed in range(4000)], bool)
    return dict(zip(ATTRIBUTES, drawn.T, strict=True))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "faces"
    draw_dataset(path, train=3, val=2, test=1, seed=5)
    return path


# Attributes.


def test_table_names_every_attribute_once():
    assert set(RATES) | set(NOT_DRAWN) == set(ATTRIBUTES)
    assert set(RATES).isdisjoint(NOT_DRAWN)
    assert {region for regions in ATTRIBUTE_REGIONS.values() for region in regions} <= set(REGIONS)


def test_rates_are_those_of_the_table(samples):
    for name, rate in RATES.items():
        assert samples[name].mean() == pytest.approx(rate, abs=0.03), name
        assert 0 < samples[name][:400].mean() < 1
    assert not any(samples[name].any() for name in NOT_DRAWN)


def test_attributes_follow_the_rules(samples):
    s = samples
    for name in ("5_o_Clock_Shadow", "Bald", "Goatee", "Mustache", "Sideburns", "Wearing_Necktie"):
        assert not (s[name] & ~s["Male"]).any()
    for name in ("Heavy_Makeup", "Wearing_Lipstick"):
        assert not (s[name] & s["Male"]).any()
    for one, other in (
        ("Chubby", "Oval_Face"),
        ("Big_Nose", "Pointy_Nose"),
        ("Wearing_Necklace", "Wearing_Necktie"),
        ("Bangs", "Receding_Hairline"),
        ("Bald", "Sideburns"),
    ):
        assert not (s[one] & s[other]).any()
    for name in ("Bald", "Bangs", "Receding_Hairline"):
        assert not (s[name] & s["Wearing_Hat"]).any()
    beard = s["5_o_Clock_Shadow"] | s["Goatee"] | s["Mustache"] | s["Sideburns"]
    np.testing.assert_array_equal(s["No_Beard"], ~beard)

    colours = sum(s[name].astype(int) for name in HAIR_COLOURS)
    assert colours.max() == 1 and colours[s["Bald"]].max() == 0
    np.testing.assert_array_equal(s["Straight_Hair"].astype(int) + s["Wavy_Hair"], ~s["Bald"])


# One face.


def test_same_seed_same_face():
    one, again, other = face(3), face(3), face(4)
    assert one.image.tobytes() == again.image.tobytes()
    assert one.labels.tobytes() == again.labels.tobytes()
    np.testing.assert_array_equal(one.landmarks, again.landmarks)
    assert one.image.tobytes() != other.image.tobytes()


def test_shapes(faces):
    for f in faces:
        assert f.image.shape == (218, 178, 3) and f.image.dtype == np.uint8
        assert f.labels.shape == (218, 178) and f.labels.dtype == np.uint8 and f.labels.max() <= 10
        assert f.attributes.shape == (40,) and f.landmarks.shape == (5, 2)
    half = face(0, size=(109, 89))
    assert half.image.shape == (109, 89, 3) and half.labels.shape == (109, 89)
    np.testing.assert_allclose(half.landmarks * 2, face(0).landmarks, atol=1)


def test_every_region_is_there(faces):
    regions = np.array([np.bincount(HELEN_TO_REGION[f.labels].ravel(), minlength=7) for f in faces])
    hair = REGIONS.index("hair")
    bald = np.array([f.attributes[ATTRIBUTES.index("Bald")] for f in faces], bool)
    assert bald.any()
    assert (regions[bald, hair] == 0).all() and (regions[~bald, hair] > 300).all()
    others = np.delete(regions, hair, axis=1)
    assert others.min() > 60
    for label in (2, 3, 4, 5, 6, 7, 9):
        assert all((f.labels == label).any() for f in faces)
    shown = [ATTRIBUTES.index(name) for name in ("Mouth_Slightly_Open", "Smiling")]
    for f in faces:  # the inner mouth shows if and only if the mouth is open or its teeth show
        assert (f.labels == 8).any() == f.attributes[shown].any()


def test_landmarks_lie_on_their_parts(faces):
    for f in faces:
        at = [f.labels[round(y), round(x)] for x, y in f.landmarks[:3]]
        assert at == [LEFT_EYE, RIGHT_EYE, NOSE]
        for x, y in f.landmarks[3:]:
            x, y = round(x), round(y)
            assert np.isin(f.labels[y - 2 : y + 3, x - 2 : x + 3], LIPS).any()
        left_eye, right_eye, _, left_mouth, right_mouth = f.landmarks[:, 0]
        assert left_eye < right_eye and left_mouth < right_mouth


def test_given_attributes_are_drawn():
    wanted = changed(sample_attributes(np.random.default_rng(0)), Bald=1, Male=1, Wearing_Hat=0)
    bald = face(0, attributes=wanted)
    np.testing.assert_array_equal(bald.attributes, wanted)
    assert not (bald.labels == HAIR).any()


# Without these every other attribute can be switched on and be seen.
HIDING = (
    "Bald",
    "Wavy_Hair",
    "Wearing_Hat",
    "Bangs",
    "Receding_Hairline",
    "Blurry",
    "Big_Nose",
    "Wearing_Necktie",
)


# (Straight_Hair is drawn unless there is Wavy_Hair.)
@pytest.mark.parametrize("name", sorted(set(ATTRIBUTE_REGIONS) - {"Straight_Hair"}))
def test_attribute_shows_in_its_regions(name):
    """Switched on or off, it changes many pixels, and most of them lie in its regions before or after."""
    wanted = [REGIONS.index(region) for region in ATTRIBUTE_REGIONS[name]]
    inside = total = 0
    for seed in range(4):
        plain = changed(
            sample_attributes(np.random.default_rng(seed)), **dict.fromkeys(HIDING + HAIR_COLOURS, 0)
        )
        pair = [face(seed, attributes=changed(plain, **{name: value})) for value in (0, 1)]
        difference = np.abs(pair[0].image.astype(int) - pair[1].image).max(axis=2) > 20
        assert difference.sum() > 60
        ours = np.any([np.isin(HELEN_TO_REGION[f.labels], wanted) for f in pair], axis=0)
        inside, total = inside + (difference & ours).sum(), total + difference.sum()
    assert inside > 0.5 * total


# A data set.


def files(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_same_seed_same_files(dataset, tmp_path):
    draw_dataset(tmp_path / "again", train=3, val=2, test=1, seed=5)
    assert files(tmp_path / "again") == files(dataset)
    draw_dataset(tmp_path / "other", train=3, val=2, test=1, seed=6)
    photo = "celeba/Img/img_align_celeba/000001.jpg"
    assert (tmp_path / "other" / photo).read_bytes() != (dataset / photo).read_bytes()


def test_a_face_depends_on_seed_and_number_alone(dataset, tmp_path):
    draw_dataset(tmp_path / "fewer", train=1, val=1, test=0, seed=5)
    photo = "celeba/Img/img_align_celeba/000002.jpg"
    assert (tmp_path / "fewer" / photo).read_bytes() == (dataset / photo).read_bytes()
    expected = draw_face(np.random.default_rng(np.random.SeedSequence([5, 1])))
    stored = np.asarray(Image.open(dataset / photo), int)
    assert np.abs(stored - expected.image).mean() < 5


def test_celeba_layout(dataset):
    celeba = dataset / "celeba"
    attributes = (celeba / "Anno/list_attr_celeba.txt").read_text().split("\n")
    assert attributes[0] == "6"
    assert attributes[1] == " ".join(ATTRIBUTES) + " "
    first = draw_face(np.random.default_rng(np.random.SeedSequence([5, 0])))
    assert attributes[2].split() == ["000001.jpg", *("1" if a else "-1" for a in first.attributes)]
    assert attributes[2].startswith("000001.jpg ") and attributes[8:] == [""]

    landmarks = (celeba / "Anno/list_landmarks_align_celeba.txt").read_text().split("\n")
    names = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
    assert landmarks[:2] == ["6", names + "leftmouth_x leftmouth_y rightmouth_x rightmouth_y"]
    assert [int(v) for v in landmarks[2].split()[1:]] == np.rint(first.landmarks).astype(int).ravel().tolist()

    partition = (celeba / "Eval/list_eval_partition.txt").read_text().split("\n")
    assert partition == [
        f"00000{k}.jpg {s}" for k, s in zip(range(1, 7), (0, 0, 0, 1, 1, 2), strict=True)
    ] + [""]
    assert Image.open(celeba / "Img/img_align_celeba/000006.jpg").size == (178, 218)


def test_helen_layout(dataset):
    helen = dataset / "helen"
    assert (helen / "exemplars.txt").read_text() == "1 , 000001\n2 , 000002\n3 , 000003\n"
    assert (helen / "tuning.txt").read_text() == "1 , 000004\n2 , 000005\n"
    assert (helen / "testing.txt").read_text() == "1 , 000006\n"
    maps = [Image.open(helen / f"labels/000002/000002_lbl{index:02d}.png") for index in range(11)]
    assert {m.mode for m in maps} == {"L"}
    stack = np.stack([np.asarray(m) for m in maps])
    assert set(np.unique(stack)) == {0, 255} and (stack.sum(0, dtype=int) == 255).all()
    expected = draw_face(np.random.default_rng(np.random.SeedSequence([5, 1])))
    np.testing.assert_array_equal(stack.argmax(0), expected.labels)
    assert files(helen / "images") == files(dataset / "celeba/Img/img_align_celeba")


def test_the_loaders_read_both(dataset):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        assert len(open_dataset(dataset, split, "attributes")) == count
        assert len(open_dataset(dataset, split, "labels")) == count


def test_both_layouts_have_the_mark_of_what_was_drawn(dataset, tmp_path):
    assert are_toyfaces(dataset / "celeba") and are_toyfaces(dataset / "helen")
    assert not are_toyfaces(dataset)
    assert "drawn by tinyface" in (dataset / "helen" / MARK).read_text()
    (tmp_path / "helen").mkdir()
    assert not are_toyfaces(tmp_path / "helen")
    (tmp_path / "celeba").mkdir()
    (tmp_path / "celeba" / MARK).touch()
    assert are_toyfaces(tmp_path / "helen")  # as drawn when only celeba/ had the mark
    (tmp_path / "mine").mkdir()
    assert not are_toyfaces(tmp_path / "mine")


def test_only_some_are_labelled(tmp_path):
    reports = []
    draw_dataset(
        tmp_path / "toy", 3, 1, 1, labelled=1, report=lambda done, total: reports.append((done, total))
    )
    helen = tmp_path / "toy/helen"
    assert (helen / "exemplars.txt").read_text() == "1 , 000001\n"
    assert sorted(p.name for p in (helen / "labels").iterdir()) == ["000001", "000004", "000005"]
    assert sorted(p.stem for p in (helen / "images").iterdir()) == ["000001", "000004", "000005"]
    assert reports == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_broken_off_drawing_leaves_nothing(tmp_path, error):
    def report(done, total):
        assert not (tmp_path / "toy").exists()
        if done == 2:
            raise error

    with pytest.raises(error):
        draw_dataset(tmp_path / "toy", 2, 1, 1, report=report)
    assert list(tmp_path.iterdir()) == []


def test_never_overwrites(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine.txt").write_text("keep")
    with pytest.raises(TinyfaceError, match="toy: exists already") as error:
        draw_dataset(tmp_path / "toy", 1, 0, 0)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == {"toy/mine.txt": b"keep"}
    (tmp_path / "empty").mkdir()
    draw_dataset(tmp_path / "empty", 1, 0, 0)
    assert (tmp_path / "empty/helen/exemplars.txt").exists()


def test_bad_numbers_and_places(tmp_path):
    with pytest.raises(TinyfaceError, match="0 or more"):
        draw_dataset(tmp_path / "toy", -1, 0, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(TinyfaceError, match="cannot write"):
        draw_dataset(tmp_path / "file" / "toy", 1, 0, 0)


def test_contact_sheet(faces):
    plain = contact_sheet(faces[:5], columns=3)
    assert plain.size == (3 * 182 + 4, 2 * 222 + 4)
    overlay = np.asarray(contact_sheet(faces[:5], columns=3, overlay=True))
    background = faces[0].labels == 0
    first = overlay[4:222, 4:182]
    np.testing.assert_array_equal(first[background], faces[0].image[background])
    assert (first[~background] != faces[0].image[~background]).any(axis=1).mean() > 0.95
