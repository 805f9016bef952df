import math

import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import REGIONS
from tinyface.faces.pictures import drawing, visualize


def face(height=218, width=178, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return image, rng.integers(0, len(REGIONS), (height, width))


def pixel(image, x, y):
    return image.getpixel((x, y))


def test_the_palette_has_one_colour_per_region_and_they_differ():
    assert visualize.PALETTE.shape == (len(REGIONS), 3)
    distance = np.abs(visualize.PALETTE[:, None].astype(int) - visualize.PALETTE[None]).sum(-1)
    assert distance[~np.eye(len(REGIONS), dtype=bool)].min() > 60


# Overlay


def test_overlay_mixes_image_and_region_colour():
    image = np.full((1, 3, 3), 100, np.uint8)
    result = visualize.overlay(image, np.array([[0, 5, 2]]), alpha=0.25)
    assert result.dtype == np.uint8 and result.shape == (1, 3, 3)
    expected = np.rint(75 + 0.25 * visualize.PALETTE[[0, 5, 2]])
    np.testing.assert_array_equal(result[0], expected)


def test_overlay_ends_are_the_image_and_the_pure_colours():
    image, labels = face(7, 5)
    np.testing.assert_array_equal(visualize.overlay(image, labels, 0), image)
    np.testing.assert_array_equal(visualize.overlay(image, labels, 1), visualize.PALETTE[labels])


def test_overlay_dims_the_background():
    image = np.full((2, 2, 3), 200, np.uint8)
    assert (visualize.overlay(image, np.zeros((2, 2), np.uint8)) < 120).all()


@pytest.mark.parametrize("label", [-1, 255, 7])
def test_overlay_leaves_unknown_labels_alone(label):
    image, _ = face(2, 2)
    result = visualize.overlay(image, np.array([[label, 1], [1, 1]]))
    np.testing.assert_array_equal(result[0, 0], image[0, 0])
    assert (result[0, 1] != image[0, 1]).any()


def test_overlay_takes_pil_images_and_does_not_write_into_its_input():
    image, labels = face(4, 3)
    before = image.copy()
    np.testing.assert_array_equal(
        visualize.overlay(Image.fromarray(image), labels), visualize.overlay(image, labels)
    )
    np.testing.assert_array_equal(image, before)


def test_bad_pictures_are_refused():
    image, labels = face(4, 3)
    with pytest.raises(ValueError, match="labels are"):
        visualize.overlay(image, labels.T)
    with pytest.raises(ValueError, match="uint8"):
        visualize.overlay(image.astype(np.float32), labels)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        visualize.overlay(image[..., 0], labels)


# Legend and sheet


def test_legend_shows_every_colour_and_wraps():
    wide, narrow = visualize.legend(), visualize.legend(width=300)
    assert narrow.width == 300 and narrow.height > wide.height
    for image in wide, narrow:
        colours = {colour for _, colour in image.getcolors(1 << 20)}
        assert {tuple(c) for c in visualize.PALETTE.tolist()} <= colours
    with pytest.raises(ValueError, match="colours"):
        visualize.legend(["x"] * 8)


def test_parsing_sheet_holds_the_pictures_in_order():
    images, labels = zip(*(face(seed=s) for s in range(3)), strict=True)
    predicted = [np.flip(label, 1) for label in labels]
    with_truth = np.asarray(visualize.parsing_sheet(images, predicted, labels, alpha=0.6))
    without = np.asarray(visualize.parsing_sheet(images, predicted))
    assert with_truth.shape[0] > 3 * 218 and with_truth.shape[1] - without.shape[1] == 178 + 10
    for row in range(3):
        y = 50 + row * 228
        cells = [with_truth[y : y + 218, x : x + 178] for x in (20, 208, 396)]
        np.testing.assert_array_equal(cells[0], images[row])
        np.testing.assert_array_equal(cells[1], visualize.overlay(images[row], labels[row], 0.6))
        np.testing.assert_array_equal(cells[2], visualize.overlay(images[row], predicted[row], 0.6))


def test_parsing_sheet_edges():
    image, labels = face(1, 1)
    visualize.parsing_sheet([image], [labels], [labels])
    with pytest.raises(ValueError, match="at least one"):
        visualize.parsing_sheet([], [])
    with pytest.raises(ValueError):
        visualize.parsing_sheet([image, image], [labels])


# Attribute card


def test_attribute_card_bars_are_as_long_as_the_probabilities():
    image, labels = face()
    card = visualize.attribute_card(image, visualize.overlay(image, labels), ["A", "B"], [0.25, 1.0])
    pixels = np.asarray(card)
    strong = (pixels == visualize.ACCENT).all(-1).sum(1)
    pale = (pixels == visualize.PALE).all(-1).sum(1)
    # The most probable first; 220 pixels are the whole bar (the track under it shines through its ends).
    assert abs(strong.max() - 220) <= 2 and abs(pale.max() - 55) <= 2
    assert strong.argmax() < pale.argmax()


def test_attribute_card_shows_only_the_top():
    image, _ = face()
    names = [f"Attribute_{i}" for i in range(40)]
    card = visualize.attribute_card(image, None, names, np.linspace(0.6, 1, 40), top=8)
    pixels = np.asarray(card)
    accent = (pixels == visualize.ACCENT).all(-1).any(1)
    assert np.diff(accent.astype(int)).clip(0).sum() == 8  # eight separate bars


def test_attribute_card_has_a_note_in_as_many_lines_as_it_takes():
    image, _ = face(218, 178)
    cards = [
        visualize.attribute_card(image, None, ["A"], [0.5], note=note)
        for note in (None, "ab–c", "word " * 60)
    ]
    heights = [card.height for card in cards]
    assert len({card.width for card in cards}) == 1
    assert (
        heights[1] - heights[0] == 18 and (heights[2] - heights[0]) % 18 == 0 and heights[2] > heights[1] + 18
    )
    for card in cards[1:]:
        below = np.asarray(card)[heights[0] - 20 :]
        assert (below != 255).any() and (below[:, -20:] == 255).all() and (below[-10:] == 255).all()


def test_attribute_card_edges():
    image, labels = face(1, 1)
    visualize.attribute_card(image, visualize.overlay(image, labels), ["A"], [0.0])
    visualize.attribute_card(image, None, [], [])
    with pytest.raises(ValueError, match="1 names for 2"):
        visualize.attribute_card(image, None, ["A"], [0.1, 0.2])


# Training curve


def test_training_curve_draws_what_the_log_holds(tmp_path):
    records = [{"step": s, "loss": 1 / (1 + s)} for s in range(0, 200, 10)] + [{"step": 100, "error": 0.2}]
    one = visualize.training_curve(records)
    two = visualize.training_curve(records, tmp_path / "curve.png", measure="error")
    assert two.height > 1.5 * one.height and two.width == one.width
    assert visualize.SECOND in {colour for _, colour in two.getcolors(1 << 20)}
    with Image.open(tmp_path / "curve.png") as written:
        assert written.size == two.size


def test_a_falling_loss_falls_from_left_to_right():
    chart = np.asarray(visualize.training_curve([{"step": 0, "loss": 2.0}, {"step": 10, "loss": 1.0}]))
    y, x = np.nonzero((chart == visualize.ACCENT).all(-1))
    assert y[x == x.min()].mean() < y[x == x.max()].mean() - 100


@pytest.mark.parametrize(
    "losses",
    [[0.5], [0.5, 0.5], [0.0, 0.0], [-1.0, 1e-9], [1e9, 1e-9], list(range(500)), [1.0, math.nan, 2.0]],
)
def test_training_curve_edges(losses):
    chart = visualize.training_curve([{"step": i, "loss": value} for i, value in enumerate(losses)])
    assert visualize.ACCENT in {colour for _, colour in chart.getcolors(1 << 20)}


@pytest.mark.parametrize("records", [[], [{"step": 1}], [{"step": 1, "loss": math.nan}], [{"loss": 1.0}]])
def test_nothing_to_draw_says_so(records):
    with pytest.raises(TinyfaceError, match="the training log has no finite 'loss' to draw"):
        visualize.training_curve(records)


# Region weights


def test_region_weight_map_is_darker_where_the_weight_is_larger():
    weights = np.zeros((7, 3))
    weights[5, 1], weights[1, 0] = 1.0, 0.5
    image = visualize.region_weight_map(weights, ["Black_Hair", "Smiling", "Young"])
    full, half, none = (drawing.heat(share) for share in (1, 0.5, 0))
    assert sum(full) < sum(half) < sum(none)
    # The last column ends at the right margin of 24 pixels; a cell is 84 × 20.
    left, top = image.width - 24 - 7 * 84, 54
    for row in range(3):
        for region in range(7):
            cell = pixel(image, left + region * 84 + 40, top + row * 20 + 9)
            assert cell == drawing.heat(weights[region, row])


def test_region_weight_map_checks_the_shape():
    with pytest.raises(ValueError, match="weights"):
        visualize.region_weight_map(np.zeros((40, 7)), [str(i) for i in range(40)])


def test_region_weight_map_groups_by_the_heaviest_region():
    """The background first; within the mouth the heavier first; 8 pixels between groups, numbers in the cells."""
    weights = np.full((7, 4), 0.01)
    weights[5, 0], weights[5, 2], weights[0, 1] = 0.6, 0.9, 0.7
    weights[:, 3] = np.nan
    image = visualize.region_weight_map(weights, list("abcd"), grouped=True)
    left, tops = image.width - 24 - 7 * 84, [54, 54 + 28, 54 + 48, 54 + 76]
    expected = [(0, 1), (5, 2), (5, 0)]
    for top, (region, attribute) in zip(tops, expected, strict=False):
        cell = pixel(image, left + region * 84 + 3, top + 3)
        assert cell == drawing.heat(weights[region, attribute])
    assert pixel(image, left + 3, tops[3] + 3) == visualize.PAPER  # NaN: nothing
    assert pixel(image, left + 3, 54 + 22) == visualize.PAPER  # between the groups
    numbered = visualize.region_weight_map(weights, list("abcd"), grouped=True, values=True)
    changed = np.argwhere((np.asarray(numbered) != np.asarray(image)).any(-1))
    rows = {int(y) // 20 for y, _ in changed - [54, 0]}
    assert numbered.size == image.size and len(changed) > 300 and len(rows) >= 3
