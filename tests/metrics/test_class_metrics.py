"""The Keras metrics BalancedAccuracy and MacroF1 against NumPy and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn import metrics

from kerastricks.errors import ConfigError
from kerastricks.metrics import BalancedAccuracy, MacroF1

CLASSES = 5


def images(count=40, seed=0):
    """Labels of all classes but the last, logits, and weights, some of them 0."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(CLASSES - 1, count, p=[0.6, 0.2, 0.15, 0.05])
    logits = draw.normal(0, 1, (count, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]
    return labels, logits.astype("float32"), draw.integers(0, 3, count).astype("float32")


def reference(labels, predicted, weights):
    """Mean recall and mean F1 of the classes with a label, from their definitions."""
    recalls, scores = [], []
    for one in range(CLASSES):
        hits = weights[(labels == one) & (predicted == one)].sum()
        missed = weights[(labels == one) & (predicted != one)].sum()
        false = weights[(labels != one) & (predicted == one)].sum()
        if hits + missed:
            recalls.append(hits / (hits + missed))
            scores.append(2 * hits / (2 * hits + false + missed))
    return np.mean(recalls), np.mean(scores)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_batches_of_any_labels_outputs_and_weights_add_up_to_the_definition():
    labels, logits, weights = images()
    column, mixed = labels[:, None], 0.7 * np.eye(CLASSES, dtype="float32")[labels] + 0.3 / CLASSES
    for given, outputs, used in (
        (labels, logits, None),
        (column.astype("float32"), softmax(logits), weights),
        (mixed, logits, weights[:, None]),
    ):
        found = [BalancedAccuracy(CLASSES), MacroF1(CLASSES)]
        for metric in found:
            for start in range(0, len(labels), 16):
                part = slice(start, start + 16)
                metric.update_state(given[part], outputs[part], None if used is None else used[part])
        wanted = reference(labels, logits.argmax(axis=1), np.ones(len(labels)) if used is None else weights)
        np.testing.assert_allclose([float(metric.result()) for metric in found], wanted, rtol=1e-6)


def test_a_compiled_fit_logs_them_for_its_epochs_and_validation():
    labels, logits, weights = images()
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(CLASSES, kernel_initializer="identity")])
    model.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[BalancedAccuracy(CLASSES)],
        weighted_metrics=[MacroF1(CLASSES)],
        jit_compile=keras.backend.backend() != "torch",
    )
    seen = model.fit(logits, labels, 16, 1, verbose=0, sample_weight=weights, validation_data=(logits, labels)).history
    predicted, equal = logits.argmax(axis=1), np.ones(len(labels))
    found = [seen[name][0] for name in ("balanced_accuracy", "macro_f1", "val_balanced_accuracy", "val_macro_f1")]
    plain = reference(labels, predicted, equal)
    wanted = (plain[0], reference(labels, predicted, weights)[1], *plain)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_they_start_at_zero_and_are_reset():
    for metric in (BalancedAccuracy(3), MacroF1(3)):
        assert float(metric.result()) == 0
        metric.update_state(np.array([1]), np.array([[0.0, 1, 0]]))
        assert float(metric.result()) == 1
        metric.reset_state()
        assert float(metric.result()) == 0


@pytest.mark.tensorflow_only
def test_they_agree_with_scikit_learn():
    labels, logits, weights = images(200, seed=1)
    predicted, balanced, f1 = logits.argmax(axis=1), BalancedAccuracy(CLASSES), MacroF1(CLASSES)
    balanced.update_state(labels, logits, weights)
    f1.update_state(labels, logits, weights)
    expected = metrics.recall_score(
        labels, predicted, labels=np.unique(labels), average="macro", sample_weight=weights, zero_division=0
    )
    assert float(balanced.result()) == pytest.approx(expected, rel=1e-6)
    expected = metrics.f1_score(
        labels, predicted, labels=np.unique(labels), average="macro", sample_weight=weights, zero_division=0
    )
    assert float(f1.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.tensorflow_only
def test_they_survive_their_config():
    for metric in (BalancedAccuracy(3, name="mine"), MacroF1(4, dtype="float64")):
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()


@pytest.mark.tensorflow_only
def test_another_number_of_classes_is_refused():
    for wrong in (1, 2.0, True):
        with pytest.raises(ConfigError, match="class_count must be 2 or more"):
            BalancedAccuracy(wrong)
    with pytest.raises(ConfigError, match=r"class_count must be the number of outputs, 3. Received: 4"):
        MacroF1(4).update_state(np.array([1]), np.zeros((1, 3), "float32"))
