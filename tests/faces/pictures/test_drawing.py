import os

import numpy as np
import pytest
from PIL import Image, ImageFont

from tinyface.errors import TinyfaceError
from tinyface.faces.pictures import drawing


def test_polyline_is_a_smooth_line_from_point_to_point():
    image, _ = drawing.canvas(60, 40)
    drawing.polyline(image, [(10, 20), (50, 20)], (0, 0, 0), 4)
    dark = 255 - np.asarray(image, float)[..., 0]
    assert dark[20, 12:48].min() == 255 and dark[:, :8].max() == 0 and dark[:, 53:].max() == 0
    np.testing.assert_allclose(dark[:, 30].sum() / 255, 4, atol=0.5)  # as thick as asked for
    middle = [np.average(np.arange(n) + 0.5, weights=dark.sum(axis=axis)) for axis, n in ((0, 60), (1, 40))]
    np.testing.assert_allclose(middle, [30, 20], atol=0.3)
    drawing.polyline(image, [(10, 20), (50, 20)], (255, 0, 0), 1, dots=5)
    assert image.getpixel((10, 16)) == image.getpixel((50, 24)) == (255, 0, 0)


def test_polyline_may_leave_the_picture():
    image, _ = drawing.canvas(20, 10)
    drawing.polyline(image, [(-30, 5), (300, 5)], (0, 0, 0), 2)
    drawing.polyline(image, [(-30, -30), (-20, -30)], (0, 0, 0), 2, dots=2)
    assert (np.asarray(image)[5] == 0).all() and (np.asarray(image)[0] == 255).all()


def test_a_panel_places_its_corners():
    panel = drawing.Panel((10, 20, 110, 220), [0, 40], [0.2, 0.8])
    assert panel.place(0, panel.low) == (10, 220) and panel.place(40, panel.high) == (110, 20)
    assert panel.low <= 0.2 and panel.high >= 0.8
    alone = drawing.Panel((10, 20, 110, 220), [7], [0.5])
    x, y = alone.place(7, 0.5)
    assert x == 10 and 20 <= y <= 220


def test_the_font_has_what_drawable_leaves():
    """An unknown sign is drawn as the box that stands for all of them."""
    unknown = drawing.font_of(20).getmask("\u4e00").getbbox(), bytes(drawing.font_of(20).getmask("\u4e00"))
    for sign in "–—−‑":
        shown = drawing.font_of(20).getmask(drawing.drawable(sign))
        assert (shown.getbbox(), bytes(shown)) != unknown
    assert drawing.drawable("SSP–SSG") == "SSP-SSG" and isinstance(drawing.font_of(9), ImageFont.FreeTypeFont)


def test_ticks_are_round_and_cover_the_values():
    np.testing.assert_allclose(drawing.ticks(0.13, 0.88), [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(drawing.ticks(0, 40_000), [0, 10_000, 20_000, 30_000, 40_000])
    assert len(drawing.ticks(3, 3)) == 2


def test_save_png_replaces_whole_files_only(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    drawing.save_png(Image.new("RGB", (3, 2), (1, 2, 3)), path)
    before = path.read_bytes()

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(TinyfaceError, match=r"a\.png: cannot be written \(No space left on device\)"):
        drawing.save_png(Image.new("RGB", (9, 9)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_save_png_round_trip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    drawing.save_png(Image.fromarray(image), str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as written:
        np.testing.assert_array_equal(np.asarray(written), image)


def test_save_png_says_where_it_cannot_write(tmp_path):
    image = Image.new("RGB", (1, 1))
    (tmp_path / "file").write_text("")
    for path in tmp_path / "missing" / "a.png", tmp_path / "file" / "a.png", tmp_path:
        with pytest.raises(TinyfaceError, match=r"cannot be written .* choose another place") as error:
            drawing.save_png(image, path)
        assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))
