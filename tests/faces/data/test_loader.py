import gc
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tinyface.errors import TinyfaceError
from tinyface.faces.data.dataset import FaceDataset
from tinyface.faces.data.loader import PairLoader, SampleCache, TrainLoader, batches_in_order, sample_order
from tinyface.faces.data.transforms import image_size, to_network_input

N, SIZE = 11, (6, 5)
PIXELS = np.random.default_rng(0).integers(0, 256, (N, *SIZE, 3), dtype=np.uint8)
LABELS = PIXELS[..., 0] % 7
ATTRIBUTES = np.random.default_rng(1).integers(0, 2, (N, 40), dtype=np.uint8)


LANDMARKS = np.random.default_rng(2).uniform(0, 5, (N, 5, 2)).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    """Images and label maps with different pixels everywhere, so that any mix-up shows."""
    paths = [tmp_path / f"{i}.png" for i in range(N)]
    for path, pixels in zip(paths, PIXELS, strict=True):
        Image.fromarray(pixels).save(path)
    return FaceDataset(
        "test", tmp_path, "train", images=paths, attributes=ATTRIBUTES, label_reader=lambda i: LABELS[i]
    )


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    before = set(threading.enumerate())
    yield
    gc.collect()
    assert set(threading.enumerate()) <= before


def take(data, count, targets="labels", **options):
    options = {"batch_size": 4, "size": SIZE, "seed": 3, **options}
    with TrainLoader(data, targets, **options) as batches:
        return [next(batches) for _ in range(count)]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.step == b.step
        for name in ("indices", "flips", "images", "targets"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_batches_hold_what_they_say(data):
    for batch in take(data, 6, "labels"):
        images = np.where(
            batch.flips[:, None, None, None], PIXELS[batch.indices, :, ::-1], PIXELS[batch.indices]
        )
        labels = np.where(batch.flips[:, None, None], LABELS[batch.indices, :, ::-1], LABELS[batch.indices])
        np.testing.assert_array_equal(batch.images, to_network_input(images))
        np.testing.assert_array_equal(batch.targets, labels)
        assert batch.targets.dtype == np.uint8
    for batch in take(data, 6, "attributes"):
        assert batch.images.shape == (4, 3, *SIZE) and batch.images.dtype == np.float32
        assert batch.targets.dtype == np.float32
        np.testing.assert_array_equal(batch.targets, ATTRIBUTES[batch.indices])


def test_every_epoch_is_another_permutation(data):
    indices = np.concatenate([batch.indices for batch in take(data, 11)]).reshape(4, N)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(N), (4, 1)))
    assert len({tuple(epoch) for epoch in indices}) == 4


def test_about_half_is_mirrored_and_none_without_flip(data):
    flips = np.concatenate([batch.flips for batch in take(data, 100)])
    assert 150 < flips.sum() < 250
    assert not any(batch.flips.any() for batch in take(data, 20, flip=False))
    np.testing.assert_array_equal(
        [batch.indices for batch in take(data, 20, flip=False)], [batch.indices for batch in take(data, 20)]
    )


def test_the_seed_decides(data):
    assert_equal(take(data, 5), take(data, 5))
    one, other = take(data, 1, batch_size=N)[0], take(data, 1, batch_size=N, seed=4)[0]
    assert (one.indices != other.indices).any() and (one.flips != other.flips).any()


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 3}, {"ahead": 1}, {"cache_bytes": 0}])
def test_workers_and_cache_change_nothing(data, options):
    assert_equal(take(data, 12, **options), take(data, 12))


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_resuming_goes_on_as_if_never_interrupted(data, start):
    assert_equal(take(data, 10)[start:], take(data, 10 - start, start_step=start))


@pytest.mark.parametrize("batch_size", [1, N, 3 * N + 2])
def test_any_batch_size(data, batch_size):
    batches = take(data, 3, batch_size=batch_size)
    assert [batch.images.shape[0] for batch in batches] == [batch_size] * 3
    whole = np.concatenate([batch.indices for batch in batches])
    pieces = np.concatenate([sample_order(N, 1, 3, step) for step in range(3 * batch_size)])
    np.testing.assert_array_equal(whole, pieces)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_in_a_worker_reaches_the_consumer(data, workers):
    broken = data.images[5]
    broken.write_bytes(broken.read_bytes()[:60])
    with (
        pytest.raises(TinyfaceError, match=r"5\.png: damaged, cut short"),
        TrainLoader(data, "labels", 4, SIZE, seed=3, workers=workers) as batches,
    ):
        for _ in range(3):  # one epoch
            next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    with pytest.raises(TinyfaceError, match=r"5\.png"):
        list(batches_in_order(data, "labels", 4, SIZE))


def test_close_is_prompt_and_final(data):
    batches = TrainLoader(data, "attributes", 4, SIZE, seed=0, workers=2)
    next(batches)
    start = time.perf_counter()
    batches.close()
    batches.close()
    assert time.perf_counter() - start < 2
    with pytest.raises(StopIteration):
        next(batches)
    TrainLoader(data, "attributes", 4, SIZE, seed=0).close()


def test_threads_end_with_an_exception_in_the_consumer(data):
    with pytest.raises(KeyboardInterrupt), TrainLoader(data, "labels", 4, SIZE, seed=0) as batches:
        next(batches)
        raise KeyboardInterrupt


def test_batches_are_decoded_ahead_but_not_without_end(data):
    decoded = []
    data.label_reader = lambda i: decoded.append(i) or LABELS[i]
    with TrainLoader(data, "labels", 1, SIZE, seed=0, ahead=3) as batches:
        next(batches)
        deadline = time.perf_counter() + 10
        while len(decoded) < 4 and time.perf_counter() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(decoded) == 4  # the batch taken and three ahead


