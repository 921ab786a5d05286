"""The linear probe against a Newton solution of its objective, and on data that are hard to take."""

import warnings

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from kerastricks.errors import DataError
from kerastricks.probes.linear import STRENGTHS, linear_probe, softmax_regression

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def blobs(count, dims=6, classes=3, noise=0.6, seed=0, scale=True):
    """Clusters in features of very different means and spreads."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (classes, dims))
    labels = generator.permutation(np.arange(count) % classes)
    features = centres[labels] + generator.normal(0, noise, (count, dims))
    if scale:
        features = features * np.logspace(-1, 0, dims) + np.linspace(-5, 50, dims)
    return features.astype("float32"), labels


def standardised(features):
    """Mean and deviation; the mean variance of all features counts as ten rows."""
    exact = features.astype("float64")
    variance = exact.var(axis=0)
    return exact.mean(axis=0), np.sqrt((len(exact) * variance + 10 * variance.mean()) / (len(exact) + 10))


def newton(features, labels, weights, strength):
    """Minimises c * sum w * log-loss + sum(kernel^2) / 2 in the plain coordinates, with the full Hessian."""
    count, dims = features.shape
    classes = labels.max() + 1
    rows = np.concatenate([features, np.ones((count, 1))], axis=1).astype("float64")
    penalty = np.append(np.ones(dims), 0.0)
    solution = np.zeros((dims + 1, classes))
    for _ in range(30):
        chances = special.softmax(rows @ solution, axis=1)
        gradient = strength * rows.T @ ((chances - np.eye(classes)[labels]) * weights[:, None])
        gradient += penalty[:, None] * solution
        hessian = np.zeros((dims + 1, classes, dims + 1, classes))
        for row, p, weight in zip(rows, chances, weights, strict=True):
            hessian += strength * weight * np.einsum("d,e,kl->dkel", row, row, np.diag(p) - np.outer(p, p))
        hessian += np.einsum("de,kl->dkel", np.diag(penalty), np.eye(classes))
        size = (dims + 1) * classes
        # Singular along the shift of all biases: the least squares solution does not move there.
        step = np.linalg.lstsq(hessian.reshape(size, size), gradient.ravel(), rcond=1e-12)[0]
        solution -= step.reshape(dims + 1, classes)
    return solution


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_solution_is_that_of_newtons_method_on_standardised_features(classes, class_weight):
    features, labels = blobs(160, classes=classes)
    kept = (labels > 0) | (np.arange(160) % 3 == 0)  # unequal classes
    features, labels = features[kept], labels[kept]
    probe = linear_probe(features, labels, features, labels, classes, class_weight=class_weight)
    exact = features.astype("float64")
    mean, deviation = standardised(features)
    counts = np.bincount(labels)
    weights = (len(labels) / (classes * counts))[labels] if class_weight else np.ones(len(labels))
    solution = newton((exact - mean) / deviation, labels, weights, probe.C)
    kernel = solution[:-1] / deviation[:, None]
    logits = exact @ kernel + solution[-1] - mean @ kernel
    found = exact @ probe.kernel + probe.bias
    np.testing.assert_allclose(probe.kernel * deviation[:, None], solution[:-1], atol=2e-4)
    np.testing.assert_allclose(
        found - found.mean(axis=1, keepdims=True), logits - logits.mean(axis=1, keepdims=True), atol=2e-3
    )


def test_the_solution_is_scikit_learns_where_dimensions_outnumber_rows():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = generator.normal(0, 1, (60, 200)) + 3 * np.eye(3, 200)[labels]
    probe = linear_probe(features, labels, features, labels, 3)
    mean, deviation = standardised(features)
    standard = (features - mean) / deviation
    sklearn = LogisticRegression(C=probe.C, tol=1e-8, max_iter=5000).fit(standard, labels)
    np.testing.assert_allclose(probe.predict(features), sklearn.predict_proba(standard), atol=1e-4)


def test_the_float32_search_and_a_start_end_at_the_same_point():
    features, labels = blobs(200, scale=False)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    targets, weights = np.eye(3)[labels], np.ones(200)
    exact = softmax_regression(features.astype("float64"), targets, weights, 1.0, tolerance=1e-8)
    from_elsewhere = softmax_regression(features.astype("float64"), targets, weights, 1.0, exact + 1, tolerance=1e-8)
    single = softmax_regression(features, targets.astype("float32"), weights, 1.0)
    np.testing.assert_allclose(from_elsewhere, exact, atol=1e-5)
    np.testing.assert_allclose(single, exact, atol=5e-3)


def test_the_scores_are_those_of_the_probabilities():
    features, labels = blobs(300, noise=1.5)
    others, other_labels = blobs(90, noise=1.5, seed=1)
    other_labels = np.where(other_labels == 2, 1, other_labels)  # a class that validation lacks
    probe = linear_probe(features, labels, others, other_labels, 3)
    np.testing.assert_allclose(probe.predict(others), probe.probabilities, atol=1e-6)
    np.testing.assert_allclose(probe.probabilities.sum(axis=1), 1, atol=1e-5)
    found = probe.probabilities.argmax(axis=1)
    assert probe.accuracy.value == pytest.approx(np.mean(found == other_labels))
    recalls = [np.mean(found[other_labels == label] == label) for label in (0, 1)]
    assert probe.balanced_accuracy == pytest.approx(np.mean(recalls))
    exact = probe.probabilities[np.arange(90), other_labels].astype("float64")
    assert probe.log_loss == pytest.approx(-np.mean(np.log(exact)), rel=1e-4)
    assert (probe.kernel.dtype, probe.bias.dtype, probe.rows, probe.rows_given) == ("float32", "float32", 300, 300)


@pytest.mark.parametrize("count", [150, 1_500, 4_000])
def test_noise_calls_for_strong_and_signal_for_weak_regularisation(count):
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    noise = generator.normal(0, 1, (count, 40))
    signal = noise.copy()
    signal[:, 0] = (2 * labels - 1) * generator.uniform(0.1, 1, count)
    chosen = [linear_probe(rows, labels, rows, labels, 2).C * 40 for rows in (noise, signal)]
    assert chosen[0] <= 1
    assert chosen[1] >= 100


def test_validation_has_no_part_in_the_choice():
    features, labels = blobs(200, noise=2.0)
    fair = linear_probe(features, labels, features, labels, 3)
    foul = linear_probe(features, labels, features, (labels + 1) % 3, 3)
    assert fair.C == foul.C
    np.testing.assert_array_equal(fair.kernel, foul.kernel)
    assert foul.accuracy.value < 0.5 < fair.accuracy.value


def test_a_feature_that_fired_in_one_row_does_not_decide_where_it_fires():
    features, labels = blobs(60, noise=0.3)
    others, other_labels = blobs(60, noise=0.3, seed=1)
    rare, loud = np.zeros((60, 1), "float32"), np.full((60, 1), 0.5, "float32")
    rare[7] = 1e-3
    rows, other_rows = (np.concatenate([a, b], axis=1) for a, b in ((features, rare), (others, loud)))
    probe = linear_probe(rows, labels, other_rows, other_labels, 3)
    plain = linear_probe(features, labels, others, other_labels, 3)
    assert np.abs(probe.probabilities - plain.probabilities).max() < 0.02


def test_constant_features_get_no_weight():
    features, labels = blobs(120)
    constant = np.concatenate([features, np.full((120, 1), 7.3, "float32"), np.zeros((120, 1), "float32")], axis=1)
    probe = linear_probe(constant, labels, constant, labels, 3)
    np.testing.assert_array_equal(probe.kernel[-2:], 0)
    assert probe.accuracy.value > 0.9


def test_features_that_are_all_constant_give_the_shares():
    labels = np.repeat([0, 1], [30, 10])
    probe = linear_probe(np.ones((40, 3)), labels, np.ones((40, 3)), labels, 2)
    np.testing.assert_allclose(probe.probabilities, np.tile([0.75, 0.25], (40, 1)), atol=1e-4)


@pytest.mark.parametrize("counts", [(20, 20, 1), (20, 2, 1), (1, 1, 1), (20, 20, 0)])
def test_classes_with_fewer_images_than_folds(counts):
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], counts)
    features = 5 * np.eye(3)[labels] + generator.normal(0, 0.5, (len(labels), 3))
    others = 5 * np.eye(3)
    probe = linear_probe(features, labels, others, np.arange(3), 3)
    assert np.isfinite(probe.log_loss)
    assert pytest.approx(10.0) == probe.C * 3 or STRENGTHS[0] <= probe.C * 3
    expected = [label if counts[label] else -1 for label in range(3)]
    found = probe.probabilities.argmax(axis=1)
    for label in range(3):
        assert (found[label] == expected[label]) == (counts[label] > 0)


def test_more_rows_than_the_limit_are_sampled_by_class():
    features, labels = blobs(600)
    probe = linear_probe(features, labels, features, labels, 3, max_rows=90)
    assert (probe.rows, probe.rows_given) == (90, 600)
    assert probe.accuracy.value > 0.9
    again = linear_probe(features, labels, features, labels, 3, max_rows=90)
    np.testing.assert_array_equal(again.kernel, probe.kernel)


def test_no_warning_leaks_from_separable_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = np.arange(40) % 2
        features = np.stack([labels * 2.0 - 1, np.zeros(40)], axis=1)
        assert linear_probe(features, labels, features, labels, 2).accuracy.value == 1


def test_bad_input_in_one_line():
    features, labels = blobs(30)
    broken = features.copy()
    broken[4, 2] = np.nan
    for name, arguments in {
        "features must be finite. Received: NaN or infinity in 1 of 30 rows, first in row 4": (
            broken, labels, features, labels, 3,
        ),
        "validation_features must be finite": (features, labels, broken, labels, 3),
        "integers from 0 to 1. Received: int64 from 0 to 2": (features, labels, features, labels, 2),
        "Received: only class 0": (features, labels * 0, features, labels * 0, 3),
        "a label for each of N rows": (features[:5], labels, features, labels, 3),
    }.items():  # fmt: skip
        with pytest.raises(DataError) as caught:
            linear_probe(*arguments)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="class_weight='inverse'"):
        linear_probe(features, labels, features, labels, 3, class_weight="inverse")
