import warnings

import numpy as np
import pytest
from PIL import Image

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.faces.data.transforms import (
    flipped_input_on_gpu,
    horizontal_flip,
    image_size,
    read_image,
    read_label_image,
    read_mask,
    require_same_size,
    resize_labels,
    to_network_input,
)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)


def test_read_image_gives_rgb_rows_first(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)
    assert read_image(tmp_path / "a.png", (6, 5)).shape == (6, 5, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_read_image_turns_every_mode_to_rgb(tmp_path, pixels, mode):
    path = tmp_path / "a.tiff"
    Image.fromarray(pixels).convert(mode).save(path)
    image = read_image(path, (12, 8))
    assert image.shape == (12, 8, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_16_bit_grey_is_not_clipped_to_white(tmp_path, pixels, mode):
    grey = pixels[..., 0]
    deep = (
        Image.fromarray(grey.astype(np.int32) * 257)
        if mode == "I"
        else Image.fromarray(grey.astype(np.uint16) * 257)
    )
    path = tmp_path / "a.tif"
    (
        deep if mode != "I;16B" else Image.frombytes("I;16B", deep.size, (grey.astype(">u2") * 257).tobytes())
    ).save(path)
    np.testing.assert_array_equal(read_image(path), np.stack([grey] * 3, axis=2))


def test_32_bit_grey_with_small_numbers_is_taken_as_it_is(tmp_path, pixels):
    Image.fromarray(pixels[..., 0].astype(np.int32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 1], pixels[..., 0])


def test_floating_point_pixels_are_refused(tmp_path, pixels):
    Image.fromarray(pixels[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(TinyfaceError, match=r"a\.tif: its pixels are floating-point numbers; save it"):
        read_image(tmp_path / "a.tif")


def test_what_is_transparent_becomes_white(tmp_path, pixels):
    alpha = np.full((12, 8), 255, np.uint8)
    alpha[:3], alpha[3] = 0, 128
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "rgba.png")
    got = read_image(tmp_path / "rgba.png").astype(int)
    assert (got[:3] == 255).all()
    np.testing.assert_allclose(got[3], (pixels[3] + 255.0) / 2, atol=1.5)
    np.testing.assert_array_equal(got[4:], pixels[4:])


def test_transparency_of_palette_grey_and_gif(tmp_path):
    ids = np.zeros((4, 4), np.uint8)
    ids[0] = 1
    palette = Image.fromarray(ids).convert("P")
    palette.putdata(ids.ravel().tolist())
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.save(tmp_path / "one.png", transparency=1)
    palette.save(tmp_path / "table.png", transparency=bytes([255, 0]))
    palette.save(tmp_path / "a.gif", transparency=1)
    Image.fromarray(ids).save(tmp_path / "grey.png", transparency=1)
    Image.fromarray(np.dstack([ids + 9, 255 * (ids == 0).astype(np.uint8)])).save(tmp_path / "la.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("one.png", "table.png", "a.gif", "grey.png", "la.png"):
            got = read_image(tmp_path / name)
            assert (got[0] == 255).all() and (got[1:] < 40).all(), name


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_picture(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 12), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert np.abs(read_image(path).astype(int) - (255, 0, 0)).max() < 5


def test_shrinking_averages_instead_of_picking(tmp_path):
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    assert abs(read_image(tmp_path / "a.png", (8, 8)).astype(int) - 127).max() < 30


@pytest.mark.parametrize("size", [(24, 20), (100, 90)])
def test_a_large_jpeg_shrinks_to_nearly_the_same_as_decoding_it_whole(tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    smooth = Image.fromarray(pixels).resize((512, 512))
    smooth.save(tmp_path / "a.jpg", quality=95, subsampling=0)
    smooth.save(tmp_path / "a.png")
    jpeg, png = (read_image(tmp_path / name, size).astype(int) for name in ("a.jpg", "a.png"))
    assert abs(jpeg - png).max() <= 6


def test_camera_orientation_is_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(pixels, -1))
    assert image_size(tmp_path / "a.png") == (8, 12)


def test_image_size_is_height_width(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert image_size(tmp_path / "a.png") == (12, 8)


def test_bad_image_files_are_named(tmp_path, pixels):
    for suffix in ("jpg", "png"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(np.kron(pixels, np.ones((8, 8, 1), np.uint8))).save(whole)
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(TinyfaceError, match=rf"cut\.{suffix}: damaged, cut short"):
            read_image(cut, (6, 4))
    png = bytearray(whole.read_bytes())
    start = png.index(b"IDAT")
    png[start - 4 : start] = (20).to_bytes(4, "big")  # the chunk now ends early, and this stands for the next
    png[start + 32 : start + 36] = b"\xd7\xd7\xd7\xd7"
    (tmp_path / "chunk.png").write_bytes(png)  # Pillow raises a SyntaxError
    with pytest.raises(TinyfaceError, match=r"chunk\.png: damaged"):
        read_image(tmp_path / "chunk.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(TinyfaceError, match=r"empty\.jpg: is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("this is no image")
    with pytest.raises(TinyfaceError, match=r"text\.jpg: is not an image"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(TinyfaceError, match=r"gone\.jpg: can't be opened"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(TinyfaceError, match="can't be opened"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damage_anywhere_gives_an_image_or_a_tinyface_error(tmp_path, pixels, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        for read in (lambda: read_image(path, (6, 4)), lambda: image_size(path)):
            try:
                read()
            except TinyfaceError as error:
                assert str(path) in str(error) and "\n" not in str(error)


def test_label_images_keep_their_ids(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, (6, 5), dtype=np.uint8)
    Image.fromarray(ids).save(tmp_path / "grey.png")
    palette = Image.fromarray(ids).convert("P")
    palette.putdata(ids.ravel().tolist())
    palette.putpalette([(7 * i) % 256 for i in range(768)])
    palette.save(tmp_path / "palette.png")
    for name in ("grey.png", "palette.png"):
        np.testing.assert_array_equal(read_label_image(tmp_path / name), ids)
    Image.fromarray(np.stack([ids] * 3, axis=2)).save(tmp_path / "colour.png")
    with pytest.raises(TinyfaceError, match=r"colour\.png.*RGB"):
        read_label_image(tmp_path / "colour.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_read_mask(tmp_path, mode):
    mask = np.random.default_rng(0).random((6, 5)) < 0.5
    Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), mask)


def test_resize_labels_repeats_ids_and_mixes_none():
    ids = np.array([[0, 6], [3, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(resize_labels(ids, (4, 6)), ids.repeat(2, axis=0).repeat(3, axis=1))
    assert resize_labels(ids, (2, 2)) is ids


def test_resize_labels_looks_at_the_centre_of_each_pixel():
    labels = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    expected = [[0, 2, 4, 6], [14, 16, 18, 20], [28, 30, 32, 34]]
    np.testing.assert_array_equal(resize_labels(labels, (3, 4)), expected)
    batch = np.stack([labels, labels[::-1]])
    np.testing.assert_array_equal(
        resize_labels(batch, (3, 4)), [expected, resize_labels(labels[::-1], (3, 4))]
    )
    turned = resize_labels(labels[::-1, ::-1], (3, 4))[::-1, ::-1]  # no side is preferred
    np.testing.assert_array_equal(turned, expected)


def test_require_same_size_names_both_files_and_sizes(tmp_path):
    require_same_size(tmp_path / "a.png", (2, 3), tmp_path / "a.jpg", (2, 3))
    with pytest.raises(TinyfaceError, match=r"a\.png: 3x2 pixels.*a\.jpg has 5x4"):
        require_same_size(tmp_path / "a.png", (2, 3), tmp_path / "a.jpg", (4, 5))


def test_to_network_input(pixels):
    images = np.stack([pixels, 255 - pixels])
    got = to_network_input(images)
    assert (
        got.dtype == np.float32
        and got.shape == (2, 3, 12, 8)
        and got.transpose(2, 3, 0, 1).flags["C_CONTIGUOUS"]
    )
    np.testing.assert_allclose(got, images.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
    extremes = to_network_input(np.array([0, 255, 0], dtype=np.uint8).reshape(1, 1, 1, 3))
    assert extremes.ravel().tolist() == [-1, 1, -1]


def test_horizontal_flip_mirrors_only_the_chosen(pixels):
    images = np.stack([pixels, pixels])
    labels = images[..., 0]
    before = images.copy()
    flipped, flipped_labels = horizontal_flip(images, labels, np.array([False, True]))
    np.testing.assert_array_equal(flipped[0], pixels)
    np.testing.assert_array_equal(flipped[1], np.fliplr(pixels))
    np.testing.assert_array_equal(flipped_labels, flipped[..., 0])
    np.testing.assert_array_equal(images, before)
    assert horizontal_flip(images, None, np.array([True, True]))[1] is None


@pytest.mark.gpu
@pytest.mark.parametrize("n, h, w", [(1, 1, 1), (3, 5, 7), (4, 16, 9), (2, 3, 4)])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_gpu_makes_the_same_bits(n, h, w, labelled):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, h, w, 3), np.uint8), rng.integers(0, 7, (n, h, w), np.uint8)
    images.flat[:256] = np.arange(min(256, images.size))  # every value there is
    labels, flips = labels if labelled else None, np.arange(n) % 2 == 1
    wanted, wanted_labels = horizontal_flip(images, labels, flips)
    there = [None if a is None else backend.to_device(a, "cuda") for a in (images, labels, flips)]
    got, got_labels = flipped_input_on_gpu(*there)
    np.testing.assert_array_equal(backend.to_device(got, "cpu"), to_network_input(wanted))
    if labelled:
        np.testing.assert_array_equal(backend.to_device(got_labels, "cpu"), wanted_labels)
    else:
        assert got_labels is None
    straight = to_network_input(there[0])
    assert straight.dtype == np.float32 and straight.flags.c_contiguous
    np.testing.assert_array_equal(backend.to_device(straight, "cpu"), to_network_input(images))


@pytest.mark.gpu
def test_a_gpu_reads_images_of_any_memory_layout(pixels):
    images, flips = np.stack([pixels, 255 - pixels]), np.array([True, False])
    there = backend.to_device(images, "cuda")[::-1, ::-1]
    got, labels = flipped_input_on_gpu(there, there[..., 0], backend.to_device(flips, "cuda")[::-1])
    wanted, wanted_labels = horizontal_flip(images[::-1, ::-1], images[::-1, ::-1, :, 0], flips[::-1])
    np.testing.assert_array_equal(backend.to_device(got, "cpu"), to_network_input(wanted))
    np.testing.assert_array_equal(backend.to_device(labels, "cpu"), wanted_labels)


@pytest.mark.gpu
def test_a_gpu_takes_bytes_alone():
    with pytest.raises(TypeError, match="must be uint8"):
        to_network_input(backend.to_device(np.zeros((1, 2, 2, 3), np.float32), "cuda"))
