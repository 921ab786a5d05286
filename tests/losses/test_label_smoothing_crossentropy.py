"""LabelSmoothingCrossentropy against NumPy: Szegedy et al. 2016, section 7."""

import keras
import numpy as np
import pytest

from kerastricks.losses import LabelSmoothingCrossentropy


def reference(labels, logits, smoothing):
    shifted = logits.astype("float64") - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    classes = logits.shape[1]
    labels = labels if labels.ndim == 2 else np.eye(classes)[labels]
    target = labels * (1 - smoothing) + smoothing / classes
    return -(target * log_p).sum(axis=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("column", [False, True])
def test_equals_the_formula(smoothing, column):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (16, 5)).astype("float32")
    labels = generator.integers(0, 5, 16)
    loss = LabelSmoothingCrossentropy(smoothing, reduction=None)
    found = keras.ops.convert_to_numpy(loss(labels[:, None] if column else labels, logits))
    np.testing.assert_allclose(found, reference(labels, logits, smoothing), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_labels_follow_the_same_formula(smoothing):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (16, 5)).astype("float32")
    labels = generator.dirichlet(np.full(5, 0.3), 16).astype("float32")
    found = keras.ops.convert_to_numpy(LabelSmoothingCrossentropy(smoothing, reduction=None)(labels, logits))
    np.testing.assert_allclose(found, reference(labels, logits, smoothing), rtol=1e-5, atol=1e-5)


def test_from_probabilities_equals_from_logits():
    logits = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    labels = np.arange(8) % 4
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one = float(LabelSmoothingCrossentropy(0.1)(labels, logits))
    assert float(LabelSmoothingCrossentropy(0.1, from_logits=False)(labels, p)) == pytest.approx(one, rel=1e-5)


@pytest.mark.tensorflow_only
def test_smoothing_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"smoothing must be in \[0, 1\).*1.5"):
        LabelSmoothingCrossentropy(1.5)
