"""DistillationLoss: the paper's formula, its gradient, and plain cross-entropy without a teacher."""

import keras
import numpy as np
import pytest

from kerastricks.losses import DistillationLoss, LabelSmoothingCrossentropy

GENERATOR = np.random.default_rng(0)
STUDENT, TEACHER = GENERATOR.normal(0, 3, (2, 6, 4))
LABELS = np.array([0, 3, 1, 2, 2, 0])


def softmax(values):
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def reference(hard, student, teacher, temperature, hard_weight, smoothing):
    losses = []
    for label, s, t in zip(hard, student, teacher, strict=True):
        p, q = softmax(t / temperature), softmax(s / temperature)
        divergence = sum(p[k] * (np.log(p[k]) - np.log(q[k])) for k in range(len(p)))
        target = (1 - smoothing) * label + smoothing / len(label)
        cross_entropy = -sum(target[k] * np.log(softmax(s)[k]) for k in range(len(p)))
        losses.append((1 - hard_weight) * temperature**2 * divergence + hard_weight * cross_entropy)
    return np.array(losses)


def value(loss, targets, predictions):
    found = loss(targets.astype("float32"), predictions.astype("float32"))
    return keras.ops.convert_to_numpy(found)


@pytest.mark.parametrize(("temperature", "hard_weight", "smoothing"), [(4.0, 0.1, 0.0), (1.0, 0.5, 0.1), (9.0, 0.0, 0)])
@pytest.mark.parametrize("mixed", [False, True])
def test_it_is_the_papers_formula(temperature, hard_weight, smoothing, mixed):
    hard = GENERATOR.dirichlet(np.ones(4), 6) if mixed else np.eye(4)[LABELS]
    loss = DistillationLoss(temperature, hard_weight, smoothing, reduction=None)
    expected = reference(hard, STUDENT, TEACHER, temperature, hard_weight, smoothing)
    np.testing.assert_allclose(value(loss, np.hstack([hard, TEACHER]), STUDENT), expected, rtol=1e-5, atol=1e-5)


def test_probabilities_and_logits_give_the_same():
    targets = np.hstack([np.eye(4)[LABELS], TEACHER])
    from_logits, from_probabilities = DistillationLoss(2.0), DistillationLoss(2.0, from_logits=False)
    np.testing.assert_allclose(
        value(from_logits, targets, STUDENT), value(from_probabilities, targets, softmax(STUDENT)), rtol=1e-5
    )


def test_log_probabilities_teach_what_logits_teach():
    hard = np.eye(4)[LABELS]
    logits = value(DistillationLoss(), np.hstack([hard, TEACHER]), STUDENT)
    log_probabilities = value(DistillationLoss(), np.hstack([hard, np.log(softmax(TEACHER))]), STUDENT)
    np.testing.assert_allclose(logits, log_probabilities, rtol=1e-5)


def test_without_a_teacher_it_is_the_cross_entropy_of_full_weight():
    loss, plain = DistillationLoss(smoothing=0.1), LabelSmoothingCrossentropy(0.1)
    np.testing.assert_allclose(value(loss, LABELS, STUDENT), value(plain, LABELS, STUDENT), rtol=1e-6)
    np.testing.assert_allclose(value(loss, np.eye(4)[LABELS], STUDENT), value(plain, LABELS, STUDENT), rtol=1e-6)


def test_the_loss_does_not_vanish_at_high_temperature():
    """It tends to half the squared difference of centred logits over K, whose gradient is the paper's equation 4."""
    centred = [logits - logits.mean(axis=1, keepdims=True) for logits in (STUDENT, TEACHER)]
    expected = ((centred[0] - centred[1]) ** 2).sum(axis=1) / (2 * 4)
    found = value(DistillationLoss(100.0, 0.0, reduction=None), np.hstack([np.eye(4)[LABELS], TEACHER]), STUDENT)
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_its_configuration_makes_it_again():
    loss = DistillationLoss(2.0, 0.3, 0.1, from_logits=False)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"temperature": 0}, "temperature must be above 0"), ({"hard_weight": 1.5}, r"hard_weight must be in \[0, 1\]")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DistillationLoss(**arguments)
