"""A leading random_resized_crop cuts from images at their own size, wherever these are kept."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerastricks import data
from kerastricks.data.pipeline.stages import draw_uniforms
from kerastricks.data.sources.source import Arrays, Files

pytestmark = pytest.mark.tensorflow_only

SPEC = "flip | random_resized_crop(0.2)"
SIDE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of PNG, which are decoded exactly, of sizes from 20 x 30 on; name to pixels."""
    folder = tmp_path_factory.mktemp("originals")
    generator = np.random.default_rng(0)
    for number in range(24):
        size = (20 + number, 30 + 2 * number, 3)
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, size).astype("uint8")).save(path)
    return folder


def load(folder, **more):
    options = {"augment": SPEC, "batch_size": 4, "image_size": SIDE, "stages": "host", "seed": 5, "memory_bytes": 0}
    return data.load(folder, **{**options, **more})


def batches(loaded, count=6):
    return [images.numpy() for images, _ in loaded.train_from(0).take(count)]


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_decoded_images_give_the_batches_of_the_files(folder, tmp_path, where):
    kept = load(folder, **({"memory_bytes": 1 << 30} if where == "memory" else {"cache_dir": tmp_path / "cache"}))
    assert kept.in_memory == (where == "memory")
    assert list((tmp_path / "cache").glob("*.decoded")) if where == "disk" else True
    for found, expected in zip(batches(kept), batches(load(folder)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_batch_is_the_drawn_windows_resized_and_then_flipped(folder):
    loaded = load(folder, augment="random_resized_crop(0.2)")
    train, augmentation = loaded.splits["train"], loaded.augmentation
    assert isinstance(train.examples, Files)
    for step, found in enumerate(batches(loaded, 3)):
        chosen = train._shuffled(tf.constant(0, tf.int64), tf.constant(step, tf.int64)).numpy()
        uniforms = draw_uniforms(5, tf.constant(0, tf.int64), tf.constant(step, tf.int64), 4, augmentation.uniforms)
        windows = augmentation.windows(uniforms, tf.constant(train.examples.sizes[chosen])).numpy()
        for image, index, (top, left, height, width) in zip(found, chosen, windows, strict=True):
            pixels = np.asarray(Image.open(folder / train.examples.names[index]))
            assert top + height <= pixels.shape[0]
            assert left + width <= pixels.shape[1]
            window = pixels[top : top + height, left : left + width]
            expected = tf.image.resize(window, (SIDE, SIDE), antialias=True).numpy()
            assert np.abs(image - expected).max() <= 0.5 + 1e-3


def test_a_flip_before_the_crop_is_one_behind_it(folder):
    before, behind = (
        load(folder, augment=spec) for spec in ("flip | random_resized_crop", "random_resized_crop | flip")
    )
    assert before.augmentation.crop is not None
    for images, others in zip(batches(before), batches(behind), strict=True):
        np.testing.assert_array_equal(images, others)


def test_any_step_can_be_had_at_once(folder):
    loaded = load(folder)
    expected = batches(loaded, 8)[5:]
    for (images, _), wanted in zip(loaded.train_from(5).take(3), expected, strict=True):
        np.testing.assert_array_equal(images, wanted)


def test_evaluation_sees_whole_images_from_memory_where_they_fit(folder):
    loaded = load(folder, memory_bytes=1 << 30)
    streamed = load(folder)
    assert isinstance(loaded.splits["test"].examples, Arrays)
    for (images, labels), (others, classes) in zip(loaded.test, streamed.test, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, classes)


def test_images_of_the_right_size_are_plain_arrays(folder, tmp_path):
    for number in range(12):
        path = tmp_path / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (number, 0, 0)).save(path)
    loaded = load(tmp_path, memory_bytes=1 << 30)
    assert isinstance(loaded.splits["train"].examples, Arrays)
    assert loaded.augmentation.crop is None
    assert batches(loaded, 1)[0].dtype == np.uint8


def test_fewer_images_are_cut_from_the_same_pixels(folder):
    for options in ({}, {"memory_bytes": 1 << 30}):
        limited = load(folder, **options).limited(8)
        images = np.concatenate(batches(limited, 2))
        assert images.shape == (8, SIDE, SIDE, 3)
    assert limited.splits["train"].decoded.sizes.shape == (8, 2)
