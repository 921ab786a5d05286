"""PlateauDecay: where it divides, on which optimizers, and that a resumed training divides alike."""

import math

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from keras.ops import convert_to_numpy

import kerastricks
from kerastricks.callbacks import PlateauDecay
from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.training import Config, checkpoint, fit, resumable

LOSSES = [1.0, 0.9, 0.95, 0.91, 0.9, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88]


def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")])


def rate(optimizer):
    return float(convert_to_numpy(optimizer.learning_rate))


def trail(callback, values, metric="val_loss", optimizer=None):
    """The rate after each epoch."""
    model = network()
    model.compile(optimizer or keras.optimizers.SGD(0.8), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {metric: value})
        rates.append(rate(model.optimizer))
    return rates


def reference(values, factor, patience, cooldown, min_rate, min_delta, start=0.8):
    """The rule in words, as a loop: epochs of a cooldown are not counted."""
    best, wait, cool, now, rates = math.inf, 0, 0, start, []
    for value in values:
        if cool > 0:
            cool, wait = cool - 1, 0
            counted = False
        else:
            counted = True
        if value < best - min_delta:
            best, wait = value, 0
        elif counted:
            wait += 1
            if wait >= patience:
                wait = 0
                if now > min_rate:
                    now, cool = max(now / factor, min_rate), cooldown
        rates.append(now)
    return rates


@pytest.mark.parametrize(
    ("factor", "patience", "cooldown", "min_rate", "min_delta"),
    [(2.0, 3, 0, 0.0, 1e-4), (5, 1, 0, 0.0, 0.0), (2.0, 2, 2, 0.0, 0.0), (2.0, 1, 1, 0.3, 0.0), (2.0, 2, 0, 0.0, 0.3)],
)
def test_divides_after_epochs_without_a_better_value(factor, patience, cooldown, min_rate, min_delta):
    expected = reference(LOSSES, factor, patience, cooldown, min_rate, min_delta)
    found = trail(PlateauDecay(factor, patience, cooldown, min_rate, min_delta), LOSSES)
    assert min(expected) < 0.8
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["val_accuracy", "val_balanced_accuracy", "val_macro_f1"])
def test_accuracies_shall_rise(name):
    found = trail(PlateauDecay(patience_epochs=1, monitor=name), [0.1, 0.2, 0.2, 0.3], name)
    assert found == pytest.approx([0.8, 0.8, 0.4, 0.4])


def test_agrees_with_keras_where_both_do_the_same():
    theirs = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.01)
    assert trail(PlateauDecay(2.0, 2, min_delta=0.01), LOSSES) == pytest.approx(trail(theirs, LOSSES))


def test_keeps_the_ratios_of_a_multi_optimizer_down_to_the_lowest_rate():
    model = network()
    optimizers = [keras.optimizers.SGD(0.08), keras.optimizers.Adam(0.8)]
    model.compile(keras.optimizers.MultiOptimizer(lambda v: optimizers["b/" in v.path]), "mse")
    callback = PlateauDecay(2.0, 1, min_rate=0.3)
    rates = []
    log = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: rates.append([rate(optimizer) for optimizer in optimizers])
    )
    spoil = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=1.0))
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    model.fit(x, y, epochs=4, verbose=0, callbacks=[spoil, callback, log])
    np.testing.assert_allclose(rates, [[0.08, 0.8], [0.08, 0.8], [0.04, 0.4], [0.03, 0.3]], rtol=1e-6)


def test_reaches_the_optimizer_inside_a_loss_scale_optimizer():
    inner = keras.optimizers.SGD(0.8)
    assert trail(PlateauDecay(2.0, 1), [1.0, 1.0], optimizer=keras.optimizers.LossScaleOptimizer(inner))[-1] == (
        pytest.approx(0.4)
    )
    assert rate(inner) == pytest.approx(0.4)


def test_warms_up_step_by_step():
    model = network()
    model.compile(keras.optimizers.SGD(0.8), "mse")
    log = Rates()
    x, y = np.zeros((6, 2), "float32"), np.zeros((6, 1), "float32")
    callback = PlateauDecay(2.0, 1, monitor="loss", min_delta=0.0, warmup_steps=4, warmup_start_rate=0.5)
    model.fit(x, y, batch_size=1, epochs=2, verbose=0, callbacks=[callback, log])
    # The loss is 0 in both epochs: the division comes after the last step.
    np.testing.assert_allclose(np.ravel(log.rates), [0.4, 0.5, 0.6, 0.7, *[0.8] * 8], rtol=1e-6)
    assert rate(model.optimizer) == pytest.approx(0.4)


def test_a_multi_optimizer_that_cannot_be_built_is_explained():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.MultiOptimizer(lambda v: keras.optimizers.SGD(0.1)), "mse")
    callback = PlateauDecay()
    callback.set_model(model)
    with pytest.raises(ConfigError, match="build the model first"):
        callback.on_train_begin()


