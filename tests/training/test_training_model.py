"""TrainingModel: the batch's own loss, the device stage."""

import keras
import numpy as np
import pytest

from kerastricks.augment import Augment
from kerastricks.keras_graph import split_head
from kerastricks.models import create
from kerastricks.training.training_model import TrainingModel


def small(classes=3):
    return create("plain_cnn(widths=(4,))", (8, 8, 3), classes)


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(keras.ops.convert_to_numpy(self.model.batch_loss.value)))


def test_batch_loss_is_the_batchs_own_and_not_the_running_mean():
    classifier, _ = split_head(small())
    model = TrainingModel(classifier)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    images = np.random.default_rng(0).uniform(0, 255, (12, 8, 8, 3)).astype("float32")
    labels = np.arange(12) % 3
    losses = Losses()
    history = model.fit(images, labels, batch_size=4, shuffle=False, verbose=0, callbacks=[losses])
    assert len(losses.values) == 3
    assert len(set(losses.values)) == 3
    assert np.mean(losses.values) == pytest.approx(history.history["loss"][0], rel=1e-5)


def test_device_stage_augments_in_training_alone():
    classifier, _ = split_head(small())
    model = TrainingModel(classifier, Augment("brightness(0.9)", seed=0))
    images = np.full((2, 8, 8, 3), 120, "float32")
    plain = keras.ops.convert_to_numpy(classifier(images, training=False))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(images, training=False)), plain, atol=1e-6)
    first, second = (keras.ops.convert_to_numpy(model(images, training=True)) for _ in range(2))
    assert not np.allclose(first, second)
