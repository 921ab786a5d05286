"""Splits, order and bags by seeds of their own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import kerastricks
from kerastricks.errors import DataError
from kerastricks.training import Config
from kerastricks.training.datasets import load_data, load_splits, seeded

pytestmark = pytest.mark.tensorflow_only
IMAGES = np.arange(120 * 64).reshape(120, 8, 8, 1) % 251
ARRAYS = (IMAGES.astype("uint8"), np.arange(120) % 3)


def of(**fields):
    return load_data(ARRAYS, Config(augment="pad_crop(1)", batch_size=16, **fields))


def batches(data):
    return [(images.numpy(), labels.numpy()) for images, labels in data.train]


def equal(first, second):
    return all(
        np.array_equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_several_seeds_have_the_same_splits_and_batches_of_their_own():
    first, second = of(seed=0, split_seed=0), of(seed=1, split_seed=0)
    for split in ("train", "validation", "test"):
        assert first.files(split) == second.files(split)
    assert second.files("validation") != of(seed=1).files("validation")
    assert not equal(batches(first), batches(second))


def test_a_split_seed_equal_to_the_seed_changes_nothing():
    assert equal(batches(of(seed=4)), batches(of(seed=4, split_seed=4)))
    plain = kerastricks.data.load(ARRAYS, augment="pad_crop(1)", batch_size=16, seed=4)
    assert equal(batches(of(seed=4)), batches(plain))


def test_images_read_once_give_what_reading_them_for_each_seed_gives():
    shared = load_splits(ARRAYS, Config(augment="pad_crop(1)", batch_size=16, split_seed=0))
    for fields in ({"seed": 0}, {"seed": 7}, {"seed": 7, "bagging": True}):
        config = Config(augment="pad_crop(1)", batch_size=16, split_seed=0, **fields)
        again = load_data(ARRAYS, config)
        assert equal(batches(seeded(shared, config)), batches(again))
        assert_array_equal(seeded(shared, config).sample(), again.sample())


def test_a_bag_is_drawn_with_replacement_from_the_training_images_alone():
    whole, bag = of(seed=2), of(seed=2, bagging=True)
    drawn = bag.files("train")
    assert len(drawn) == len(whole.files("train")) == 96
    assert set(drawn) <= set(whole.files("train"))
    # Of n draws from n, each image is drawn with probability 1 - (1 - 1/n)^n; the variance of the share of images
    # seen is below that of independent ones: four standard deviations.
    expected = 1 - (1 - 1 / 96) ** 96
    assert abs(len(set(drawn)) / 96 - expected) < 4 * np.sqrt(expected * (1 - expected) / 96)
    assert bag.files("validation") == whole.files("validation")
    assert bag.files("test") == whole.files("test")
    assert of(seed=2, bagging=True).files("train") == drawn
    assert of(seed=3, split_seed=2, bagging=True).files("train") != drawn


def test_a_bag_keeps_images_and_labels_together():
    data = load_data(ARRAYS, Config(augment="", batch_size=8, bagging=True))
    known = {image.tobytes(): label for image, label in zip(*ARRAYS, strict=True)}
    for images, labels in data.train:
        assert [known[image.astype("uint8").tobytes()] for image in images.numpy()] == labels.numpy().tolist()


@pytest.mark.parametrize("augment", ["flip", "random_resized_crop | flip"])
def test_files_are_bagged(augment, image_folder):
    """Decoded as they are used, and cut from originals in memory."""
    fields = {"augment": augment, "image_size": 8, "batch_size": 6}
    whole, bag = (load_data(image_folder, Config(**fields, bagging=bagging)) for bagging in (False, True))
    names = bag.files("train")
    assert len(names) == len(whole.files("train"))
    assert len(set(names)) < len(names)
    label = {name: bag.class_names.index(name.split("/")[0]) for name in names}
    assert [label[name] for name in names] == bag.labels("train").tolist()
    # Blue, green, red: the label and the strongest channel tell of the same class.
    for images, labels in bag.train:
        assert_array_equal(images.numpy().mean(axis=(1, 2)).argmax(axis=1), 2 - labels.numpy())


def test_a_data_service_has_no_bag(monkeypatch):
    data = of()
    monkeypatch.setattr(data.splits["train"], "service", object())
    with pytest.raises(DataError, match="bagging draws from images that are read here"):
        data.bagged()
