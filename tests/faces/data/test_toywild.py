import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data import toywild
from tinyface.faces.data.dataset import ATTRIBUTES
from tinyface.faces.data.layouts import describe, open_dataset
from tinyface.faces.data.toyfaces import are_toyfaces, paint_person
from tinyface.faces.data.toywild import CHANGING, draw_background, draw_dataset, draw_photo


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("wild") / "photos"
    draw_dataset(path, train=5, val=2, test=1, seed=3, per_person=2)
    return path


def test_the_box_surrounds_the_face():
    for person in range(30):
        photo = draw_photo(0, person, 0)
        x, y, w, h = photo.box
        assert x > -1e-6 and y > -1e-6 and x + w < 160 + 1e-6 and y + h < 160 + 1e-6
        assert 0.24 * 160 < h < 0.66 * 160 and 0.5 < w / h < 1.05
        eyes_nose_mouth = photo.landmarks
        assert (eyes_nose_mouth > (x, y)).all() and (eyes_nose_mouth < (x + w, y + h)).all()
        assert (
            abs(photo.landmarks[:2, 1].mean() - (y + 0.49 * h)) < 0.1 * h
        )  # the eyes are in the middle of a head


def test_faces_are_at_any_place_and_scale():
    boxes = np.array([draw_photo(1, person, 0).box for person in range(60)])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert (centres.min(axis=0) < 50).all() and (centres.max(axis=0) > 115).all()
    assert boxes[:, 3].max() > 2 * boxes[:, 3].min()


def test_the_face_is_drawn_where_the_box_is():
    """A portrait differs from its own clutter in the box."""
    photo = draw_photo(0, 7, 0, (160, 160))
    x, y, w, h = np.rint(photo.box).astype(int)
    face = photo.image[y : y + h, x : x + w].astype(int)
    assert face.shape[0] > 30
    # A head is upright and symmetric far more than clutter is.
    mirrored = np.abs(face - face[:, ::-1]).mean()
    shifted = photo.image[:, ::-1][y : y + h, x : x + w].astype(int)
    assert mirrored < 0.8 * np.abs(face - shifted).mean()


def test_a_person_stays_the_same():
    photos = [draw_photo(2, 5, number) for number in range(12)]
    lasting = [i for i, name in enumerate(ATTRIBUTES) if name not in CHANGING]
    for photo in photos[1:]:
        np.testing.assert_array_equal(photo.attributes[lasting], photos[0].attributes[lasting])
    varying = np.array([photo.attributes for photo in photos]).std(axis=0)
    assert varying[[ATTRIBUTES.index(name) for name in ("Smiling", "Mouth_Slightly_Open")]].all()
    others = np.array([draw_photo(2, person, 0).attributes for person in range(12)])
    assert (others.std(axis=0) > 0).sum() > 20


def test_eyes_and_hair_are_drawn_alike_in_all_photos_of_a_person(monkeypatch):
    seen = []

    def paint(easel, has, look, chances):
        seen.append(
            {part: rng.integers(2**40) for part, rng in chances.items()} | {"skin": look.skin.tolist()}
        )
        return paint_person(easel, has, look, chances)

    monkeypatch.setattr(toywild, "paint_person", paint)
    for number in range(2):
        draw_photo(2, 5, number)
    same = {name for name in seen[0] if seen[0][name] == seen[1][name]}
    assert same == {"eyes", "hair", "glasses", "hat", "skin"}


def test_a_photo_depends_on_its_numbers_alone():
    once, again = draw_photo(0, 1, 2), draw_photo(0, 1, 2)
    np.testing.assert_array_equal(once.image, again.image)
    for other in (draw_photo(1, 1, 2), draw_photo(0, 2, 2), draw_photo(0, 1, 3)):
        assert (other.image != once.image).any()
    np.testing.assert_array_equal(draw_background(0, 1), draw_background(0, 1))
    assert (draw_background(0, 1) != draw_background(0, 2)).any()


def test_lies_as_celebas_original_images(dataset):
    assert describe(dataset) == "CelebA (txt, original images): 5 train, 2 val, 1 test"
    anno = dataset / "celeba/Anno"
    assert (anno / "list_bbox_celeba.txt").read_text().split("\n")[:2] == [
        "8",
        "image_id x_1 y_1 width height",
    ]
    train = open_dataset(dataset, "train", "attributes")
    photo = draw_photo(3, 2, 1)  # persons are counted from 1, and the first has photos 0 and 1
    np.testing.assert_array_equal(train.attributes[3], photo.attributes)
    np.testing.assert_allclose(train.boxes[3], photo.box, atol=0.51)
    np.testing.assert_allclose(train.landmarks[3], photo.landmarks, atol=0.51)
    assert (
        np.abs(train.image(3, (160, 160)).astype(int) - photo.image).mean() < 8
    )  # JPEG; others differ by 50
    assert train.identities.tolist() == [1, 1, 2, 2, 3]
    assert open_dataset(dataset, "val", "attributes").identities.tolist() == [4, 4]  # nobody is in two splits
    for split, count in (("train", 5), ("val", 2), ("test", 1)):
        assert len(list((dataset / "backgrounds" / split).glob("*.jpg"))) == count
    background = np.asarray(Image.open(dataset / "backgrounds/val/000006.jpg")).astype(int)
    assert np.abs(background - draw_background(3, 5)).mean() < 8


def test_it_has_the_mark_of_what_was_drawn(dataset):
    assert are_toyfaces(dataset / "celeba")


def test_refuses_bad_numbers_and_used_folders(dataset, tmp_path):
    with pytest.raises(TinyfaceError, match="0 or more"):
        draw_dataset(tmp_path / "wild", -1, 0, 0)
    with pytest.raises(TinyfaceError, match="1 photo"):
        draw_dataset(tmp_path / "wild", 1, 0, 0, per_person=0)
    with pytest.raises(TinyfaceError, match="exists already"):
        draw_dataset(dataset, 1, 0, 0)
    assert list(tmp_path.iterdir()) == []
