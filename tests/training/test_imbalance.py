"""`Config.imbalance` in a training: what the loss is, what is resumed, what is refused."""

import os
import signal

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import ConfigError, Interrupted
from kerastricks.losses import LabelAwareSmoothing, LDAMLoss, LogitAdjustedCrossentropy
from kerastricks.training import Config, Distillation, checkpoint, fit
from kerastricks.training.datasets import seeded
from kerastricks.training.fitting import training_loss
from kerastricks.training.resolved_config import resolve

pytestmark = pytest.mark.tensorflow_only

CONFIG = Config(epochs=2, learning_rate=0.05, precision="float32", jit=False, early_stopping_epochs=None)
LABELS = np.concatenate([np.full(60, 0), np.full(15, 1), np.full(5, 2)])


def load():
    images = np.random.default_rng(0).integers(0, 256, (80, 6, 6, 1)).astype("uint8")
    return kerastricks.data.load((images, LABELS), batch_size=8, seed=1, stages="host")


def small_model(cosine_scale=None):
    keras.utils.set_random_seed(7)
    return kerastricks.models.create("plain_cnn(widths=(4,), whitening=False)", (6, 6, 1), 3, cosine_scale=cosine_scale)


def trained(data, config, **options):
    model = small_model()
    history = fit(model, data, config, progress_line=False, **options)
    return [np.asarray(weight) for weight in model.get_weights()], history.history


@pytest.mark.parametrize(
    ("imbalance", "kind"),
    [("balanced_softmax", LogitAdjustedCrossentropy), ("label_aware_smoothing", LabelAwareSmoothing)],
)
def test_the_loss_knows_the_training_counts_and_validation_has_the_same_loss(imbalance, kind):
    data = load()
    config = CONFIG.replace(imbalance=imbalance, learning_rate=1e-12, weight_decay=0.0)
    model = small_model()
    history = fit(model, data, config, progress_line=False).history
    made = kind(data.class_counts()["train"], from_logits=False)
    if kind is LogitAdjustedCrossentropy:
        made.smoothing = config.label_smoothing
    images, labels = (np.concatenate(part) for part in zip(*data.validation.as_numpy_iterator(), strict=True))
    expected = float(made(labels, model.predict(images, verbose=0)))
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-3)


def test_val_loss_does_not_see_class_weights_as_keras_has_it():
    data = load()
    still = CONFIG.replace(learning_rate=1e-12, weight_decay=0.0)
    plain, weighted = (trained(data, still.replace(imbalance=i))[1] for i in ("", "class_weights(inverse)"))
    assert weighted["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-5)
    assert abs(weighted["loss"][0] - plain["loss"][0]) > 1e-3


@pytest.mark.parametrize("imbalance", ["class_aware_batches(start=0.5) | class_weights(square_root, start=0.5)"])
def test_a_resumed_training_ends_in_the_same_weights(imbalance, tmp_path):
    data, config = load(), CONFIG.replace(imbalance=imbalance)
    whole, _ = trained(data, config)

    class Stop(keras.callbacks.Callback):
        is_saved = False

        def on_train_batch_end(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        trained(data, config, run_folder=tmp_path, callbacks=[Stop()])
    assert checkpoint.read_position(tmp_path / checkpoint.FILE_NAME).step == 1
    again, _ = trained(data, config, run_folder=tmp_path)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert checkpoint.read_position(tmp_path / checkpoint.FILE_NAME).finished


def test_ldam_wants_a_head_of_cosines_that_stays_of_unit_weights_through_a_training():
    data, config = load(), CONFIG.replace(imbalance="ldam(scale=10)")
    with pytest.raises(ConfigError, match=r"ldam needs a model with a head of cosines.*balanced_softmax"):
        fit(small_model(), data, config, progress_line=False)
    model = small_model(cosine_scale=10.0)
    images = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 1)).astype("float32")
    features = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    for _ in range(2):
        kernel = np.asarray(model.get_layer("logits").kernel)
        np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, rtol=1e-5)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        np.testing.assert_allclose(logits.predict(images, verbose=0), 10 * unit @ kernel, atol=1e-4)
        fit(model, data, config, progress_line=False)
        features = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
    assert isinstance(training_loss(resolve(config, data), True, data), LDAMLoss)


def test_downsampling_comes_with_the_images_of_a_run_so_that_epochs_and_lengths_are_of_what_is_left():
    data = load()
    left = seeded(data, CONFIG.replace(imbalance="downsample(ratio=2)"))
    fewest = min(data.class_counts()["train"])
    assert max(left.class_counts()["train"]) == 2 * fewest
    assert seeded(data, CONFIG.replace(imbalance="upsample")).class_counts() == data.class_counts()


def test_auto_is_decided_by_the_counts_and_a_late_start_excludes_an_early_end():
    data = load()
    assert resolve(Config(imbalance="auto"), data).imbalance == "balanced_softmax"
    assert resolve(Config(), data).early_stopping_epochs == "saturated"
    assert resolve(Config(imbalance="upsample(start=0.8)"), data).early_stopping_epochs is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"imbalance": "upsample(start=0.8)", "minutes": 1.0},
            "imbalance must be without what begins after",
        ),
        ({"imbalance": "ldam(0)"}, "max_margin must be in"),
        ({"imbalance": "focal | ldam"}, "at most one of sampling, class weights and loss each"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused_before_any_image_is_read(fields, message):
    with pytest.raises(ConfigError, match=message):
        Config(**fields)


def test_a_teacher_and_a_loss_exclude_each_other():
    config = CONFIG.replace(imbalance="balanced_softmax")
    with pytest.raises(ConfigError, match="asks for a loss, and a distillation has its own"):
        fit(small_model(), load(), config, distillation=Distillation(small_model()), progress_line=False)