def test_starts_anew_when_it_is_used_again():
    callback = PlateauDecay(2.0, 1)
    assert trail(callback, [1.0, 1.0]) == trail(callback, [1.0, 1.0]) == pytest.approx([0.8, 0.4])


@pytest.mark.parametrize("behind", ["plain", "multi"])
def test_a_schedule_is_explained_before_the_first_step(behind):
    optimizer = keras.optimizers.SGD(kerastricks.schedules.get("linear(0.1)", 10))
    if behind == "multi":
        optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(optimizer))
    model = network()
    model.compile(optimizer, "mse")
    with pytest.raises(ConfigError, match=r"PlateauDecay divides the learning rate, and the optimizer has a schedule"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[PlateauDecay()])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 0.5}, "factor must be what the rate is divided by, above 1"),
        ({"patience_epochs": 0}, "patience_epochs must be 1 or more"),
        ({"cooldown_epochs": -1}, "cooldown_epochs must be 0 or more"),
        ({"min_rate": -1.0}, "min_rate must be 0 or more"),
        ({"min_delta": -1.0}, "min_delta must be 0 or more"),
        ({"warmup_steps": -1}, "warmup_steps must be 0 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PlateauDecay(**arguments)


@pytest.mark.tensorflow_only
def test_a_lowest_rate_above_the_rate_and_a_metric_nobody_logs_are_named():
    with pytest.raises(ConfigError, match="min_rate must be below the rate of the optimizer"):
        trail(PlateauDecay(min_rate=0.9), LOSSES)
    with pytest.raises(ConfigError, match="monitor='val_los' is not in the logs: there is val_loss"):
        trail(PlateauDecay(monitor="val_los"), LOSSES)
    with pytest.raises(UnknownNameError, match="no metric is called 'val_los': did you mean val_loss"):
        Config(schedule="plateau(monitor='val_los')")


CONFIG = Config(
    epochs=6,
    learning_rate=0.05,
    schedule="plateau(factor=2, patience=2, min_delta=10)",
    precision="float32",
    jit=False,
)
STEPS = 4


def load():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = np.clip(generator.normal(110, 40, (60, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load((images.astype("uint8"), labels), augment="flip", batch_size=12, seed=1)


def new_model():
    keras.utils.set_random_seed(7)
    return kerastricks.models.create("mlp(depth=1, width=4)", (8, 8, 3), 3)


class Rates(keras.callbacks.Callback):
    """The rates of all groups at each step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        self.rates.append([rate(one) for one in getattr(optimizer, "optimizers", [optimizer])])


def crash_after(steps, log):
    def crash(batch, logs=None):
        if len(log.rates) == steps:
            raise RuntimeError("crash")

    return keras.callbacks.LambdaCallback(on_train_batch_begin=crash)


@pytest.mark.parametrize(
    ("crash", "scale_lr", "rates"),
    [
        (STEPS * 3 + 2, "constant", {"dense1": 0.1}),
        tensorflow_case(STEPS * 4, "constant", None),
        pytest.param(STEPS * 3 + 2, "constant", None, marks=pytest.mark.slow),
        pytest.param(STEPS * 4, "constant", {"dense1": 0.1}, marks=pytest.mark.slow),
        pytest.param(3, "linear", None, marks=pytest.mark.slow),
        pytest.param(3, "linear", {"dense1": 0.1}, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_training_divides_alike(crash, scale_lr, rates, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    config = Config(**{**CONFIG.as_dict(), "scale_lr": scale_lr, "base_batch": 3})
    data = load()
    assert data.steps_per_epoch == STEPS
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    undisturbed, model = Rates(), new_model()
    fit(model, data, config, lr_multipliers=rates, run_folder=whole, callbacks=[undisturbed], progress_line=False)
    highest = np.max(undisturbed.rates, axis=1)
    assert highest[-1] < highest[highest.argmax()], "it was divided"
    ratios = np.min(undisturbed.rates, axis=1) / highest
    np.testing.assert_allclose(ratios, 1.0 if rates is None else 0.1, rtol=1e-6)
    if scale_lr == "linear":  # from 0.05 to 0.2 over a fifth of the 24 steps
        np.testing.assert_allclose(highest[:7], 0.05 + 0.15 * np.minimum(np.arange(7) / 5, 1), rtol=1e-5)

    first = Rates()
    callbacks = [first, crash_after(crash, first)]
    with pytest.raises(RuntimeError, match="crash"):
        fit(
            new_model(), data, config, lr_multipliers=rates, run_folder=broken, callbacks=callbacks, progress_line=False
        )
    done = checkpoint.read_position(broken / checkpoint.FILE_NAME).step
    assert 0 < done <= crash
    rest, resumed = Rates(), new_model()
    callbacks = [rest, crash_after(None, rest)]
    fit(resumed, data, config, lr_multipliers=rates, run_folder=broken, callbacks=callbacks, progress_line=False)
    np.testing.assert_array_equal(rest.rates, undisturbed.rates)
    for ours, theirs in zip(resumed.weights, model.weights, strict=True):
        np.testing.assert_array_equal(convert_to_numpy(ours), convert_to_numpy(theirs))
