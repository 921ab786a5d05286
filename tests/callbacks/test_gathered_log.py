"""The log of a training in progress: resumed, begun anew, and read from any model."""

import keras
import numpy as np
import pytest

from kerastricks.callbacks import Doctor
from kerastricks.callbacks.gathered_log import GatheredLog, classes_of, optimizer_name, smoothing_of
from kerastricks.doctor import TrainingLog
from kerastricks.doctor.training_log import smoothing_floor
from kerastricks.losses import LabelSmoothingCrossentropy

pytestmark = pytest.mark.tensorflow_only


def gathered(epochs, steps=4, earlier=None, first_epoch=0, **fields):
    log = GatheredLog(earlier, first_epoch, **fields)
    for epoch in range(first_epoch, first_epoch + epochs):
        for step in range(steps):
            log.add_step(10.0 * epoch + step)
        log.add_epoch(epoch, {"loss": float(epoch), "val_acc": 0.5}, rate=0.1)
    return log


def test_steps_and_epochs_are_numbered_from_the_beginning_of_the_training():
    log = gathered(2).whole()
    assert log.epochs.tolist() == [1, 2]
    assert log.steps.tolist() == list(range(1, 9))
    assert log.loss.tolist() == [0, 1]
    assert log.val_accuracy.tolist() == [0.5, 0.5]
    assert np.isnan(log.val_loss).all()
    assert log.learning_rate.tolist() == [0.1, 0.1]
    later = gathered(2, first_epoch=3).whole()
    assert later.epochs.tolist() == [4, 5]
    assert later.steps.tolist() == list(range(13, 21))
    known = gathered(0, first_epoch=3, steps_per_epoch=5)
    known.add_step(1.0)
    assert known.of_steps(0.1).steps.tolist() == [16]


def test_an_earlier_log_is_its_beginning():
    log = gathered(1, first_epoch=2, earlier=gathered(2).whole()).whole()
    assert log.epochs.tolist() == [1, 2, 3]
    assert log.steps.tolist() == list(range(1, 13))
    assert log.step_loss.tolist() == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    of_epochs = TrainingLog(epochs=np.array([1.0]), **dict.fromkeys(("loss", "val_loss"), np.array([9.0])))
    of_epochs = of_epochs.joined(TrainingLog(steps=np.array([1.0]), step_loss=np.array([8.0])))
    assert gathered(0, earlier=of_epochs).of_steps(0.1).step_loss.tolist() == [8]


def test_up_to_an_epoch():
    whole = gathered(3)
    part = whole.until(1)
    assert part.epochs.tolist() == [1]
    assert part.step_loss.tolist() == [0, 1, 2, 3]
    assert whole.until(0) is None
    assert whole.until(3).epochs.tolist() == [1, 2, 3]
    assert GatheredLog().until(0) is None


def test_a_loss_that_is_not_finite_is_infinite_and_other_metrics_are_let_go():
    log = GatheredLog()
    log.add_step(float("nan"))
    assert not log.add_epoch(0, {"loss": 1.0, "val_loss": float("nan"), "auc": 0.3}, rate=0.1)
    assert log.add_epoch(1, {"auc": 0.3}, rate=0.1)
    whole = log.whole()
    assert whole.step_loss.tolist() == [np.inf]
    assert whole.val_loss.tolist()[0] == np.inf
    assert np.isnan(whole.loss[1])


@pytest.mark.parametrize(
    ("units", "loss", "classes"),
    [
        (5, "sparse_categorical_crossentropy", 5),
        (5, keras.losses.CategoricalCrossentropy(from_logits=True), 5),
        (1, keras.losses.binary_crossentropy, 2),
        (5, "binary_crossentropy", None),
        (5, "mse", None),
        (5, keras.losses.CategoricalFocalCrossentropy(), None),
    ],
)
def test_classes_are_those_of_a_plain_classifier(units, loss, classes):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    model.compile("sgd", loss)
    assert classes_of(model) == classes


def test_what_is_no_plain_classifier_has_no_classes():
    images = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 1)])
    images.compile("sgd", "sparse_categorical_crossentropy")
    assert classes_of(images) is None
    inputs = keras.Input((2,))
    two = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)])
    two.compile("sgd", ["sparse_categorical_crossentropy"] * 2)
    assert classes_of(two) is None


@pytest.mark.parametrize(
    ("loss", "smoothing"),
    [
        (LabelSmoothingCrossentropy(0.1), 0.1),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.2), 0.2),
        (keras.losses.SparseCategoricalCrossentropy(), 0.0),
        ("sparse_categorical_crossentropy", 0.0),
    ],
)
def test_label_smoothing_of_the_loss_gives_the_floor_of_a_doctor(loss, smoothing):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5, activation="softmax")])
    model.compile("sgd", loss)
    assert smoothing_of(model) == smoothing
    doctor = Doctor(say=[].append)
    doctor.set_model(model)
    doctor.on_train_begin()
    doctor.on_epoch_begin(0)
    assert doctor.log.floor == smoothing_floor(smoothing, 5)


def test_names_of_optimizers():
    assert optimizer_name(keras.optimizers.AdamW()) == "adamw"
    assert optimizer_name(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())) == "sgd"
    assert optimizer_name(None) is None
