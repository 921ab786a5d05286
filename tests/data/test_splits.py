"""Splits: made stratified and seeded, or kept as found."""

import numpy as np
import pytest

from kerastricks import data
from kerastricks.data.loading import make_splits
from kerastricks.data.sources.source import Arrays, PixelStore, Source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only


def numbered(counts):
    """A source whose image i holds the number i in its pixels."""
    labels = np.repeat(np.arange(len(counts)), counts).astype("int32")
    labels = np.random.default_rng(1).permutation(labels)
    images = np.arange(len(labels), dtype="uint8").reshape(-1, 1, 1, 1)
    return Source("numbers", tuple("abcdefgh"[: len(counts)]), {"train": Arrays(PixelStore.holding(images), labels)})


def members(splits):
    return {name: examples.images.ravel().tolist() for name, examples in splits.items()}


def test_each_image_is_in_exactly_one_split():
    found = members(make_splits(numbered([30, 50, 20]), 0.2, 0.1, 0))
    assert sorted(number for split in found.values() for number in split) == list(range(100))


def test_classes_are_divided_in_proportion():
    splits = make_splits(numbered([30, 50, 20]), 0.2, 0.1, 0)
    counts = {name: np.bincount(examples.labels).tolist() for name, examples in splits.items()}
    assert counts == {"train": [21, 35, 14], "validation": [6, 10, 4], "test": [3, 5, 2]}


def test_labels_stay_with_their_images():
    source = numbered([30, 50, 20])
    for examples in make_splits(source, 0.2, 0.1, 0).values():
        np.testing.assert_array_equal(examples.labels, source.splits["train"].labels[examples.images.ravel()])


@pytest.mark.parametrize("counts", [[3, 80], [4, 80], [6, 3]])
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.01, 0.01), (0.4, 0.4), (0.05, 0.9), (0.9, 0.05)])
def test_every_class_is_in_every_split_however_small(counts, fractions):
    for name, examples in make_splits(numbered(counts), *fractions, 0).items():
        assert np.bincount(examples.labels, minlength=2).min() >= 1, name


def test_the_same_seed_gives_the_same_split():
    source = numbered([30, 50])
    assert members(make_splits(source, 0.2, 0.2, 7)) == members(make_splits(source, 0.2, 0.2, 7))


def test_another_seed_gives_another_split():
    source = numbered([30, 50])
    first, second = (members(make_splits(source, 0.2, 0.2, seed)) for seed in (0, 1))
    # Two random tenths agree in all of 6 of 30 images with probability 1 / 593775.
    assert first["test"] != second["test"]
    assert first["validation"] != second["validation"]


def test_which_images_are_chosen_is_uniform():
    source = numbered([20, 20])
    chosen = np.zeros(40)
    runs = 400
    for seed in range(runs):
        chosen[members(make_splits(source, 0.25, 0.25, seed))["test"]] += 1
    # Binomial(runs, 1/4) each; five standard deviations over forty images.
    assert np.abs(chosen - runs / 4).max() < 5 * np.sqrt(runs * 0.25 * 0.75)


def test_splits_that_were_found_are_kept():
    source = numbered([30, 50])
    test = Arrays(PixelStore(4, (1, 1, 1)), np.array([0, 1, 0, 1], "int32"))
    splits = make_splits(Source("s", ("a", "b"), {**source.splits, "test": test}), 0.1, 0.3, 0)
    assert splits["test"] is test
    assert len(splits["validation"]) == 8
    assert len(splits["train"]) == 72


def test_nothing_is_cut_where_all_splits_are_there():
    examples = numbered([5, 5]).splits["train"]
    found = {"train": examples, "validation": examples, "test": examples}
    assert make_splits(Source("s", ("a", "b"), found), 0.1, 0.1, 0) == found


def test_split_folders_are_kept_as_they_are(split_folder):
    assert data.load(split_folder, seed=3).class_counts() == {
        "train": [10, 10, 10],
        "validation": [3, 3, 3],
        "test": [4, 4, 4],
    }


def test_the_made_test_split_does_not_depend_on_the_validation_fraction():
    source = numbered([30, 50])
    assert members(make_splits(source, 0.1, 0.2, 0))["test"] == members(make_splits(source, 0.3, 0.2, 0))["test"]


@pytest.mark.parametrize(("found", "needed"), [((), 3), (("test",), 2)])
def test_too_few_images_are_named_with_their_class(found, needed):
    source = numbered([20, needed - 1])
    extra = dict.fromkeys(found, source.splits["train"])
    with pytest.raises(
        DataError, match=rf"class 'b' has {needed - 1} usable training images, and {needed} are needed"
    ) as error:
        make_splits(Source("s", ("a", "b"), {**source.splits, **extra}), 0.1, 0.1, 0)
    assert "add images, or make the splits" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("argument", ["validation", "test"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_zero_and_one_is_named(argument, value):
    with pytest.raises(DataError, match=rf"{argument} must be a fraction in \(0, 1\)\. Received: {argument}="):
        make_splits(numbered([20, 20]), **{"validation": 0.1, "test": 0.1, argument: value}, seed=0)


def test_fractions_that_leave_no_training_images_are_refused():
    with pytest.raises(DataError, match=r"must leave training images\. Received: 0\.5 \+ 0\.5"):
        make_splits(numbered([20, 20]), 0.5, 0.5, 0)
