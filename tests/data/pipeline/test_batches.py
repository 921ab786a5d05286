"""Batches: reproducible, resumable at any step, the same from memory and from files. Runs under every backend."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastricks import data

tensorflow_only = pytest.mark.tensorflow_only
SPEC = "flip | pad_crop(2)"


def numbered(count=53):
    """Image i holds the number i; `load` cuts validation and test from them."""
    images = np.broadcast_to(np.arange(count, dtype="uint8").reshape(-1, 1, 1, 1), (count, 4, 4, 1))
    return np.ascontiguousarray(images), np.arange(count) * 7 % 3


def taken(dataset, count=None):
    dataset = dataset if count is None else dataset.take(count)
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def numbers(batches):
    return [images[:, 0, 0, 0].tolist() for images, _ in batches]


def flat(batches):
    return [number for batch in batches for number in batch]


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def differ(batches, others):
    return any((images != other).any() for (images, _), (other, _) in zip(batches, others, strict=True))


@pytest.mark.tensorflow_only
def test_the_same_seed_gives_the_same_batches(split_folder):
    first, second = (
        data.load(split_folder, augment=f"{SPEC} | fancy_pca(0.3)", batch_size=8, seed=5) for _ in range(2)
    )
    assert_same(taken(first.train), taken(second.train))
    assert_same(taken(first.train_from(0), 5), taken(second.train_from(0), 5))


@tensorflow_only
def test_another_seed_gives_other_batches():
    first, second = (data.load(numbered(), batch_size=8, seed=seed, validation=0.2) for seed in (5, 6))
    assert differ(taken(first.train), taken(second.train))
    assert differ(taken(first.train_from(0), 5), taken(second.train_from(0), 5))
    assert differ(taken(first.validation), taken(second.validation))


@tensorflow_only
def test_another_seed_gives_other_draws_of_the_same_images(split_folder):
    # One batch of all images: sorted by content, only the draws can differ.
    first, second = (
        taken(data.load(split_folder, augment="fancy_pca(0.5)", batch_size=30, seed=seed).train)[0][0]
        for seed in (5, 6)
    )
    assert not np.allclose(np.sort(first.mean((1, 2)), 0), np.sort(second.mean((1, 2)), 0))


@tensorflow_only
@pytest.mark.parametrize("count", [53, 48])
def test_each_epoch_is_a_permutation_without_repeats(count):
    loaded = data.load(numbered(count), batch_size=5)
    train = set(flat(numbers(taken(loaded.splits["train"].evaluation()))))
    steps = loaded.steps_per_epoch
    assert steps == len(train) // 5
    batches = numbers(taken(loaded.train_from(0), 3 * steps))
    epochs = [flat(batches[epoch * steps : (epoch + 1) * steps]) for epoch in range(3)]
    for seen in [*epochs, flat(numbers(taken(loaded.train)))]:
        assert len(seen) == len(set(seen)) == 5 * steps
        assert set(seen) <= train
    assert epochs[0] != epochs[1] != epochs[2]


@tensorflow_only
def test_each_image_is_as_likely_in_the_first_batch():
    loaded = data.load(numbered(), batch_size=4)
    steps, epochs = loaded.steps_per_epoch, 300
    batches = numbers(taken(loaded.train_from(0), steps * epochs))
    counts = np.bincount(flat(batches[::steps]), minlength=53)
    rate = 4 / loaded.splits["train"].size
    assert (counts > 0).sum() == loaded.splits["train"].size
    assert np.abs(counts[counts > 0] - epochs * rate).max() < 5 * np.sqrt(epochs * rate * (1 - rate))


@tensorflow_only
@pytest.mark.parametrize("step", [1, 3, 4, 7])  # 3 batches an epoch
def test_training_can_begin_at_any_step(split_folder, step):
    loaded = data.load(split_folder, augment="flip | fancy_pca(0.3)", batch_size=9)
    assert loaded.steps_per_epoch == 3
    assert_same(taken(loaded.train_from(step), 4), taken(loaded.train_from(0), step + 4)[step:])


@tensorflow_only
def test_memory_and_files_give_the_same_batches(split_folder):
    memory, files = (
        data.load(split_folder, augment=f"{SPEC} | fancy_pca(0.3)", batch_size=7, memory_bytes=size)
        for size in (1 << 30, 0)
    )
    assert (memory.in_memory, files.in_memory) == (True, False)
    assert_same(taken(memory.train), taken(files.train))
    assert_same(taken(memory.train_from(3), 4), taken(files.train_from(3), 4))
    assert_same(taken(memory.validation), taken(files.validation))
    assert_same(taken(memory.test), taken(files.test))
    np.testing.assert_array_equal(memory.sample(11), files.sample(11))


@tensorflow_only
@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_a_second_iteration_has_another_order_and_is_the_same_from_run_to_run(split_folder, memory_bytes):
    runs = []
    for _ in range(2):
        train = data.load(split_folder, augment=SPEC, batch_size=8, memory_bytes=memory_bytes).train
        runs.append([taken(train) for _ in range(2)])
    assert differ(*runs[0])
    for epoch, again in zip(*runs, strict=True):
        assert_same(epoch, again)


@tensorflow_only
def test_a_loop_over_train_sees_another_order_each_time():
    loaded = data.load(numbered(), batch_size=8)
    epochs = [taken(loaded.train) for _ in range(2)]
    assert differ(*epochs)


@tensorflow_only
@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_evaluation_is_in_order_with_its_remainder_and_its_labels(split_folder, memory_bytes):
    loaded = data.load(split_folder, augment=SPEC, batch_size=5, memory_bytes=memory_bytes)
    for split, sizes in (("validation", [5, 4]), ("test", [5, 5, 2])):
        batches = taken(getattr(loaded, split))
        assert [len(images) for images, _ in batches] == sizes
        assert getattr(loaded, split).cardinality() == len(sizes)
        labels = np.concatenate([labels for _, labels in batches])
        np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], sum(sizes) // 3))
        np.testing.assert_array_equal(labels, loaded.labels(split))
        files = sorted((split_folder / split).rglob("*.png"))
        pixels = np.stack([keras.utils.img_to_array(keras.utils.load_img(file)) for file in files])
        np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), pixels)


@tensorflow_only
def test_training_labels_stay_with_their_images():
    images, labels = numbered()
    loaded = data.load((images, labels), batch_size=8)
    for batch, found in taken(loaded.train) + taken(loaded.train_from(2), 9):
        np.testing.assert_array_equal(found, labels[batch[:, 0, 0, 0]])


@tensorflow_only
@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_dtypes_shapes_ranges_and_cardinality_are_as_documented(split_folder, memory_bytes):
    loaded = data.load(split_folder, augment="flip | fancy_pca(9.0)", batch_size=8, memory_bytes=memory_bytes)
    images_spec, labels_spec = loaded.train.element_spec
    assert images_spec.shape.as_list() == [8, 20, 24, 3]
    assert labels_spec.dtype == tf.int32
    assert images_spec.dtype == (tf.float32 if loaded.device_stage is None else tf.uint8)
    assert loaded.train.cardinality() == loaded.steps_per_epoch == 3
    batches = taken(loaded.train)
    assert [images.shape[0] for images, _ in batches] == [8, 8, 8]
    for images, _ in batches:
        assert np.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 255
    images_spec, labels_spec = loaded.test.element_spec
    assert (images_spec.dtype, labels_spec.dtype) == (tf.uint8, tf.int32)
    assert images_spec.shape.as_list() == [None, 20, 24, 3]


@tensorflow_only
def test_a_batch_larger_than_the_data_is_lowered_to_it():
    loaded = data.load(numbered(), batch_size=1000)
    size = loaded.splits["train"].size
    assert loaded.batch_size == size
    ((images, _),) = taken(loaded.train)
    assert sorted(images[:, 0, 0, 0]) == sorted(flat(numbers(taken(loaded.splits["train"].evaluation()))))
    assert loaded.train.cardinality() == 1


@tensorflow_only
def test_grey_files_give_one_channel(tmp_path):
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for index in range(5):
            Image.new("L", (12, 10), 20 * index).save(tmp_path / label / f"{index}.png")
    loaded = data.load(tmp_path, batch_size=2)
    assert loaded.image_shape == (10, 12, 1)
    assert taken(loaded.train)[0][0].shape == (2, 10, 12, 1)


@tensorflow_only
def test_the_description_names_what_a_run_is_compared_by(split_folder):
    described = data.load(split_folder).describe()
    assert described["images"] == {"train": 30, "validation": 9, "test": 12}
    assert described["class_names"] == ["blue", "green", "red"]
    assert described["image_shape"] == [20, 24, 3]
    assert len(described["fingerprint"]) == 32


def test_train_is_the_epochs_of_train_from_whatever_the_global_seed():
    def batches(dataset, count):
        return [images.numpy() for images, _ in itertools.islice(iter(dataset), count)]

    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype("uint8")
    found = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        loaded = data.load((x, np.arange(40) % 2), augment="flip | pad_crop(1)", batch_size=8, seed=5)
        steps = loaded.steps_per_epoch
        expected = batches(loaded.train_from(0), 2 * steps)
        np.testing.assert_array_equal(expected, batches(loaded.train, steps) + batches(loaded.train, steps))
        found.append(expected)
    np.testing.assert_array_equal(*found)
