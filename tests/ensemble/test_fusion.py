"""Fusion: the layers act on raw features, ridge against its closed form, and features that only help together."""

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import Ridge

from kerastricks.ensemble.fusion import fit_fusion
from kerastricks.ensemble.stacking import fit_temperature
from kerastricks.errors import DataError

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]

EVERY = pytest.mark.parametrize("classifier", ["logistic", "linear", "mlp"])


def two_views(count, seed=0):
    """Four classes; the first view tells the half, the second view which of the half; very different scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    first = np.eye(2)[labels // 2] @ np.array([[1.0, -1, 0.5], [-1.0, 1, 0.3]])
    second = np.eye(2)[labels % 2] @ np.array([[1.0, 0], [0, 1]])
    features = np.hstack([first, second]) + generator.normal(0, 0.3, (count, 5))
    features = features * np.array([0.01, 1, 100, 1, 5]) + np.array([3, -50, 1000, 0, 7])
    return np.hstack([features, np.full((count, 1), 7.0)]).astype("float32"), labels


@EVERY
def test_what_the_views_know_together_is_learned(classifier):
    features, labels = two_views(900)
    fusion = fit_fusion(features[:500], labels[:500], features[500:], labels[500:], 4, classifier)
    alone = fit_fusion(features[:500, :3], labels[:500], features[500:, :3], labels[500:], 4, classifier)
    assert fusion.accuracy.value > 0.9
    assert alone.accuracy.value < 0.65
    assert fusion.log_loss.value < 0.4


@EVERY
def test_layers_act_on_raw_features(classifier):
    features, labels = two_views(900)
    fusion = fit_fusion(features[:500], labels[:500], features[500:], labels[500:], 4, classifier)
    outputs = features[500:]
    for number, (kernel, bias) in enumerate(fusion.layers):
        assert kernel.dtype == bias.dtype == np.float32
        outputs = outputs @ kernel + bias
        if number < len(fusion.layers) - 1:
            outputs = np.maximum(outputs, 0)
    probabilities = special.softmax(outputs, axis=1)
    np.testing.assert_allclose(fusion.predict(features[500:]), probabilities, atol=1e-5)
    assert fusion.accuracy.value == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels[500:]))
    losses = -np.log(probabilities[np.arange(400), labels[500:]])
    assert fusion.log_loss.value == pytest.approx(losses.mean(), abs=1e-4)
    # The temperature is in the layers: there is none left to gain by.
    assert fit_temperature(outputs, labels[500:]) == pytest.approx(1, abs=2e-3)


def test_linear_is_ridge_regression():
    features, labels = two_views(900)
    train, others = features[:500].astype("float64"), features[500:].astype("float64")
    fusion = fit_fusion(features[:500], labels[:500], features[500:], labels[500:], 4, "linear")
    deviation = train.std(axis=0)
    deviation[deviation < 1e-3] = 1.0  # of the constant column, which is 0 then
    # scikit-learn's penalty stands beside the sum, ours beside the mean.
    ridge = Ridge(alpha=fusion.strength * 500).fit((train - train.mean(axis=0)) / deviation, np.eye(4)[labels[:500]])
    expected = ridge.predict((others - train.mean(axis=0)) / deviation) * 10 / fusion.temperature
    (kernel, bias), *_ = fusion.layers
    np.testing.assert_allclose(features[500:] @ kernel + bias, expected, atol=2e-3)


@EVERY
def test_strength_is_that_of_least_validation_loss(classifier):
    """Labels that have nothing to do with the features ask for the strongest penalty there is."""
    generator = np.random.default_rng(0)
    features, labels = generator.normal(0, 1, (300, 20)), generator.integers(0, 3, 300)
    fusion = fit_fusion(features[:100], labels[:100], features[100:], labels[100:], 3, classifier)
    assert fusion.log_loss.value < np.log(3) + 0.05


@EVERY
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_without_images_are_unlikely(classifier, classes):
    features, labels = two_views(400)
    labels = labels // 2
    fusion = fit_fusion(features[:200], labels[:200], features[200:], labels[200:], classes, classifier)
    probabilities = fusion.predict(features[200:])
    assert probabilities.shape == (200, classes)
    assert fusion.accuracy.value > 0.95
    assert (probabilities.argmax(axis=1) < 2).all()


@EVERY
def test_more_features_than_images(classifier):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = np.eye(3)[labels] @ generator.normal(0, 1, (3, 200)) + generator.normal(0, 1, (60, 200))
    fusion = fit_fusion(features[:30], labels[:30], features[30:], labels[30:], 3, classifier)
    assert fusion.accuracy.value > 0.9


def test_a_sample_of_the_rows_is_used():
    features, labels = two_views(900)
    fusion = fit_fusion(features[:800], labels[:800], features[800:], labels[800:], 4, max_rows=100)
    whole = fit_fusion(features[:800], labels[:800], features[800:], labels[800:], 4)
    assert fusion.accuracy.value > 0.8
    assert not np.allclose(fusion.layers[0][0], whole.layers[0][0])


def test_bad_input_is_refused():
    features, labels = two_views(40)
    with pytest.raises(
        ValueError, match=r"classifier must be one of logistic, linear, mlp\. Received: classifier='svm'"
    ):
        fit_fusion(features, labels, features, labels, 4, "svm")
    with pytest.raises(ValueError, match=r"validation_features must have 6 columns, as features\. Received: 5"):
        fit_fusion(features, labels, features[:, :5], labels, 4)
    with pytest.raises(DataError, match="only class 2"):
        fit_fusion(features, np.full(40, 2), features, labels, 4)
    with pytest.raises(DataError, match="validation_features must be finite"):
        fit_fusion(features, labels, np.full_like(features, np.nan), labels, 4)
