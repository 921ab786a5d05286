"""Training with the augmentation on the device: mixed labels, images that are there already, resuming."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

import kerastricks
from kerastricks.augment import Augment
from kerastricks.data.image_data import ImageData
from kerastricks.losses import LabelSmoothingCrossentropy
from kerastricks.models import create
from kerastricks.training import Config, checkpoint, fit, resumable
from kerastricks.training.device import DevicePixels
from kerastricks.training.training_model import TrainingModel

CONFIG = Config(epochs=2, learning_rate=0.05, precision="float32", jit=False)
STILL = Config(epochs=1, learning_rate=1e-12, weight_decay=0.0, precision="float32", jit=False)
MIXING = "flip | pad_crop(1) | fancy_pca(0.1) | mixup(1.0)"
STEPS = 4  # per epoch
BACKEND = keras.backend.backend()
JAX = BACKEND == "jax"


def load(augment=MIXING, stages="device"):
    generator = np.random.default_rng(0)
    labels = np.arange(64) % 3
    images = np.clip(generator.normal(110, 40, (64, 8, 8, 3)) + 30 * labels[:, None, None, None], 0, 255)
    return kerastricks.data.load(
        (images.astype("uint8"), labels), augment=augment, batch_size=12, seed=1, stages=stages
    )


def new_model():
    keras.utils.set_random_seed(7)
    return create("mlp(depth=1, width=8, dropout=0.3)", (8, 8, 3), 3)


def still_model():
    """Without dropout and batch statistics: what training computes can be computed by hand."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 64)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 0.1))(x))


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def weights(model):
    return [numbers(weight) for weight in model.weights]


def crossentropy(labels, logits, smoothing):
    """Of each image, by its definition, for labels (batch, classes)."""
    logits = logits.astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -((labels * (1 - smoothing) + smoothing / labels.shape[1]) * log_p).sum(axis=1)


class DeviceBuffers(keras.callbacks.Callback):
    """Where the images lie after each step."""

    def __init__(self):
        super().__init__()
        self.places = set()

    def on_train_batch_end(self, batch, logs=None):
        if JAX:
            self.model.jax_state_sync()
        value = self.model.pixels.pixels.value
        self.places.add(value.unsafe_buffer_pointer() if JAX else id(value))


@pytest.mark.parametrize(
    "augment",
    ["flip | pad_crop(1) | brightness(0.2)", MIXING, *map(tensorflow_case, ("fancy_pca(0.1)", "flip | cutmix"))],
)
def test_training_runs_on_the_device(augment):
    data, model = load(augment), new_model()
    assert data.device_store() is not None
    history = fit(model, data, Config(epochs=8, learning_rate=0.1, precision="float32", jit=False)).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["val_loss"][-1] < history["val_loss"][0]


@pytest.mark.skipif(BACKEND == "torch", reason="torch.compile needs a C++ compiler and minutes")
def test_training_on_the_device_is_compiled():
    model = new_model()
    before = weights(model)
    history = fit(model, load(), Config(epochs=1, learning_rate=0.1, precision="float32", jit=True)).history
    assert np.isfinite(history["loss"]).all()
    assert not np.array_equal(weights(model)[-1], before[-1])


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_accuracy_of_a_step_are_those_of_the_mixed_labels(smoothing, pixels):
    data, classifier = load("flip | pad_crop(1) | brightness(0.2) | mixup(1.0)"), still_model()
    stage = data.device_stage
    images, labels = next(iter(data.train_from(0).take(1)))
    index, _ = next(iter(data.train_from(0, indices=True).take(1)))
    images, labels, index = images.numpy(), labels.numpy(), index.numpy()

    plan = stage.plan((8, 8, 3))
    twin = Augment.from_config(stage.get_config())
    shown, mixed = twin.transform(images, keras.ops.convert_to_tensor(labels), twin.draw(12, plan), plan)
    logits, mixed = numbers(classifier(shown)), numbers(mixed)
    assert (mixed.max(axis=1) < 1).any()
    expected = crossentropy(mixed, logits, smoothing).mean()
    accuracy = (logits.argmax(axis=1) == mixed.argmax(axis=1)).mean()

    store = DevicePixels(data.device_store(), (8, 8, 3)) if pixels else None
    model = TrainingModel(classifier, stage, pixels=store)
    model.compile(
        keras.optimizers.SGD(0.0),
        LabelSmoothingCrossentropy(smoothing),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    model.build((None, 8, 8, 3))
    logs = model.train_on_batch((index if pixels else images, labels), labels, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(numbers(model.batch_loss.value)) == pytest.approx(expected, rel=1e-5)
    assert float(logs["accuracy"]) == pytest.approx(accuracy, abs=1e-6)


def test_labels_that_the_host_mixed_reach_loss_and_accuracy():
    data, model = load("flip | cutmix", stages="host"), still_model()
    losses, right = [], []
    for images, labels in data.train_from(0).take(STEPS):
        logits = numbers(model(images.numpy()))
        losses.extend(crossentropy(labels.numpy(), logits, STILL.label_smoothing))
        right.extend(logits.argmax(axis=1) == labels.numpy().argmax(axis=1))
    images, labels = map(np.concatenate, zip(*data.validation.as_numpy_iterator(), strict=True))
    logits = numbers(model(images))
    history = fit(model, data, STILL).history
    assert history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-4)
    assert history["accuracy"][0] == pytest.approx(np.mean(right), abs=1e-6)
    validation = crossentropy(np.eye(3)[labels], logits, STILL.label_smoothing).mean()
    assert history["val_loss"][0] == pytest.approx(validation, rel=1e-4)
    assert history["val_accuracy"][0] == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-6)


