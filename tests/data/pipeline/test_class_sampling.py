"""Sampling by class: its frequencies, its order within a class, and that it can be resumed at any step."""

import numpy as np
import pytest
from scipy import stats

import kerastricks
from kerastricks.data.pipeline.sampling import ClassSampler, downsampled
from kerastricks.data.sources.source import Arrays, PixelStore, Source
from kerastricks.errors import ConfigError, DataError, SpecError, UnknownNameError
from kerastricks.imbalance import Remedies

pytestmark = pytest.mark.tensorflow_only

COUNTS = (300, 60, 9, 1)
NAMES = ("a", "b", "c", "d")
EPOCHS = 4


def source(counts=COUNTS):
    """Image i holds the number i; its classes come one after the other."""
    labels = np.repeat(np.arange(len(counts)), counts).astype("int32")
    images = np.zeros((len(labels), 4, 4, 3), "uint8")
    images[:, :, :, 0], images[:, :, :, 1] = (np.arange(len(labels)) // 256)[:, None, None], 7
    images[:, :, :, 2] = (np.arange(len(labels)) % 256)[:, None, None]
    few = Arrays(PixelStore.holding(images[: len(counts)]), np.arange(len(counts), dtype="int32"))
    train = Arrays(PixelStore.holding(images), labels)
    return Source("made", NAMES[: len(counts)], {"train": train, "validation": few, "test": few})


def load(imbalance="", epochs=EPOCHS, augment="", **options):
    data = kerastricks.data.load(source(), augment=augment, batch_size=10, seed=3, stages="host", **options)
    return data.balanced(imbalance, epochs) if imbalance else data


def drawn(data, first=0, steps=None):
    """Numbers of the images and their labels, a row for each batch."""
    steps = EPOCHS * data.steps_per_epoch if steps is None else steps
    batches = [(batch[0].numpy(), batch[1].numpy()) for batch in data.train_from(first).take(steps)]
    numbers = [images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 0, 2] for images, _ in batches]
    return np.stack(numbers), np.stack([labels for _, labels in batches])


def by_epoch(labels, data):
    epochs = labels.reshape(-1, data.steps_per_epoch * data.batch_size)
    return np.stack([np.bincount(epoch, minlength=len(COUNTS)) for epoch in epochs])


def shares(power):
    rates = np.array(COUNTS, float) ** power
    return rates / rates.sum()


@pytest.mark.parametrize(
    ("imbalance", "expected"),
    [
        ("upsample", [shares(0)] * EPOCHS),
        ("square_root_sampling", [shares(0.5)] * EPOCHS),
        ("progressive_sampling", [shares(1) + t / 3 * (shares(0) - shares(1)) for t in range(4)]),
        ("class_aware_batches", [shares(0)] * EPOCHS),
        ('class_rates({"a": 0.5, "b": 0.3, "c": 0.2, "d": 0})', [np.array([0.5, 0.3, 0.2, 0])] * EPOCHS),
        ("class_aware_batches(start=0.5)", [shares(1)] * 2 + [shares(0)] * 2),
    ],
)
def test_classes_have_their_shares_of_each_epoch(imbalance, expected):
    data = load(imbalance)
    found = by_epoch(drawn(data)[1], data)
    assert (found.sum(axis=1) == 370).all()
    assert (np.abs(found - 370 * np.stack(expected)) <= (4 if "start" in imbalance else 1)).all()


def test_shares_are_those_asked_for_by_a_chi_square_bound_over_whole_batches_too():
    """Each batch of `upsample` is a part of a shuffled epoch: its classes are as often as in independent draws."""
    data = load("upsample", epochs=20)
    labels = drawn(data, steps=20 * data.steps_per_epoch)[1]
    in_epochs = np.bincount(labels.ravel(), minlength=4)
    assert stats.chisquare(in_epochs).pvalue > 1e-3
    first_places = np.bincount(labels[:, 0], minlength=4)
    assert stats.chisquare(first_places).pvalue > 1e-3
    assert len({tuple(row) for row in labels}) > 0.9 * len(labels)


def test_class_aware_batches_hold_each_class_equally_often():
    labels = drawn(load("class_aware_batches"))[1]
    counts = np.stack([np.bincount(row, minlength=4) for row in labels])
    assert counts.min() >= 2
    assert counts.max() <= 3


def test_an_image_of_a_class_is_drawn_as_often_as_any_other_and_in_new_orders():
    numbers, labels = drawn(load("upsample"))
    for label, count in enumerate(COUNTS):
        times = np.bincount(numbers[labels == label])[-count:]
        assert times.max() - times.min() <= 1, label
    of_class = numbers[labels == 2][:36].reshape(4, 9)
    assert not (of_class[0] == of_class[1]).all()


@pytest.mark.parametrize("imbalance", ["upsample", "progressive_sampling", "class_aware_batches(start=0.5)"])
def test_a_resumed_training_draws_the_same_images(imbalance):
    whole = drawn(load(imbalance))[0]
    for first in (1, 74, 90):
        np.testing.assert_array_equal(drawn(load(imbalance), first, 5)[0], whole[first : first + 5])


def test_an_image_meets_others_in_each_round_through_its_class():
    labels = np.repeat([0, 1], 9)
    sampler = ClassSampler(Remedies.parse("class_aware_batches").sampling, labels, ("a", "b"), 1)
    at = sampler.indices(seed=3, batch_size=2, steps=9)
    pairs = {tuple(sorted(at(np.int64(epoch), np.int64(step)).numpy())) for epoch in range(6) for step in range(9)}
    assert all(one < 9 <= other for one, other in pairs)
    assert len(pairs) > 30


