"""LogME against the evidence itself, maximised by a general optimiser."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.datasets import load_breast_cancer

from kerastricks.errors import DataError
from kerastricks.probes.transferability import logme

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def features_and_labels(count, dims, signal=1.0, seed=0, classes=3):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % classes)
    mixing = generator.normal(0, 1, (dims, dims)) / np.sqrt(dims)
    rows = generator.normal(0, 1, (count, dims)) + signal * generator.normal(0, 1, (classes, dims))[labels]
    return (rows @ mixing + 0.5).astype("float64"), labels


def maximised_evidence(features, labels):
    """y is normal with covariance F F^T / alpha + I / beta: the density, with no algebra."""
    count = len(labels)
    values = []
    for label in np.unique(labels):
        target = (labels == label).astype("float64")

        def negative(logs, target=target):
            covariance = features @ features.T / np.exp(logs[0]) + np.eye(count) / np.exp(logs[1])
            return -stats.multivariate_normal(np.zeros(count), covariance).logpdf(target)

        found = [
            optimize.minimize(negative, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8}).fun
            for start in ([0.0, 0.0], [4.0, 2.0])
        ]
        values.append(-min(found) / count)
    return np.mean(values)


@pytest.mark.parametrize(("count", "dims"), [(60, 5), (60, 30), (50, 60)])
@pytest.mark.parametrize("signal", [0.3, 2.0])
def test_it_is_the_maximum_of_the_evidence(count, dims, signal):
    features, labels = features_and_labels(count, dims, signal)
    labels = np.where(np.arange(count) % 7 == 0, (labels + 1) % 3, labels)  # no perfect fit: a maximum exists
    assert logme(features, labels, 3).value == pytest.approx(maximised_evidence(features, labels), abs=1e-5)


def evidence_by_singular_values(features, labels):
    """The maximum for many rows or bad scales: the singular values of the features, and a search from many starts."""
    features = features / np.sqrt((features**2).mean())
    vectors, values, _ = np.linalg.svd(features, full_matrices=False)
    count, found = len(labels), []
    for label in np.unique(labels):
        target = (labels == label).astype("float64")
        parts = (vectors.T @ target) ** 2
        outside = max(target @ target - parts.sum(), 0.0)

        def negative(logs, parts=parts, outside=outside):
            noise = np.exp(-logs[1])
            variances = values**2 * np.exp(-logs[0]) + noise
            rest = (count - len(values)) * np.log(noise) + outside / noise
            return (np.log(variances).sum() + (parts / variances).sum() + rest + count * np.log(2 * np.pi)) / 2

        options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 2_000}
        starts = [(alpha, beta) for alpha in (-35, -15, -10, -5, 0, 5) for beta in (0, 3)]
        found.append(
            -min(optimize.minimize(negative, x, method="Nelder-Mead", options=options).fun for x in starts) / count
        )
    return np.mean(found)


@pytest.mark.parametrize("count", [20, 25, 60, 569])
def test_it_is_the_maximum_where_scales_of_features_differ_by_1e5(count):
    """With 20 and 25 images of 30 features the evidence has two maxima, and the nearer is not the higher one."""
    features, labels = load_breast_cancer(return_X_y=True)
    used = np.random.default_rng(0).permutation(len(labels))[:count]
    found = logme(features[used], labels[used], 2).value
    assert found == pytest.approx(evidence_by_singular_values(features[used], labels[used]), abs=1e-6)
    if count == len(labels):
        assert found == pytest.approx(-0.1850, abs=5e-5)


@pytest.mark.parametrize(
    ("scale", "offset", "expected"), [(1e8, 0.0, -0.87985), (1e12, 0.0, -0.88795), (1.0, 1e8, -0.29752)]
)
def test_it_is_the_maximum_where_a_gram_matrix_would_lose_the_small_features(scale, offset, expected):
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    features[:, 0] *= scale
    # By singular values in float64, and t = alpha / beta searched from 1e-26 to 1e26 of the mean eigenvalue.
    assert logme(features + offset, labels, 2).value == pytest.approx(expected, abs=2e-5)


def test_small_float32_features_count_beside_large_ones():
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    telling = (labels == 0) + 0.1 * generator.normal(0, 1, 300)
    features = np.column_stack([generator.normal(0, 1, (300, 5)), 1e-8 * telling]).astype("float32")
    assert logme(features, labels, 3).value == pytest.approx(evidence_by_singular_values(features, labels), abs=1e-5)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_squares_of_features_may_be_no_numbers(scale):
    features, labels = features_and_labels(60, 5)
    assert logme(scale * features, labels, 3).value == pytest.approx(logme(features, labels, 3).value, abs=1e-9)


def test_scale_and_rotation_do_not_matter_and_scale_of_one_feature_does():
    features, labels = features_and_labels(80, 10)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(0, 1, (10, 10)))[0]
    plain = logme(features, labels, 3).value
    assert logme(1e4 * features @ rotation, labels, 3).value == pytest.approx(plain, abs=1e-8)
    assert abs(logme(features * np.append(np.ones(9), 1e3), labels, 3).value - plain) > 1e-3


def test_useless_features_do_not_pay():
    features, labels = features_and_labels(200, 8, signal=1.5)
    noise = np.random.default_rng(5).normal(0, 1, (200, 150))
    shuffled = np.random.default_rng(6).permutation(labels)
    signal_alone, noise_alone = logme(features, labels, 3), logme(noise, labels, 3)
    assert signal_alone.low > noise_alone.high
    assert logme(np.concatenate([features, noise], axis=1), labels, 3).high < signal_alone.low
    # A least squares fit of the shuffled labels leaves a quarter of their variance; the evidence sees through it.
    constant = np.ones((200, 1))
    both = np.concatenate([constant, noise], axis=1)
    assert np.linalg.lstsq(both, np.eye(3)[shuffled])[1].sum() / (200 * 2 / 3) < 0.3
    assert logme(both, shuffled, 3).high < logme(constant, shuffled, 3).low


@pytest.mark.slow
def test_the_standard_error_is_that_of_new_data():
    values = [logme(*features_and_labels(200, 6, seed=0), 3, rounds=200)]
    centres = np.random.default_rng(0).normal(0, 1, (3, 6))
    results = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        labels = np.arange(200) % 3
        rows = generator.normal(0, 1, (200, 6)) + centres[labels]
        results.append(logme(rows, labels, 3, rounds=40))
    actual = np.std([found.value for found in results], ddof=1)
    estimated = np.mean([found.standard_error for found in results])
    # The deviation of 60 values has an error of 1 / sqrt(118), 9 %; the jackknife of a curved measure is not exact.
    assert 0.7 < estimated / actual < 1.4
    assert values[0].low < values[0].value < values[0].high
    assert values[0].high - values[0].low == pytest.approx(2 * 1.6449 * values[0].standard_error)


def test_more_rows_than_the_limit_are_sampled():
    features, labels = features_and_labels(400, 6)
    part, whole = logme(features, labels, 3, max_rows=200), logme(features, labels, 3)
    assert part.value != whole.value
    assert abs(part.value - whole.value) < 4 * part.standard_error
    assert part == logme(features, labels, 3, max_rows=200)


@pytest.mark.parametrize("features", [np.zeros((20, 3)), np.eye(20), np.ones((20, 2))])
def test_degenerate_features_have_a_value(features):
    assert np.isfinite(logme(features, np.arange(20) % 2, 2).value)


def test_one_image_per_class_has_a_value_and_no_spread():
    found = logme(np.random.default_rng(0).normal(0, 1, (3, 5)), np.arange(3), 4)
    assert np.isfinite(found.value)
    assert np.isnan(found.standard_error)


def test_bad_input():
    with pytest.raises(DataError, match=r"must be finite\. Received: NaN or infinity in 4 of 4 rows"):
        logme(np.full((4, 2), np.nan), np.arange(4) % 2, 2)
    with pytest.raises(DataError, match="only class 1"):
        logme(np.ones((4, 2)), np.ones(4, int), 2)
