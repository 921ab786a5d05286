"""Folds: every training and validation image is held out once, and nothing is known of it before."""

import numpy as np
import pytest
from PIL import Image

from kerastricks import data
from kerastricks.data.cross_validation import held_out, pooled
from kerastricks.data.sources.source import Arrays
from kerastricks.errors import DataError
from kerastricks.search.trials.trial_data import adapted

pytestmark = pytest.mark.tensorflow_only


def numbered(counts=(30, 50, 20), **options):
    """Image i holds the number i in its pixels."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.broadcast_to(np.arange(len(labels), dtype="uint8")[:, None, None, None], (len(labels), 4, 4, 1))
    return data.load((images, labels), **{"batch_size": 8, **options})


def numbers(part, split):
    return np.concatenate([images.numpy()[:, 0, 0, 0] for images, _ in getattr(part, split)]).tolist()


def held(part, split):
    return part.splits[split].examples.images[:, 0, 0, 0].tolist()


@pytest.fixture(scope="module")
def whole():
    return numbered()


@pytest.fixture(scope="module")
def parts(whole):
    return data.folds(whole, 5)


def test_each_image_is_held_out_once(whole, parts):
    pool = sorted(held(whole, "train") + held(whole, "validation"))
    assert sorted(number for part in parts for number in held(part, "validation")) == pool


def test_held_out_has_the_index_of_each_image_in_the_order_of_its_fold(whole, parts):
    pool = np.array(held(whole, "train") + held(whole, "validation"))
    for part, chosen in zip(parts, held_out(whole, 5), strict=True):
        assert held(part, "validation") == pool[chosen].tolist()


def test_no_held_out_and_no_test_image_is_trained_on(whole, parts):
    for part in parts:
        seen = held(part, "train")
        assert not set(seen) & set(held(part, "validation"))
        assert not set(seen + held(part, "validation")) & set(held(whole, "test"))
        assert sorted(seen + held(part, "validation")) == sorted(held(whole, "train") + held(whole, "validation"))


def test_ops_for_rare_classes_count_the_training_images_of_the_fold(whole):
    rare = adapted(whole, "for_rare(flip)", 8)
    assert rare.augmentation.image_spec.class_counts == tuple(whole.class_counts()["train"])
    part = data.folds(rare, 5)[0]
    assert part.augmentation.image_spec.class_counts == tuple(part.class_counts()["train"])


def test_the_test_images_stay(whole, parts):
    assert all(held(part, "test") == held(whole, "test") for part in parts)


def test_labels_stay_with_their_images_in_the_batches(whole, parts):
    label_of = {}
    for split in whole.splits:
        label_of |= dict(zip(held(whole, split), whole.labels(split).tolist(), strict=True))
    for split in ("train", "validation"):
        for images, labels in getattr(parts[1], split):
            assert [label_of[number] for number in images.numpy()[:, 0, 0, 0].tolist()] == labels.numpy().tolist()


def test_classes_and_sizes_differ_by_one_image_at_most(parts):
    counts = np.array([part.class_counts()["validation"] for part in parts])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_one_fold_is_that_of_all_folds(whole, parts):
    one = data.fold(whole, 3, 5)
    assert held(one, "train") == held(parts[3], "train")
    assert one.fingerprint == parts[3].fingerprint
    np.testing.assert_array_equal(one.statistics.total, parts[3].statistics.total)


def test_the_seed_of_the_folds_alone_decides(whole, parts):
    assert held(data.fold(whole.reseeded(7), 0, 5), "validation") == held(parts[0], "validation")
    assert held(data.fold(whole, 0, 5, seed=1), "validation") != held(parts[0], "validation")


def test_folds_have_fingerprints_of_their_own(whole, parts):
    assert len({part.fingerprint for part in [whole, *parts]}) == 6


def test_statistics_are_those_of_the_training_part(parts):
    for part in parts:
        pixels = np.array(held(part, "train"), "float64")
        np.testing.assert_allclose(part.mean, [pixels.mean()], rtol=1e-12)
        np.testing.assert_allclose(part.std, [pixels.std()], rtol=1e-9)


def test_colours_of_fancy_pca_are_those_of_the_training_part():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4, 3)).astype("uint8")
    images[np.arange(60) % 6 == 0] //= 8  # so that parts differ
    loaded = data.load((images, np.arange(60) % 2), augment="fancy_pca(0.1)")
    for part in data.folds(loaded, 3):
        pixels = part.splits["train"].examples.images.reshape(-1, 3).astype("float64") / 255
        eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(pixels.T, bias=True)))[::-1]
        np.testing.assert_allclose(part.augmentation.image_spec.statistics.eigen()[0], eigenvalues, rtol=1e-9)


def test_pixels_of_one_array_are_shared(whole, parts):
    for part in parts:
        for split in ("train", "validation"):
            assert np.shares_memory(
                part.splits[split].examples.store.pixels, whole.splits["train"].examples.store.pixels
            )


def folder_of_images(path, splits=("train", "validation"), side=6, count=5):
    rng = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            folder = path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (side + number % 2, side, 3)).astype("uint8")).save(
                    folder / f"{number}.png"
                )
    return path


def test_splits_that_came_apart_are_pooled_in_one_copy(tmp_path):
    loaded = data.load(folder_of_images(tmp_path), image_size=6, batch_size=2)
    stores = [loaded.splits[name].examples.store for name in ("train", "validation")]
    assert stores[0] is not stores[1]
    first, second = data.folds(loaded, 2)
    assert first.splits["train"].examples.store is second.splits["validation"].examples.store
    pool = np.concatenate([loaded.splits[name].examples.images for name in ("train", "validation")])
    rows = first.splits["validation"].examples.rows
    np.testing.assert_array_equal(first.splits["validation"].examples.images, pool[rows])
    assert sorted(first.files("train") + first.files("validation")) == sorted(
        loaded.files("train") + loaded.files("validation")
    )


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_originals_that_are_cropped_go_back_to_their_files(tmp_path, memory_bytes):
    loaded = data.load(
        folder_of_images(tmp_path, side=9),
        image_size=6,
        batch_size=2,
        augment="random_resized_crop",
        memory_bytes=memory_bytes,
    )
    assert not isinstance(loaded.splits["train"].examples, Arrays)
    names = sorted(loaded.files("train") + loaded.files("validation"))
    parts = data.folds(loaded, 2)
    assert sorted(parts[0].files("validation") + parts[1].files("validation")) == names
    for part in parts:
        assert not set(part.files("train")) & set(part.files("validation"))
        images, _ = next(iter(part.train))
        assert images.shape == (2, 6, 6, 3)
        assert sum(len(labels) for _, labels in part.validation) == part.splits["validation"].size
    # A validation image is the one that its file holds, whole and resized.
    first = loaded.files("validation")[0]
    part = next(part for part in parts if first in part.files("validation"))
    shown = np.concatenate([images.numpy() for images, _ in part.validation])
    expected = next(iter(loaded.validation))[0].numpy()[0]
    np.testing.assert_array_equal(shown[part.files("validation").index(first)], expected)


def test_pooled_trains_on_both_splits_and_measures_both(whole):
    both = pooled(whole)
    assert sorted(held(both, "train")) == sorted(held(whole, "train") + held(whole, "validation"))
    assert held(both, "test") == held(whole, "test")
    assert held(both, "validation") == held(whole, "validation")
    np.testing.assert_allclose(both.mean, [np.mean(held(both, "train"))], rtol=1e-12)
    assert both.fingerprint != whole.fingerprint


def test_too_few_images_of_a_class_are_named():
    with pytest.raises(DataError, match=r"class '2' has \d images .*9 are needed for 9 folds: .*fewer folds"):
        data.folds(numbered((30, 50, 8)), 9)


@pytest.mark.parametrize(("index", "count", "message"), [(0, 1, "folds must be 2"), (5, 5, "fold must be in 0-4")])
def test_folds_that_cannot_be_are_refused(whole, index, count, message):
    with pytest.raises(DataError, match=message):
        data.fold(whole, index, count)


def test_adapted_is_what_load_gives_with_these_settings():
    changed = adapted(numbered(), "pad_crop(1)", 16)
    loaded = numbered(augment="pad_crop(1)", batch_size=16)
    assert changed.batch_size == 16
    for (first, _), (second, _) in zip(changed.train, loaded.train, strict=True):
        np.testing.assert_array_equal(first, second)


def test_adapted_shares_the_pixels_and_measures_nothing_again(whole):
    other = adapted(whole, "", 4)
    assert other.splits["train"].examples.store is whole.splits["train"].examples.store
    assert other.statistics is whole.statistics
    assert numbers(other, "validation") == numbers(whole, "validation")