@pytest.mark.parametrize("augment", ["flip | pad_crop(1) | rotate(9) | mixup", "fancy_pca(0.1)"])
def test_images_on_the_device_train_as_batches_do(augment, monkeypatch):
    first, second = new_model(), new_model()
    fit(first, load(augment), CONFIG)
    monkeypatch.setattr(ImageData, "device_store", lambda data: None)
    fit(second, load(augment), CONFIG)
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_training_twice_on_the_same_data_is_the_same_training():
    data, first, second = load(), new_model(), new_model()
    for model in (first, second):
        fit(model, data, CONFIG)
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("crash", [tensorflow_case(2), STEPS + 1])
def test_a_resumed_training_ends_in_the_same_weights(crash, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(resumable, "_SHARE_OF_TIME", 0)
    seen = []

    def fail(batch, logs=None):
        seen.append(batch)
        if len(seen) == crash + 1:
            raise RuntimeError("crash")

    whole, resumed = new_model(), new_model()
    fit(whole, load(), CONFIG)
    crasher = keras.callbacks.LambdaCallback(on_train_batch_begin=fail)
    with pytest.raises(RuntimeError, match="crash"):
        fit(new_model(), load(), CONFIG, run_folder=tmp_path, callbacks=[crasher])
    assert checkpoint.read_position(tmp_path / checkpoint.FILE_NAME).step == crash
    fit(resumed, load(), CONFIG, run_folder=tmp_path, callbacks=[keras.callbacks.LambdaCallback()])
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_images_on_the_device_are_sent_once_and_never_saved(tmp_path):
    data, buffers = load(), DeviceBuffers()
    best = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    # Compiled on JAX, where a step is given the memory of all state and gives it back.
    config = dataclasses.replace(CONFIG, jit=JAX)
    before = data.device_store().copy()
    fit(new_model(), data, config, run_folder=tmp_path, callbacks=[buffers, best, saver])
    assert len(buffers.places) == 1
    np.testing.assert_array_equal(data.device_store(), before)
    with np.load(tmp_path / checkpoint.FILE_NAME) as file:
        assert data.device_store().shape not in {file[name].shape for name in file.files}
    keras.models.load_model(tmp_path / "best.keras")


def test_device_pixels_give_images_by_number_and_are_no_weights():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2)).astype("uint8")
    layer = DevicePixels(np.concatenate([images.reshape(-1, 2), np.zeros((1, 2), "uint8")]), (4, 3, 2))
    found = layer(np.array([4, 0, 4], "int32"))
    assert keras.backend.standardize_dtype(found.dtype) == "uint8"
    np.testing.assert_array_equal(numbers(found), images[[4, 0, 4]])
    assert layer.weights == layer.get_weights() == []
    assert len(layer.non_trainable_variables) == 1  # an argument of a compiled step, and no constant in it
