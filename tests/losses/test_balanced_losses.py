"""Losses for imbalanced classes against NumPy, written from the papers."""

import keras
import numpy as np
import pytest

from kerastricks.losses import FocalCrossentropy, LabelAwareSmoothing, LDAMLoss, LogitAdjustedCrossentropy

COUNTS = (500, 80, 12, 3, 1)
CLASSES = len(COUNTS)


def log_softmax(logits):
    shifted = logits.astype("float64") - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def focal(labels, logits):
    """Lin et al. 2017, equation 4, gamma 2; labels smoothed by 0.1."""
    log_p = log_softmax(logits)
    return -(smoothed(labels) * (1 - np.exp(log_p)) ** 2 * log_p).sum(axis=1)


def adjusted(labels, logits):
    """Menon et al. 2021, equation 10, tau 1.5; labels smoothed by 0.1 towards prior^tau: balanced logits all alike."""
    prior = np.array(COUNTS) / sum(COUNTS)
    target = 0.9 * labels + 0.1 * prior**1.5 / (prior**1.5).sum()
    return -(target * log_softmax(logits + 1.5 * np.log(prior))).sum(axis=1)


def balanced_softmax(labels, logits):
    """Ren et al. 2020, equation 3: n_y exp(z_y) / sum n_j exp(z_j)."""
    weighted = np.array(COUNTS) * np.exp(logits.astype("float64"))
    return -(labels * np.log(weighted / weighted.sum(axis=1, keepdims=True))).sum(axis=1)


def ldam(labels, logits):
    """Cao et al. 2019, equations 12 and 13: C / n^(1/4), the largest margin 0.5; scale 30."""
    margins = 1 / np.array(COUNTS) ** 0.25
    return -(labels * log_softmax(logits - 30 * labels * 0.5 * margins / margins.max())).sum(axis=1)


def label_aware(labels, logits):
    """Zhong et al. 2021, equations 4 and 5 (concave): head 0.4, tail 0.1; one class after the other."""
    log_p, most, fewest = log_softmax(logits), max(COUNTS), min(COUNTS)
    total = np.zeros(len(labels))
    for label, count in enumerate(COUNTS):
        e = 0.1 + 0.3 * np.sin(np.pi * (count - fewest) / (2 * (most - fewest)))
        target = np.full(CLASSES, e / (CLASSES - 1))
        target[label] = 1 - e
        total -= labels[:, label] * (target * log_p).sum(axis=1)
    return total


def smoothed(labels):
    return 0.9 * labels + 0.1 / CLASSES


LOSSES = {
    "focal": (focal, lambda **more: FocalCrossentropy(2.0, 0.1, **more)),
    "logit-adjusted": (adjusted, lambda **more: LogitAdjustedCrossentropy(COUNTS, 1.5, 0.1, **more)),
    "balanced softmax": (balanced_softmax, lambda **more: LogitAdjustedCrossentropy(COUNTS, **more)),
    "LDAM": (ldam, lambda **more: LDAMLoss(COUNTS, 0.5, 30.0, **more)),
    "label-aware smoothing": (label_aware, lambda **more: LabelAwareSmoothing(COUNTS, 0.4, 0.1, **more)),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
def test_it_is_the_papers_formula_for_numbers_columns_and_mixed_labels(name):
    reference, make = LOSSES[name]
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (16, CLASSES)).astype("float32")
    labels = generator.integers(0, CLASSES, 16)
    mixed = generator.dirichlet(np.full(CLASSES, 0.3), 16).astype("float32")
    loss = make(reduction=None)
    for given, shares in (
        (labels, np.eye(CLASSES)[labels]),
        (labels[:, None], np.eye(CLASSES)[labels]),
        (mixed, mixed),
    ):
        found = keras.ops.convert_to_numpy(loss(given, logits))
        np.testing.assert_allclose(found, reference(shares, logits), rtol=1e-4, atol=1e-5)


@every_loss
def test_of_probabilities_it_is_that_of_their_logits(name):
    logits = np.random.default_rng(1).normal(size=(8, CLASSES)).astype("float32")
    labels = np.arange(8) % CLASSES
    probabilities = np.exp(log_softmax(logits)).astype("float32")
    make = LOSSES[name][1]
    assert float(make(from_logits=False)(labels, probabilities)) == pytest.approx(
        float(make()(labels, logits)), rel=1e-4
    )


@pytest.mark.tensorflow_only
def test_focal_is_kerass_for_one_hot_labels_and_finite_where_an_image_is_classified_perfectly():
    logits = np.array([[2.0, -1.0, 0.5], [60.0, 0.0, 0.0]], "float32")
    one_hot = np.eye(3, dtype="float32")[[1, 0]]
    keras_loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=1.5, from_logits=True, reduction=None)
    ours = FocalCrossentropy(1.5, reduction=None)
    np.testing.assert_allclose(ours(one_hot, logits), keras_loss(one_hot, logits), rtol=1e-4, atol=1e-6)
    import tensorflow as tf

    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = FocalCrossentropy(0.5)(one_hot, variable)
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FocalCrossentropy(-1.0), "gamma must be 0 or more"),
        (lambda: LogitAdjustedCrossentropy((5, 0)), r"class_counts must be two or more.*\[5, 0\]"),
        (lambda: LogitAdjustedCrossentropy((5, 1), tau=-0.5), "tau must be 0 or more"),
        (lambda: LDAMLoss((5, 1), max_margin=0.0), "max_margin and scale must be above 0"),
        (lambda: LabelAwareSmoothing((5, 1), head=0.1, tail=0.2), "0 <= tail <= head < 1"),
        (lambda: LDAMLoss((5, 1), smoothing=1.0), r"smoothing must be in \[0, 1\)"),
    ],
)
def test_a_value_outside_its_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
