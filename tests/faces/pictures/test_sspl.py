import numpy as np
import pytest

from tinyface.faces.data.patches import square_slices
from tinyface.faces.pictures.drawing import ACCENT
from tinyface.faces.pictures.sspl import ZOOM, describe, framed, pretext_sheet

SIZE = (60, 50)


def faces(count):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (count, *SIZE, 3)).astype(np.uint8)
    return images, rng.integers(0, 7, (count, *SIZE)).astype(np.uint8)


@pytest.mark.parametrize("tile", range(9))
def test_the_frame_stands_around_what_was_turned(tile):
    picture = np.asarray(framed(np.zeros((*SIZE, 3), np.uint8), tile))
    rows, columns = square_slices(SIZE)[tile]
    coloured = (picture == ACCENT).all(axis=2)
    where = np.argwhere(coloured)
    assert where.min(axis=0).tolist() == [ZOOM * rows.start, ZOOM * columns.start]
    assert where.max(axis=0).tolist() == [ZOOM * rows.stop - 1, ZOOM * columns.stop - 1]
    assert not coloured[ZOOM * rows.start + 2 : ZOOM * rows.stop - 2, ZOOM * columns.start + 2].any()


def test_nothing_is_framed_where_nothing_was_turned():
    image = faces(1)[0][0]
    np.testing.assert_array_equal(np.asarray(framed(image, -1))[::ZOOM, ::ZOOM], image)


def test_in_words():
    assert describe(0, 1) == "tile 1 by 90°" and describe(8, 3) == "tile 9 by 270°"
    assert describe(-1, 0) == describe(4, 0) == "nothing turned"


def test_a_sheet_grows_with_the_faces_and_shows_what_was_told():
    images, labels = faces(2)
    truth = np.array([3, -1]), np.array([1, 0]), labels
    told = np.array([3, 0]), np.array([2, 0]), labels[:, ::2, ::2]
    sheet, smaller = (pretext_sheet(images[:n], *([a[:n] for a in x] for x in (truth, told))) for n in (2, 1))
    assert sheet.height - smaller.height > ZOOM * SIZE[0] and sheet.width == smaller.width
    other = pretext_sheet(images, truth, (told[0], np.array([1, 0]), told[2]))
    assert sheet.size == other.size and sheet.tobytes() != other.tobytes()
    other = pretext_sheet(images, truth, (told[0], told[1], (told[2] + 1) % 7))
    assert sheet.tobytes() != other.tobytes()


def test_without_any_image():
    with pytest.raises(ValueError, match="at least one image"):
        pretext_sheet([], None, None)
