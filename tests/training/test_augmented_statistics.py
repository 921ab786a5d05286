"""Batch-norm statistics that are recomputed through the training model are those of the images it makes itself."""

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.layers import recompute_batch_norm
from kerastricks.training import Config, Distillation, fit
from kerastricks.training.device import DevicePixels
from kerastricks.training.fitting import fresh_stage
from kerastricks.training.training_model import TrainingModel

EVERY = pytest.mark.parametrize("augment", ["flip | cutout(4)", "flip | mixup(0.4)", "cutmix(1.0)", "mixup(0.4)"])


def load(augment):
    """The three channels are far apart, and a black hole or another image's part is seen in each."""
    generator = np.random.default_rng(0)
    images = np.clip(generator.normal([60, 110, 200], 30, (60, 8, 8, 3)), 0, 255).astype("uint8")
    return kerastricks.data.load((images, np.arange(60) % 3), augment=augment, batch_size=10, seed=1, stages="device")


def new_model():
    """What its normalisation sees is the mean of an image, so that mixing images shows.

    Scaled as networks do it: the variance of a large mean is of few digits in float32.
    """
    keras.utils.set_random_seed(7)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 64, -2.0)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.BatchNormalization()(x)))


def moving(model):
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    return [keras.ops.convert_to_numpy(value) for value in (layer.moving_mean, layer.moving_variance)]


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype("float64")


def of_images(batches):
    """Mean and population variance of what the normalisation gets, of all images together."""
    means = np.concatenate([images.mean(axis=(1, 2)) for images in batches]) / 64 - 2
    return means.mean(axis=0), means.var(axis=0)


def epoch(data, model):
    """As `fit` gives them to the model, as arrays."""
    batches = [
        (images.numpy(), labels.numpy())
        for images, labels in data.train_from(0, indices=model.pixels is not None).take(data.steps_per_epoch)
    ]
    return [((first, labels), labels) for first, labels in batches] if model.device_stage.mixes else batches


@EVERY
@pytest.mark.parametrize("on_device", [False, True])
def test_statistics_are_those_of_the_augmented_images(augment, on_device):
    data, model = load(augment), new_model()
    pixels = DevicePixels(data.device_store(), data.image_shape) if on_device else None
    trained = TrainingModel(model, fresh_stage(data.device_stage), pixels=pixels)
    trained.build((None, *data.image_shape))
    batches = epoch(data, trained)
    same_draws = fresh_stage(data.device_stage)
    plain = [(images.numpy(), labels.numpy()) for images, labels in data.train_from(0).take(data.steps_per_epoch)]
    if same_draws.mixes:
        augmented = [numbers(same_draws(pair, training=True)[0]) for pair in plain]
    else:
        augmented = [numbers(same_draws(images, training=True)) for images, _ in plain]
    before = [numbers(variable) for variable in trained.device_stage.variables]
    assert recompute_batch_norm(trained, batches) == 1
    for found, expected in zip(moving(model), of_images(augmented), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    untouched = of_images([images.astype("float64") for images, _ in plain])[1]
    assert np.abs(moving(model)[1] / untouched - 1).max() > 0.1  # they are not those of the images as they are
    # The draws of the training are where they were.
    assert all(
        np.array_equal(numbers(variable), value)
        for variable, value in zip(trained.device_stage.variables, before, strict=True)
    )


@pytest.mark.tensorflow_only
def test_a_teacher_keeps_its_statistics():
    """It sees the images in inference mode while the student's statistics are measured."""
    data, model, teacher = load("flip | mixup(0.4)"), new_model(), new_model()
    recompute_batch_norm(teacher, [np.random.default_rng(0).normal(90, 20, (20, 8, 8, 3)).astype("float32")])
    before = moving(teacher)
    config = Config(epochs=1, precision="float32", jit=False, average="ema(decay=0.8)")
    fit(model, data, config, distillation=Distillation(teacher), progress_line=False)
    assert all(np.array_equal(a, b) for a, b in zip(moving(teacher), before, strict=True))
    np.testing.assert_allclose(moving(model)[0], np.array([60, 110, 200]) / 64 - 2, atol=0.15)
