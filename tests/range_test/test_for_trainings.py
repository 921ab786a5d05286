"""The range test of a kerastricks training."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from keras import ops

import kerastricks
from kerastricks.errors import ConfigError, UsageError
from kerastricks.range_test import find_learning_rate
from kerastricks.training import Config


def digits(augment=""):
    x = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1)).astype("uint8")
    return kerastricks.data.load((x, np.arange(96) % 3), batch_size=16, augment=augment)


def network(data, spec="plain_cnn(widths=(4,), dropout=0.2)"):
    return kerastricks.models.create(spec, data.image_shape, 3, mean=data.mean, std=data.std)


@pytest.mark.parametrize(
    ("augment", "optimizer"),
    [
        ("", "sgd(momentum=0.9, nesterov=True)"),
        tensorflow_case("", "adamw"),
        tensorflow_case("pad_crop(1)", "sgd(momentum=0.9, nesterov=True)"),
        tensorflow_case("pad_crop(1)", "adamw"),
        tensorflow_case("pad_crop(1) | mixup(0.4)", "sgd(momentum=0.9, nesterov=True)"),
        ("pad_crop(1) | mixup(0.4)", "adamw"),
    ],
)
def test_the_model_is_afterwards_as_before(augment, optimizer):
    data = digits(augment)
    model = network(data)
    before = [np.array(ops.convert_to_numpy(variable.value)) for variable in model.variables]
    policies = [layer.dtype_policy.name for layer in model.layers]
    config = Config(epochs=1, optimizer=optimizer, precision="mixed_bfloat16")
    result = find_learning_rate(model, data, config, sweeps=2, steps=20)
    assert result.losses.shape == (2, 20)
    assert np.isfinite(result.losses[:, 0]).all()
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable.value), value)
    assert [layer.dtype_policy.name for layer in model.layers] == policies
    assert not any("call" in vars(layer) for layer in model.layers)


def test_its_first_loss_is_that_of_the_training():
    data = digits()
    model = network(data, "mlp(depth=1, width=8)")
    config = Config(epochs=1, precision="float32", label_smoothing=0.1, clip_norm=None, weight_decay=0.0)
    images = np.concatenate([images.numpy() for images, _ in data.train_from(0).take(data.steps_per_epoch)])
    labels = np.concatenate([labels.numpy() for _, labels in data.train_from(0).take(data.steps_per_epoch)])
    probabilities = np.clip(ops.convert_to_numpy(model(images)).astype("float64"), 1e-12, 1)
    targets = 0.9 * np.eye(3)[labels] + 0.1 / 3
    batches = -(targets * np.log(probabilities)).sum(axis=1).reshape(data.steps_per_epoch, -1).mean(axis=1)
    result = find_learning_rate(model, data, config, low=1e-12, high=1e-11, sweeps=3, steps=20)
    for sweep in result.losses:  # nothing is learned: each step shows the loss of its batch
        np.testing.assert_allclose(np.sort(sweep[: data.steps_per_epoch]), np.sort(batches), rtol=1e-4)


@pytest.mark.tensorflow_only
def test_schedule_and_rate_of_the_configuration_do_not_matter():
    data = digits()
    model = network(data)
    found = [
        find_learning_rate(model, data, Config(epochs=2, learning_rate=rate, schedule=schedule), sweeps=1, steps=20)
        for rate, schedule in ((0.2, "linear(warmup=0.2)"), (0.003, "constant"))
    ]
    np.testing.assert_array_equal(found[0].losses, found[1].losses)


@pytest.mark.tensorflow_only
def test_rates_are_those_of_the_base_batch():
    data = digits()
    model = network(data)
    plain = find_learning_rate(model, data, Config(epochs=1), low=2e-3, high=2.0, sweeps=1, steps=20)
    scaled = Config(epochs=1, batch_size=16, scale_lr="linear", base_batch=8)
    result = find_learning_rate(model, data, scaled, low=1e-3, high=1.0, sweeps=1, steps=20)
    np.testing.assert_allclose(result.rates, plain.rates / 2, rtol=1e-9)
    np.testing.assert_allclose(result.losses, plain.losses, rtol=1e-4)


@pytest.mark.tensorflow_only
def test_a_model_of_other_images_is_refused():
    data = digits()
    wrong = kerastricks.models.create("mlp(depth=1, width=8)", (9, 9, 1), 3)
    with pytest.raises(ConfigError, match="model takes images of shape"):
        find_learning_rate(wrong, data)
    with pytest.raises(UsageError):
        find_learning_rate(keras.Sequential([keras.layers.Dense(3)]), data)