def test_a_share_below_one_image_of_an_epoch_is_drawn_all_the_same():
    sampling = Remedies.parse('class_rates({"a": 0.499, "b": 0.4, "c": 0.1, "d": 0.001})').sampling
    sampler = ClassSampler(sampling, np.repeat(np.arange(4), COUNTS), NAMES, 20)
    found = sampler.images_per_epoch(370).sum(axis=0)
    assert np.abs(found - 20 * 370 * np.array([0.499, 0.4, 0.1, 0.001])).max() < 2


def test_a_data_set_that_is_iterated_on_goes_on_through_its_classes():
    numbers, labels = drawn(load("upsample", epochs=2), steps=5 * 37)
    for label, count in enumerate(COUNTS):
        times = np.bincount(numbers[labels == label])[-count:]
        assert times.max() - times.min() <= 1, label


def test_another_seed_gives_another_order_and_what_begins_late_is_the_plain_order_before():
    numbers = drawn(load("upsample"))[0]
    assert (drawn(load().reseeded(4).balanced("upsample", EPOCHS))[0] != numbers).any()
    (images, labels), (others, other_labels) = (
        drawn(load().reseeded(seed).balanced("class_aware_batches"), steps=1) for seed in (3, 4)
    )
    assert (np.sort(images) != np.sort(others)).any()
    assert (labels != other_labels).any()
    late, plain = drawn(load("upsample(start=0.5)"))[0], drawn(load())[0]
    np.testing.assert_array_equal(late[:74], plain[:74])
    assert (late[74:] != plain[74:]).any()


def test_repeated_images_are_augmented_each_time_anew_and_only_rare_ones_by_for_rare():
    data = load("upsample", augment="for_rare('brightness(0.9)')")
    seen = {label: [] for label in range(4)}
    for images, labels in data.train_from(0).take(40):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            seen[int(label)].append(float(image[0, 0, 1]))
    changed = [np.mean(np.abs(np.array(seen[label]) - 7) > 1e-3) for label in range(4)]
    assert changed[0] == 0
    for label in (1, 2, 3):
        probability = 1 - COUNTS[label] / 300
        assert abs(changed[label] - probability) < 4 * np.sqrt(probability * 0.1 / len(seen[label])) + 0.02
    assert len(set(seen[3])) > 0.9 * len(seen[3])  # one image, never the same
    assert max(seen[1]) > 7 * 1.7  # what is drawn does not depend on whether it is applied


def test_downsampling_leaves_a_stratified_subset_that_begins_again_where_it_is_applied_twice():
    data = load().downsampled(ratio=60)
    assert data.class_counts()["train"] == [60, 60, 9, 1]
    again = data.balanced("downsample(ratio=60)")
    assert again.class_counts()["train"] == [60, 60, 9, 1]
    assert again.steps_per_epoch == 13
    assert load("downsample(ratio=60)").class_counts() == data.class_counts()


def test_weights_of_classes_come_with_the_batches_from_their_epoch_on():
    data = load("class_weights(inverse, start=0.5)")
    expected = 370 / (4 * np.array(COUNTS))
    for first, weighted in ((0, False), (74, True)):
        for _, labels, weights in data.train_from(first).take(5):
            wanted = expected[labels.numpy()] if weighted else np.ones(10)
            np.testing.assert_allclose(weights.numpy(), wanted, rtol=1e-5)
    assert all(len(batch) == 2 for batch in data.validation)


@pytest.mark.parametrize(
    ("imbalance", "error", "message"),
    [
        ("downsample", ConfigError, r"downsample\(ratio=1\) leaves 4 of 370 training images, as class 'd' has 1"),
        ('class_rates({"a": 0.5, "x": 0.5})', UnknownNameError, "no class of the data is called 'x'"),
        ('class_rates({"a": 0.5, "b": 0.5})', ConfigError, "class_rates has no share for class 'c'"),
        ('class_rates({"a": 0.5, "b": 0.4})', ConfigError, "shares of class_rates must have a sum of 1.*0.9"),
        ('class_weights({"dog": 2})', UnknownNameError, "no class of the data is called 'dog'"),
        ("class_weights(cubic)", UnknownNameError, "no rule of class weights is called 'cubic'"),
        ('class_weights({"a": -1})', ConfigError, "weight of class 'a' must be a number of 0 or more"),
        ("upsample | class_aware_batches", ConfigError, "at most one of sampling.*upsample and class_aware_batches"),
        ("upsample(start=1.0)", ConfigError, r"start must be in \[0, 1\)"),
        ("oversample", UnknownNameError, "no remedy for imbalanced classes is called 'oversample'"),
        ("auto", ConfigError, 'imbalance="auto" is decided by a training'),
        ("focal(gama=2)", SpecError, "gama"),
    ],
)
def test_what_does_not_fit_is_named(imbalance, error, message):
    with pytest.raises(error, match=message):
        load(imbalance)


@pytest.mark.parametrize("counts", [(3, 1), (1000, 5, 5)])
def test_downsampling_to_one_image_a_class_or_to_less_than_a_tenth_is_refused(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    with pytest.raises(ConfigError, match=r"leaves .* raise ratio, or take upsample or balanced_softmax"):
        downsampled(labels, NAMES[: len(counts)], 1.0, 0)


def test_a_class_without_an_image_is_named():
    labels = np.array([0, 0, 2])
    for call in (
        lambda: ClassSampler(Remedies.parse("upsample").sampling, labels, ("a", "b", "c"), 1),
        lambda: downsampled(labels, ("a", "b", "c"), 1.0, 0),
    ):
        with pytest.raises(ConfigError, match=r"class 'b' has no training image.*leave the class out"):
            call()


def test_one_hot_labels_of_several_classes_are_refused():
    with pytest.raises(DataError, match="multi-label targets are not supported"):
        kerastricks.data.load((np.zeros((4, 8, 8, 1), "uint8"), np.eye(4)))
