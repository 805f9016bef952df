import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyface.faces import metrics
from tinyface.faces.metrics import ConfusionMatrix

REGIONS = ("background", "hair", "skin")


@pytest.fixture(autouse=True)
def no_numpy_warnings():
    """Undefined measures are NaN on purpose: no warning may reach the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Attributes, by hand


def test_average_precision_by_hand():
    # Ranked yes, no, yes: precision 1 at recall 1/2, 2/3 at recall 1.
    assert metrics.average_precision([0.9, 0.1, 0.5], [1, 1, 0]) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert metrics.average_precision([3, 2, 1], [1, 1, 0]) == 1
    assert metrics.average_precision([1], [1]) == 1


def test_average_precision_takes_ties_together():
    # One threshold for all: precision 1/4 at recall 1, wherever the positive stands.
    for position in range(4):
        targets = np.eye(4, dtype=int)[position]
        assert metrics.average_precision(np.full(4, 0.5), targets) == pytest.approx(1 / 4)
    assert metrics.average_precision(np.array([200, 10, 10], np.uint8), [0, 1, 0]) == pytest.approx(1 / 3)
    infinite = [np.inf, np.inf, -np.inf, -np.inf]
    assert metrics.average_precision(infinite, [1, 0, 1, 0]) == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 2 / 4)


def test_attribute_metrics_by_hand():
    scores = np.array([[0.9, 0.2], [0.6, 0.8], [0.4, 0.6], [0.1, 0.7]])
    targets = np.array([[1, 0], [0, 1], [0, 1], [0, 0]])
    m = metrics.attribute_metrics(scores, targets)
    np.testing.assert_allclose(m.error, [1 / 4, 1 / 4])
    np.testing.assert_allclose(m.balanced_accuracy, [(1 + 2 / 3) / 2, (1 + 1 / 2) / 2])
    np.testing.assert_allclose(m.average_precision, [1, 1 / 2 * 1 + 1 / 2 * 2 / 3])
    assert m.mean_error == pytest.approx(1 / 4)
    assert m.mean_balanced_accuracy == pytest.approx(19 / 24)
    assert m.mean_average_precision == pytest.approx(11 / 12)
    assert m.count == 4


def test_balanced_accuracy_is_not_pooled():
    # Pooled over both attributes the rates were 3/4 and 3/4; per attribute they are (1 + 0)/2 and (0 + 1)/2.
    scores = np.array([[1, 0], [1, 0], [1, 0], [1, 0]])
    targets = np.array([[1, 1], [1, 0], [1, 0], [0, 0]])
    m = metrics.attribute_metrics(scores, targets)
    np.testing.assert_allclose(m.balanced_accuracy, [1 / 2, 1 / 2])


def test_threshold_is_strict_and_serves_logits():
    logits, targets = np.array([[-1.0], [0.0], [2.0]]), np.array([[0], [0], [1]])
    assert metrics.attribute_metrics(logits, targets, threshold=0).mean_error == 0
    assert metrics.attribute_metrics(logits, targets).mean_error == 0
    assert metrics.attribute_metrics(logits + 0.25, targets, threshold=0).mean_error == pytest.approx(1 / 3)


def test_undefined_attributes_are_named_and_left_out_of_the_mean():
    scores = np.array([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
    targets = np.array([[1, 0, 1], [0, 0, 1]])
    m = metrics.attribute_metrics(scores, targets)
    np.testing.assert_array_equal(np.isnan(m.average_precision), [False, True, False])
    np.testing.assert_array_equal(np.isnan(m.balanced_accuracy), [False, True, True])
    assert list(m.without_average_precision) == [1]
    assert list(m.without_balanced_accuracy) == [1, 2]
    assert m.mean_average_precision == 1 and m.mean_balanced_accuracy == 1
    text = metrics.format_attribute_table(m, ["Bald", "Smiling", "Young"])
    assert "mean average precision over 2 of 3, undefined for Smiling" in text
    assert "mean balanced accuracy over 1 of 3, undefined for Smiling, Young" in text


def test_nothing_defined_gives_nan_and_no_warning():
    m = metrics.attribute_metrics([[0.9, 0.1]], [[0, 0]])
    assert np.isnan(m.mean_average_precision) and np.isnan(m.mean_balanced_accuracy)
    assert m.mean_error == 0.5
    metrics.format_attribute_table(m, ["Bald", "Young"])


def test_majority_error_by_hand():
    train = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [1, 0, 0]])  # majority 1, 0, and a tie
    test = np.array([[1, 1, 1], [0, 1, 1]])
    error, mean = metrics.majority_error(train, test)
    np.testing.assert_allclose(error, [0.5, 1, 1])
    assert mean == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "must both be"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "N >= 1"),
        (np.array([[np.nan]]), np.array([[1]]), "NaN"),
        (np.array([[0.5]]), np.array([[-1]]), "0 or 1"),
    ],
)
def test_bad_attribute_input_is_refused(scores, targets, message):
    with pytest.raises(ValueError, match=message):
        metrics.attribute_metrics(scores, targets)


def test_attribute_table_is_aligned():
    m = metrics.attribute_metrics([[0.9, 0.2], [0.6, 0.8]], [[1, 0], [0, 1]])
    assert metrics.format_attribute_table(m, ["Smiling", "5_o_Clock_Shadow"]) == "\n".join(
        [
            "attribute            error %        AP %  balanced %",
            "----------------------------------------------------",
            "Smiling                50.00      100.00       50.00",
            "5_o_Clock_Shadow        0.00      100.00      100.00",
            "----------------------------------------------------",
            "mean                   25.00      100.00       75.00",
        ]
    )


# Regions, by hand


def test_confusion_matrix_by_hand():
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 1, 1], [0, 1, 2]]), np.array([[0, 0, 1], [0, 1, 1]]))
    np.testing.assert_array_equal(confusion.counts, [[2, 1, 0], [0, 2, 1], [0, 0, 0]])
    np.testing.assert_allclose(confusion.iou(), [2 / 3, 2 / 4, 0])
    np.testing.assert_allclose(confusion.f1(), [4 / 5, 4 / 6, 0])
    assert confusion.mean_iou() == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert confusion.mean_f1() == pytest.approx((4 / 5 + 4 / 6) / 3)
    assert confusion.pixel_accuracy() == pytest.approx(4 / 6)


def test_batches_add_up_and_any_integer_type_serves():
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, 7, (2, 8, 5, 4))
    whole, parts = ConfusionMatrix(7), ConfusionMatrix(7)
    whole.update(predictions, labels)
    parts.update(predictions[:3].astype(np.uint8), labels[:3].astype(np.uint8))
    parts.update(predictions[3:].astype(np.int8), labels[3:].astype(np.uint8))
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert whole.counts.sum() == labels.size


@pytest.mark.parametrize(("ignore", "dtype"), [(-1, np.int64), (255, np.uint8), (255, np.int64)])
def test_ignored_pixels_do_not_count(ignore, dtype):
    labels = np.array([0, 1, ignore]).astype(dtype)
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([0, 1, 1], np.uint8), labels, ignore=ignore)
    np.testing.assert_array_equal(confusion.counts, [[1, 0], [0, 1]])


def test_a_class_never_seen_is_named_and_left_out_of_the_mean():
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([0, 0, 0]), np.array([0, 0, 2]))
    np.testing.assert_array_equal(confusion.iou(), [2 / 3, np.nan, 0])
    np.testing.assert_array_equal(confusion.f1(), [4 / 5, np.nan, 0])
    assert confusion.mean_iou() == pytest.approx(1 / 3)
    assert metrics.format_region_table(confusion, REGIONS) == "\n".join(
        [
            "region           IoU %        F1 %",
            "----------------------------------",
            "background       66.67       80.00",
            "hair                 -           -",
            "skin              0.00        0.00",
            "----------------------------------",
            "mean             33.33       40.00",
            "mean over 2 of 3, never present: hair",
            "pixel accuracy 66.67 %",
        ]
    )


def test_an_empty_confusion_matrix_gives_nan_and_no_warning():
    confusion = ConfusionMatrix(3)
    confusion.update(np.zeros(0, int), np.zeros(0, int))
    confusion.update(np.zeros(2, int), np.full(2, -1))
    assert np.isnan([confusion.mean_iou(), confusion.mean_f1(), confusion.pixel_accuracy()]).all()
    metrics.format_region_table(confusion, REGIONS)


def test_bad_labels_are_refused():
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion.update(np.zeros((2, 2), int), np.zeros(4, int))
    with pytest.raises(ValueError, match="labels reach from 0 to 3"):
        confusion.update(np.array([0, 0]), np.array([0, 3]))
    with pytest.raises(ValueError, match="predictions reach from -1 to 0"):
        confusion.update(np.array([0, -1]), np.array([0, 0]))
    assert confusion.counts.sum() == 0


# Against scikit-learn


@st.composite
def one_attribute(draw):
    """Scores with many ties, and targets; all positive, all negative and N = 1 occur."""
    n = draw(st.integers(1, 30))
    scores = draw(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.50001, 0.8, 1.0]), min_size=n, max_size=n))
    targets = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return np.array(scores), np.array(targets)


@pytest.mark.reference
@settings(max_examples=150, deadline=None, derandomize=True)
@given(one_attribute())
def test_attribute_metrics_equal_scikit_learn(example):
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, targets = example
    m = metrics.attribute_metrics(scores[:, None], targets[:, None])
    assert m.error[0] == pytest.approx(1 - sklearn.accuracy_score(targets, scores > 0.5))
    if targets.any():
        expected = sklearn.average_precision_score(targets, scores)
        assert m.average_precision[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(m.average_precision[0])
    if 0 < targets.sum() < len(targets):
        expected = sklearn.balanced_accuracy_score(targets, scores > 0.5)
        assert m.balanced_accuracy[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(m.balanced_accuracy[0])


@pytest.mark.reference
def test_many_attributes_equal_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores = rng.random((500, 40), np.float32).round(2)
    targets = (rng.random((500, 40)) < 0.3).astype(np.int8)
    expected = sklearn.average_precision_score(targets, scores, average=None)
    m = metrics.attribute_metrics(scores, targets)
    np.testing.assert_allclose(m.average_precision, expected, rtol=1e-12)
    assert m.mean_average_precision == pytest.approx(expected.mean())


@st.composite
def several_attributes(draw):
    """Scores (N, A) of a few values, so with ties, and targets; columns of one kind only are frequent."""
    n, count = draw(st.integers(1, 25)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 3, 10, 10_000]))
    rates = rng.choice([0, 0.1, 0.5, 1], count)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return (rng.integers(0, levels + 1, (n, count)) / levels).astype(dtype), rng.random((n, count)) < rates


@pytest.mark.reference
@settings(max_examples=100, deadline=None, derandomize=True)
@given(several_attributes())
def test_means_over_attributes_equal_scikit_learn(example):
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, targets = example
    m = metrics.attribute_metrics(scores, targets)
    columns = list(zip(scores.T, targets.T, strict=True))
    expected = [sklearn.average_precision_score(t, s) if t.any() else np.nan for s, t in columns]
    balanced = [
        sklearn.balanced_accuracy_score(t, s > 0.5) if t.any() and not t.all() else np.nan for s, t in columns
    ]
    np.testing.assert_allclose(m.average_precision, expected, atol=1e-12)
    np.testing.assert_allclose(m.balanced_accuracy, balanced, atol=1e-12)
    assert m.mean_error == pytest.approx(sklearn.zero_one_loss(targets.ravel(), scores.ravel() > 0.5))
    assert m.mean_error == pytest.approx(sklearn.hamming_loss(targets, scores > 0.5))
    names = [f"a{k}" for k in range(len(columns))]
    lines = iter(metrics.undefined_lines(m, names))
    for values, mean, measure in (
        (expected, m.mean_average_precision, "average precision"),
        (balanced, m.mean_balanced_accuracy, "balanced accuracy"),
    ):
        known = [value for value in values if not np.isnan(value)]
        assert mean == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
        if len(known) < len(values):
            left_out = ", ".join(n for n, value in zip(names, values, strict=True) if np.isnan(value))
            used = f"over {len(known)} of {len(values)}"
            assert next(lines) == f"mean {measure} {used}, undefined for {left_out}"
    assert list(lines) == []


@pytest.mark.reference
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40))
def test_region_metrics_equal_scikit_learn(pairs):
    sklearn = pytest.importorskip("sklearn.metrics")
    predictions, labels = np.array(pairs).T
    confusion = ConfusionMatrix(4)
    confusion.update(predictions, labels)
    predictions, labels = predictions[labels >= 0], labels[labels >= 0]
    if not labels.size:
        assert np.isnan(confusion.mean_iou())
        return
    seen = np.union1d(predictions, labels)
    options = {"labels": seen, "average": None, "zero_division": 0}
    np.testing.assert_allclose(confusion.iou()[seen], sklearn.jaccard_score(labels, predictions, **options))
    np.testing.assert_allclose(confusion.f1()[seen], sklearn.f1_score(labels, predictions, **options))
    assert (
        np.isnan(np.delete(confusion.iou(), seen)).all() and np.isnan(np.delete(confusion.f1(), seen)).all()
    )
    assert confusion.mean_iou() == pytest.approx(confusion.iou()[seen].mean())
    assert confusion.pixel_accuracy() == pytest.approx(sklearn.accuracy_score(labels, predictions))