def test_in_order_gives_every_image_once(data):
    batches = list(batches_in_order(data, "labels", 4, SIZE))
    assert [len(batch.images) for batch in batches] == [4, 4, 3]
    assert [batch.step for batch in batches] == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate([batch.indices for batch in batches]), np.arange(N))
    np.testing.assert_array_equal(
        np.concatenate([batch.images for batch in batches]), to_network_input(PIXELS)
    )
    np.testing.assert_array_equal(np.concatenate([batch.targets for batch in batches]), LABELS)


def test_cache_saves_decoding_up_to_its_limit(data):
    decoded = []
    data.label_reader = lambda i: decoded.append(i) or LABELS[i]
    one = SIZE[0] * SIZE[1] * 4  # bytes of an image and its label map
    cache = SampleCache(data, "labels", SIZE, limit=3 * one + one // 2)
    first = list(batches_in_order(data, "labels", 4, SIZE, cache))
    assert decoded == list(range(N))
    second = list(batches_in_order(data, "labels", 4, SIZE, cache))
    assert decoded[N:] == list(range(3, N))
    assert_equal(first, second)


def test_flipping_leaves_the_cache_alone(data):
    cache = SampleCache(data, "labels", SIZE)
    cache.batch(0, np.arange(N), np.ones(N, dtype=bool))
    for i in range(N):
        np.testing.assert_array_equal(cache[i][0], PIXELS[i])
        np.testing.assert_array_equal(cache[i][1], LABELS[i])


def test_targets_must_exist(data):
    data.attributes = None
    with pytest.raises(TinyfaceError, match="test has no attributes"):
        TrainLoader(data, "attributes", 4, SIZE, seed=0)
    with pytest.raises(ValueError, match="attributes, labels, identities, not 'smiles'"):
        TrainLoader(data, "smiles", 4, SIZE, seed=0)


# ---------------------------------------------------------------- landmarks


@pytest.mark.parametrize("raw", [False, True])
def test_landmarks_follow_size_and_mirroring(data, raw):
    """A pixel marked in the file is the one that its landmark points at in the batch, whatever was done to it."""
    data.landmarks = np.zeros((N, 5, 2), np.float32)
    for index, path in enumerate(data.images):
        x, y = 1 + index % 4, 1 + index // 4
        data.landmarks[index] = x, y
        pixels = np.zeros((6, 8, 3), np.uint8)
        pixels[y, x] = 255
        Image.fromarray(pixels).save(path)
    for size in ((6, 8), (18, 24)):
        batches = take(data, 4, "attributes", size=size, landmarks=True, raw=raw)
        assert any(batch.flips.any() for batch in batches)
        for batch in batches:
            assert batch.landmarks.shape == (4, 5, 2) and batch.landmarks.dtype == np.float32
            images = batch.images
            if raw:  # mirrored by the GPU, the landmarks already here
                images = to_network_input(
                    np.where(batch.flips[:, None, None, None], images[:, :, ::-1], images)
                )
            for image, points in zip(images, batch.landmarks, strict=True):
                brightest = np.unravel_index(image[0].argmax(), size)
                np.testing.assert_allclose(points, [brightest[::-1]] * 5, atol=1e-4)


def test_landmarks_come_only_where_asked_for_and_known(data):
    assert take(data, 1)[0].landmarks is None
    assert take(data, 1, landmarks=True)[0].landmarks is None
    data.landmarks = LANDMARKS
    assert take(data, 1)[0].landmarks is None
    assert image_size(data.images[0]) == SIZE
    cache = SampleCache(data, "attributes", SIZE, landmarks=True)
    for _ in range(2):  # the second time from the cache
        for options in ({"cache": cache}, {"landmarks": True}):
            batches = batches_in_order(data, "attributes", 4, SIZE, **options)
            found = np.concatenate([batch.landmarks for batch in batches])
            np.testing.assert_allclose(found, LANDMARKS, atol=1e-6)


# Pairs of one identity.


PERSONS = np.array([0, 1, 0, 2, 2, 0, 3, 4, 4, 4, 5])  # 1, 3 and 5 have one photo only


def pairs(data, count, **options):
    data.identities = PERSONS
    options = {"batch_size": 6, "size": SIZE, "seed": 3, **options}
    with PairLoader(data, "identities", **options) as batches:
        return [next(batches) for _ in range(count)]


def test_pairs_show_one_person_in_two_photos(data):
    seen = set()
    for batch in pairs(data, 12):
        np.testing.assert_array_equal(batch.targets, PERSONS[batch.indices])
        assert batch.targets.dtype == np.int64 and batch.images.shape == (6, 3, *SIZE)
        np.testing.assert_array_equal(batch.targets[::2], batch.targets[1::2])
        assert (batch.indices[::2] != batch.indices[1::2]).all()
        assert len(set(batch.targets)) == 3  # nobody twice, as long as there are others
        seen |= set(batch.indices.tolist())
    assert seen == set(np.flatnonzero(np.isin(PERSONS, [0, 2, 4])))


def test_pairs_are_a_function_of_seed_and_step(data):
    straight = pairs(data, 5)
    assert_equal(pairs(data, 2, start_step=3, workers=2), straight[3:])
    assert (pairs(data, 1, seed=4)[0].indices != straight[0].indices).any()
    odd = pairs(data, 2, batch_size=5)
    assert [len(batch.indices) for batch in odd] == [5, 5]
    assert len(pairs(data, 1, batch_size=10)[0].indices) == 10  # more pairs than persons


def test_pairs_need_somebody_with_two_photos(data):
    data.identities = np.arange(N)
    loader = PairLoader(data, "identities", 4, SIZE, seed=0)
    with loader, pytest.raises(TinyfaceError, match="no person has two photos"):
        next(loader)
