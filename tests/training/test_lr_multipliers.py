"""A learning rate per layer."""

import json

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import ConfigError, UnknownNameError, UsageError
from kerastricks.training import Config, fit

CONFIG = Config(
    epochs=1,
    optimizer="sgd",
    learning_rate=0.01,
    schedule="constant",
    weight_decay=0.0,
    label_smoothing=0.0,
    clip_norm=None,
    precision="float32",
    jit=False,
)


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 8, 8, 3)).astype("uint8")
    # One batch an epoch, so that each weight makes one step.
    return kerastricks.data.load((images, np.arange(40) % 2), batch_size=40, seed=1)


def steps(data, rates):
    """How far each weight went in one step."""
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("mlp(depth=2, width=4)", (8, 8, 3), 2)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    fit(model, data, CONFIG, lr_multipliers=rates, progress_line=False)
    return {
        layer.name: [b - a for a, b in zip(before[layer.name], layer.get_weights(), strict=True)]
        for layer in model.layers
        if layer.trainable_weights
    }


def test_a_layer_goes_its_factor_as_far(data):
    plain = steps(data, None)
    rated = steps(data, {"dense1": 0.1, "dense2": 0.5})
    for name, factor in (("dense1", 0.1), ("dense2", 0.5), ("logits", 1.0)):
        for with_rate, without in zip(rated[name], plain[name], strict=True):
            assert np.abs(without).max() > 0
            np.testing.assert_allclose(with_rate, factor * without, rtol=1e-3, atol=1e-7)


def test_the_log_has_the_highest_rate(data, tmp_path):
    model = kerastricks.models.create("mlp(depth=2, width=4)", (8, 8, 3), 2)
    fit(model, data, CONFIG, lr_multipliers={"dense1": 0.1}, run_folder=tmp_path, progress_line=False)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert line["learning_rate"] == pytest.approx(0.01)


def test_decay_leaves_biases_alone_in_every_group(data):
    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("mlp(depth=1, width=4)", (8, 8, 3), 2)
    for layer in ("dense1", "logits"):
        model.get_layer(layer).bias.assign(np.full(model.get_layer(layer).bias.shape, 5.0))
    config = Config(**{**CONFIG.as_dict(), "learning_rate": 1e-6, "weight_decay": 1e5})
    fit(model, data, config, lr_multipliers={"dense1": 0.5}, progress_line=False)
    for layer in ("dense1", "logits"):
        np.testing.assert_allclose(model.get_layer(layer).get_weights()[1], 5.0, atol=1e-3)
        assert np.abs(model.get_layer(layer).get_weights()[0]).max() < 5.0


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        ({"dense7": 0.1}, UnknownNameError, "no layer of the model is called 'dense7': did you mean dense1"),
        ({"dense1": 0.0}, ConfigError, r"lr_multipliers must be above 0: freeze a layer by trainable = False"),
        ({"dense1": float("nan")}, ConfigError, "lr_multipliers must be above 0"),
    ],
)
def test_bad_rates_are_named(data, rates, error, message):
    model = kerastricks.models.create("mlp(depth=1, width=4)", (8, 8, 3), 2)
    with pytest.raises(error, match=message):
        fit(model, data, CONFIG, lr_multipliers=rates)


@pytest.mark.tensorflow_only
def test_the_former_name_of_the_argument_is_refused_with_the_new_one():
    for error in (TypeError, UsageError):
        with pytest.raises(error, match=r"fit\(rates=\.\.\.\) is now fit\(lr_multipliers=\.\.\.\)"):
            fit(None, None, CONFIG, rates={"dense1": 0.1})
