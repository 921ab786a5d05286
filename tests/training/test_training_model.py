"""TrainingModel: the batch's own loss, the head, the precision."""

import keras
import numpy as np
import pytest

from kerastricks.augment import Augment
from kerastricks.errors import UsageError
from kerastricks.models import create
from kerastricks.training.training_model import TrainingModel, precision, split_head


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


@pytest.mark.parametrize(
    ("last", "from_logits", "cut"),
    [
        (lambda x: keras.layers.Softmax()(keras.layers.Dense(3)(x)), True, True),
        (lambda x: keras.layers.Activation("softmax")(keras.layers.Dense(3)(x)), True, True),
        (lambda x: keras.layers.Dense(3, activation="softmax")(x), False, False),
        (lambda x: keras.layers.Dense(3)(x), True, False),
        (lambda x: keras.layers.Activation("linear", dtype="float32")(keras.layers.Dense(3)(x)), True, False),
        (
            lambda x: keras.layers.Activation("linear")(keras.layers.Softmax(axis=1)(keras.layers.Dense(3)(x))),
            True,
            True,
        ),
        (
            lambda x: keras.layers.Identity()(keras.layers.Dense(3, activation="softmax")(x)),
            False,
            False,
        ),
    ],
)
def test_heads_are_recognised(last, from_logits, cut):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, last(inputs))
    part, logits = split_head(model)
    assert logits is from_logits
    assert (part is not model) is cut


def test_a_softmax_in_a_nested_model_or_an_operation_is_no_logits():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    nested = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(2.0), inner])
    assert split_head(nested) == (nested, False)
    inputs = keras.Input((4,))
    operation = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(inputs)))
    assert split_head(operation) == (operation, False)
    with pytest.raises(UsageError, match="must be a softmax, or linear for logits"):
        split_head(keras.Model(inputs, keras.layers.Dropout(0.1)(keras.layers.Dense(3, activation="softmax")(inputs))))


def test_other_heads_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(UsageError, match="sigmoid"):
        split_head(keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(inputs)))
    with pytest.raises(UsageError, match="must be a softmax"):
        split_head(keras.Model(inputs, keras.layers.Softmax(axis=0)(inputs)))
    with pytest.raises(UsageError, match="functional or Sequential"):
        split_head(keras.Sequential([keras.layers.Dense(3)]))


def test_precision_changes_the_middle_and_comes_back():
    model = small()
    with precision(model, "mixed_bfloat16"):
        policies = {layer.name: layer.dtype_policy.name for layer in model.layers}
        assert policies["stage1_conv1"] == "mixed_bfloat16"
        for name in ("normalization", "logits", "probabilities"):
            assert policies[name] == "float32"
        assert all(keras.backend.standardize_dtype(w.dtype) == "float32" for w in model.trainable_weights)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


def test_precision_comes_back_after_an_error():
    model = small()
    with pytest.raises(KeyError), precision(model, "mixed_bfloat16"):
        raise KeyError
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
