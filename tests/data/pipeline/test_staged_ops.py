"""The ops of a spec, from `load` to finished batches."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerastricks import data
from kerastricks.augment.op import Draws, ImageSpec
from kerastricks.augment.plan import Plan
from kerastricks.data import PixelStatistics
from kerastricks.data.pipeline import batches as batches_module
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.data.pipeline.stages import StagedOps, draw_uniforms
from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import SpecError, UnknownNameError

SPEC = "flip | pad_crop(2) | fancy_pca(0.1)"


def photographs(count=40, channels=3):
    """Smooth colours with noise, so that the covariance is a real one."""
    generator = np.random.default_rng(0)
    base = generator.uniform(60, 200, (count, 1, 1, channels))
    return np.clip(base + generator.normal(0, 20, (count, 8, 8, channels)), 0, 255).astype("uint8")


def image_spec(images=None):
    images = photographs() if images is None else images
    statistics = PixelStatistics(images.shape[-1])
    statistics.update(images)
    return ImageSpec(images.shape[1:], 2, statistics)


def arrays(channels=3):
    return photographs(channels=channels), np.arange(40) % 2


def unfused(loaded, images, labels, epoch, step, index):
    """The definition, op by op, with the draws of that batch."""
    augmentation = loaded.augmentation
    plan = Plan(augmentation.plan.ops, augmentation.image_spec, fuse=False)
    epoch, step = tf.constant(epoch, tf.int64), tf.constant(step, tf.int64)
    draws = Draws(draw_uniforms(loaded.seed, epoch, step, len(images), plan.uniforms), epoch, tf.constant(index))
    return plan(tf.constant(images), tf.constant(labels), draws, tensorflow_arrays)


@pytest.mark.parametrize("spec", [SPEC, "pad_crop(3)", "rotate(20) | brightness(0.3)", "flip | normalize | mixup(0.4)"])
@pytest.mark.tensorflow_only  # what the host does is TensorFlow on every backend
@pytest.mark.parametrize("compiled", [False, True])
def test_batches_are_what_the_ops_give_one_by_one(spec, compiled, monkeypatch):
    monkeypatch.setattr(batches_module, "COMPILE_FROM", 0 if compiled else 1 << 60)
    loaded = data.load(arrays(), augment=spec, batch_size=8, stages="host", seed=3)
    plain = data.load(arrays(), batch_size=8, stages="host", seed=3)
    for number, ((images, labels), (originals, classes)) in enumerate(
        zip(loaded.train_from(0).take(6), plain.train_from(0).take(6), strict=True)
    ):
        position = divmod(number, loaded.steps_per_epoch)
        expected, targets = unfused(loaded, originals.numpy(), classes.numpy(), *position, np.zeros(8, "int32"))
        np.testing.assert_allclose(tf.cast(images, tf.float32), tf.cast(expected, tf.float32), atol=2e-3)
        np.testing.assert_allclose(labels, targets, atol=1e-6)


@pytest.mark.tensorflow_only
def test_no_spec_changes_nothing():
    augmentation = StagedOps("", image_spec(), 0)
    images, _ = augmentation.on_host(tf.constant(photographs()), tf.zeros(40, tf.int32))
    np.testing.assert_array_equal(images, photographs())
    assert augmentation.device_stage is None


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("spec", ["flip | pad_crop(2)", "rotate(10)"])
def test_pixels_that_are_only_moved_stay_uint8(spec):
    images, _ = next(iter(data.load(arrays(), augment=spec, batch_size=8, stages="host").train))
    assert images.dtype == tf.uint8


def test_auto_is_the_host_without_a_gpu():
    loaded = data.load(arrays(), augment=SPEC, batch_size=8)
    assert (loaded.device_stage is None) == (not has_gpu())


def test_stages_host_leaves_nothing_for_the_device():
    loaded = data.load(arrays(), augment=SPEC, batch_size=8, stages="host")
    assert loaded.device_stage is None
    assert loaded.device_store() is None
    images, _ = next(iter(loaded.train))
    assert images.dtype == tf.float32
    assert 0 <= float(tf.reduce_min(images)) < float(tf.reduce_max(images)) <= 255


def test_stages_device_leaves_uint8_for_the_layer():
    loaded = data.load(arrays(), augment=SPEC, batch_size=8, stages="device")
    images, labels = next(iter(loaded.train))
    assert images.dtype == tf.uint8
    augmented, _ = loaded.device_stage((images.numpy(), labels.numpy()), training=True)
    assert np.abs(ops.convert_to_numpy(augmented) - images.numpy()).max() > 0
    untouched = loaded.device_stage(images.numpy(), training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(untouched), images.numpy())


@pytest.mark.tensorflow_only
def test_an_op_that_counts_epochs_stays_on_the_host_with_all_before_it():
    augmentation = StagedOps("pad_crop(1) | alternating_flip | brightness(0.1)", image_spec(), 0, "device")
    assert len(augmentation.host_plan.ops) == 2
    assert augmentation.device_plan.uniforms == 1


def test_the_store_of_the_device_holds_the_images_and_a_black_pixel():
    loaded = data.load(arrays(), augment="flip", batch_size=8, stages="device")
    store = loaded.device_store()
    assert store.shape == (40 * 64 + 1, 3)
    np.testing.assert_array_equal(store[:-1].reshape(40, 8, 8, 3), photographs())
    np.testing.assert_array_equal(store[-1], 0)
    pairs = zip(loaded.train_from(3, indices=True).take(5), loaded.train_from(3).take(5), strict=True)
    for (index, labels), (images, expected) in pairs:
        np.testing.assert_array_equal(photographs()[index.numpy()], images)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.tensorflow_only
def test_fancy_pca_is_fitted_on_the_training_split():
    loaded = data.load(arrays(), augment="fancy_pca(0.3, 'stddev')", batch_size=8)
    train = np.concatenate([images.numpy() for images, _ in loaded.splits["train"].evaluation()])
    values, vectors = np.linalg.eigh(np.cov(train.reshape(-1, 3).T / 255.0, bias=True))
    (op,) = loaded.augmentation.plan.ops
    components = np.array(op.components) / 255
    np.testing.assert_allclose(np.linalg.norm(components, axis=1), np.sqrt(values[::-1]), rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(np.sum(components * vectors.T[::-1], 1)), np.linalg.norm(components, axis=1), rtol=1e-6
    )


@pytest.mark.tensorflow_only
def test_normalize_is_applied_to_evaluation_too():
    loaded = data.load(arrays(), augment="flip | normalize", batch_size=8)
    raw = np.concatenate([images.numpy() for images, _ in loaded.splits["validation"].evaluation()])
    found = np.concatenate([images.numpy() for images, _ in loaded.validation])
    np.testing.assert_allclose(found, (raw - loaded.mean) / loaded.std, atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip | pad_crop(-1)", r"pad_crop: pixels must be .*\(op 2 of 'flip \| pad_crop\(-1\)'\)"),
        ("flip(2) | pad_crop(1)", r"flip: rate must be .*\(op 1 of 'flip\(2\) \| pad_crop\(1\)'\)"),
        ("flip | pad_crop(1, 2, 3)", r"pad_crop\(1, 2, 3\): .*\(op 2 of 'flip \| pad_crop\(1, 2, 3\)'\)"),
        ("flip(side=1)", r"flip\(side=1\): .*arguments of flip: rate\) \(op 1 of 'flip\(side=1\)'\)"),
        ("flip | flip([1])", r"flip\(\[1\]\): .*\(op 2 of 'flip \| flip\(\[1\]\)'\)"),
        ("flip | fancy_pca(-1)", r"fancy_pca: stddev must be .*\(op 2 of 'flip \| fancy_pca\(-1\)'\)"),
        ("flip | fancy_pca(1, 'x')", r"fancy_pca: scale must be .*\(op 2 of "),
        ("flip | fancy_pca([1])", r"fancy_pca.*\(op 2 of 'flip \| fancy_pca\(\[1\]\)'\)"),
        ("normalize | brightness", r"brightness: comes after normalize, .*\(op 2 of 'normalize \| brightness'\)"),
        ("mixup | flip", r"flip: comes after mixup, .*\(op 2 of 'mixup \| flip'\)"),
        ("flip | pad_crop(8)", r"pad_crop: pixels must be below the image's side, 8.*\(op 2 of "),
        ("flip | 4", r"'flip \| 4': expected name"),
        ("pad_crop(4", r"'pad_crop\(4': does not parse"),
    ],
)
def test_an_error_names_the_op_its_place_and_the_whole_spec(text, message):
    with pytest.raises(SpecError, match=message) as error:
        data.load(arrays(), augment=text)
    assert "\n" not in str(error.value)


@pytest.mark.tensorflow_only
def test_an_unknown_op_gets_the_nearest_and_its_place():
    with pytest.raises(UnknownNameError, match=r"no op is called 'padcrop': did you mean pad_crop.*\(op 2 of") as error:
        data.load(arrays(), augment="flip | padcrop(4)")
    assert "\n" not in str(error.value)


@pytest.mark.tensorflow_only
def test_an_unknown_op_is_refused_before_the_source_is_looked_at():
    with pytest.raises(UnknownNameError, match="padcrop"):
        data.load("no_such_folder/", augment="padcrop(4)")


@pytest.mark.tensorflow_only
def test_fancy_pca_of_grey_images_names_its_place():
    with pytest.raises(SpecError, match=r"fancy_pca needs colour images: .*\(op 2 of 'flip \| fancy_pca'\)"):
        data.load(arrays(1), augment="flip | fancy_pca")


@pytest.mark.tensorflow_only
def test_stages_of_another_name_are_refused():
    with pytest.raises(SpecError, match=r"stages must be \"auto\", \"host\" or \"device\"\. Received: stages='gpu'"):
        data.load(arrays(), stages="gpu")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("kind", "expected"), [("files", "flip | pad_crop(2)"), ("arrays", "pad_crop(1)")])
def test_auto_flips_photographs_alone(image_folder, kind, expected):
    loaded = data.load(image_folder if kind == "files" else arrays(), augment="auto")
    assert loaded.augmentation.text == expected
