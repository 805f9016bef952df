"""From image files to the arrays a network takes: decoding, resizing, scaling, flipping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.runtime.cuda import launch, load_kernels

Size = tuple[int, int]  # (height, width) everywhere in tinyface; only Pillow says (width, height)
T = TypeVar("T")


def _with_image(path: Path | str, use: Callable[[Image.Image], T]) -> T:
    """`use(image)` on the opened file; whatever is wrong with the file becomes a TinyfaceError."""
    try:
        with Image.open(path) as image:
            return use(image)
    except TinyfaceError as error:
        raise TinyfaceError(f"{path}: {error}") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise TinyfaceError(f"{path}: can't be opened as an image ({error.strerror})") from None
    except UnidentifiedImageError:
        empty = Path(path).stat().st_size == 0
        what = "is empty (0 bytes)" if empty else "is not an image that Pillow can read"
        raise TinyfaceError(f"{path}: {what}; replace the file or take it out of the data set") from None
    except Exception as error:
        # On damaged files Pillow raises OSError, but SyntaxError, ValueError, TypeError and others as well.
        what = "damaged, cut short or too large"
        raise TinyfaceError(f"{path}: {what} ({error}); replace the file") from error


def read_image(path: Path | str, size: Size | None = None) -> np.ndarray:
    """The image as (height, width, 3) uint8 RGB, resized to `size` (bilinear, antialiased) unless None.

    A camera's orientation tag is applied; what is transparent becomes white; 16-bit grey becomes 8-bit; of an
    animation it is the first picture. Raises TinyfaceError for a file that is missing, empty, cut short or no
    image.
    """

    def decode(image: Image.Image) -> np.ndarray:
        if size is not None:
            # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8: far cheaper. Twice the wanted size
            # remains, for the filter below to smooth.
            image.draft(None, (2 * max(size), 2 * max(size)))
        ImageOps.exif_transpose(image, in_place=True)
        image = _to_rgb(image)
        if size is not None and image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.array(image)

    return _with_image(path, decode)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode. Pillow alone would clip 16 bits to white, and show what lies hidden under alpha 0."""
    if image.mode == "F":
        raise TinyfaceError("its pixels are floating-point numbers; save it with 8 bits per channel")
    if image.mode.startswith("I"):  # 16-bit grey, in a 32-bit mode in older versions of Pillow
        values = np.clip(np.array(image), 0, 2**16 - 1)
        image = Image.fromarray((values >> 8 if values.max() > 255 else values).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def image_size(path: Path | str) -> Size:
    """(height, width) of an image file, from its header alone: as `read_image` without a size returns it."""

    def measure(image: Image.Image) -> Size:
        width, height = image.size
        on_its_side = image.getexif().get(0x0112) in (5, 6, 7, 8)  # the orientation tag: quarter turns
        return (width, height) if on_its_side else (height, width)

    return _with_image(path, measure)


def read_label_image(path: Path | str) -> np.ndarray:
    """The ids of a label file (8-bit grey or palette image) as (height, width) uint8, at the file's size."""

    labels, mode = _with_image(path, lambda image: (np.array(image), image.mode))
    if mode not in ("L", "P"):
        raise TinyfaceError(
            f"{path}: a label map is an 8-bit grey or palette image, this one has mode {mode}"
        )
    return labels


def read_mask(path: Path | str) -> np.ndarray:
    """Where an image file of any mode isn't black, as (height, width) bool."""
    return _with_image(path, lambda image: np.array(image.convert("L")) > 0)


def resize_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Label maps (…, H, W) to `size`: each pixel takes the id that lies at its centre, since ids can't be mixed.

    Pixel i of h takes ⌊(i + ½)·H/h⌋. The top left corner, ⌊i·H/h⌋, would do for doubling a map
    (`ops.upsample_nearest`), but not for bringing labels to a map behind ceil-mode poolings: from 109 rows to
    55, row i has rows 2i and 2i + 1 behind it, and the corner lies in row 2i − 1.
    """
    if labels.shape[-2:] == tuple(size):
        return labels
    xp = backend.get_array_module(labels)  # index arrays made on a GPU need no copy to it
    rows, cols = (
        (2 * xp.arange(out) + 1) * n // (2 * out) for out, n in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], cols]


def require_same_size(label_path: Path, label_size: Size, image_path: Path, image_size: Size) -> None:
    """Raise TinyfaceError unless a label map has the (height, width) of its image."""
    if tuple(label_size) != tuple(image_size):
        (h, w), (image_h, image_w) = label_size, image_size
        raise TinyfaceError(
            f"{label_path}: {w}x{h} pixels, but its image {image_path} has {image_w}x{image_h}; "
            "a label map needs the size of its image"
        )


def to_network_input(images: np.ndarray) -> np.ndarray:
    """(N, h, w, 3) uint8 RGB to (N, 3, h, w) float32 in [-1, 1]: RGB / 127.5 − 1.

    The only such function: training, `evaluate` and `predict` all call it, so they can't differ. On a GPU the same
    numbers, bit for bit.
    """
    if backend.on_gpu(images):
        return flipped_input_on_gpu(images, None, None)[0]
    n, h, w, channels = images.shape
    scaled = backend.empty((h, w, n, channels), np.float32)  # in memory as convolutions want it
    scaled[...] = images.transpose(1, 2, 0, 3)
    scaled /= np.float32(127.5)
    scaled -= 1
    return backend.as_nchw(scaled)


def horizontal_flip(
    images: np.ndarray, labels: np.ndarray | None, flips: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mirror images (N, h, w, 3) and label maps (N, h, w) or None, left to right, where `flips` (N,) is true.

    Returns new arrays. The 7 regions don't tell left from right, so the ids stay as they are.
    """
    images = images.copy()
    images[flips] = images[flips, :, ::-1]
    if labels is not None:
        labels = labels.copy()
        labels[flips] = labels[flips, :, ::-1]
    return images, labels


def flipped_input_on_gpu(images, labels, flips):
    """`horizontal_flip` and then `to_network_input`, in one pass, of arrays that lie on a GPU.

    images (N, h, w, 3) uint8, labels (N, h, w) uint8 or None, flips (N,) bool or None for no mirroring.
    → (N, 3, h, w) float32, and the labels. Does not wait for the device.
    """
    n, h, w, _ = images.shape
    if images.dtype != np.uint8 or (labels is not None and labels.dtype != np.uint8):
        raise TypeError("to_network_input: images and labels must be uint8")
    cupy = backend.cupy()
    result = cupy.empty((n, 3, h, w), np.float32)
    targets = None if labels is None else cupy.empty((n, h, w), np.uint8)
    arrays = [None if a is None else backend.contiguous(a) for a in (images, labels, flips)]
    kernel = load_kernels(Path(__file__).with_suffix(".cu")).get_function("to_network_input")
    sizes = np.int32(w), np.int64(h * w), np.int64(n * h * w)
    launch(kernel, n * h * w, *arrays, result, targets, *sizes)
    return result, targets
