"""Combinations against loops over the formulas."""

import json
import math

import numpy as np
import pytest
from synthetic_members import synthetic_members

from kerastricks.ensemble.combination import METHODS, Combination
from kerastricks.errors import EnsembleError

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]

WEIGHTS = [0.5, 0.2, 0.3]
TEMPERATURES = [0.7, 1.0, 2.5]


def softmax(values):
    exps = [math.exp(value - max(values)) for value in values]
    return [value / sum(exps) for value in exps]


def reference(method, log_probabilities, weights, temperatures, temperature, kernel=None, bias=None):
    """One image after the other, one class after the other."""
    members, images, classes = log_probabilities.shape
    result = []
    for n in range(images):
        q = [softmax([v / temperatures[m] for v in log_probabilities[m, n]]) for m in range(members)]
        mean = [sum(weights[m] * q[m][k] for m in range(members)) for k in range(classes)]
        if method in ("mean", "best"):
            p = mean
        elif method == "geometric":
            p = [math.prod(q[m][k] ** weights[m] for m in range(members)) for k in range(classes)]
        elif method == "vote":
            votes = [sum(weights[m] for m in range(members) if q[m][k] == max(q[m])) for k in range(classes)]
            a = 1 / (members + 1)
            p = [(votes[k] + a * mean[k]) / (1 + a) for k in range(classes)]
        else:
            x = [math.log(v) - sum(map(math.log, row)) / classes for row in q for v in row]
            p = softmax([bias[k] + sum(x[j] * kernel[j, k] for j in range(len(x))) for k in range(classes)])
        p = [value / sum(p) for value in p]
        result.append(softmax([math.log(value) / temperature for value in p]))
    return np.array(result)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_its_formula(method):
    rows, _ = synthetic_members(3, 20, 4)
    generator = np.random.default_rng(1)
    options = {"weights": [0.0, 1.0, 0.0] if method == "best" else WEIGHTS}
    if method == "stack":
        options = {"kernel": generator.normal(0, 1, (12, 4)), "bias": generator.normal(0, 1, 4)}
    found = Combination(method, temperatures=TEMPERATURES, temperature=1.7, **options).apply(rows)
    expected = reference(
        method,
        rows,
        options.get("weights", WEIGHTS),
        TEMPERATURES,
        1.7,
        options.get("kernel"),
        options.get("bias"),
    )
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found.dtype == np.float64


def test_no_weights_are_equal_weights():
    rows, _ = synthetic_members(3, 20, 4)
    for method in ("mean", "geometric", "vote"):
        equal = Combination(method, weights=[1 / 3] * 3, temperatures=[1, 1, 1])
        np.testing.assert_allclose(Combination(method).apply(rows), equal.apply(rows), atol=1e-12)


def test_mean_of_logits_is_the_geometric_mean():
    generator = np.random.default_rng(0)
    logits = generator.normal(3, 2, (4, 30, 5))  # not normalised
    means = logits.mean(axis=0)
    expected = np.exp(means) / np.exp(means).sum(axis=1, keepdims=True)
    assert Combination("logits").method == "geometric"
    np.testing.assert_allclose(Combination("logits").apply(logits), expected, atol=1e-12)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    product = probabilities.prod(axis=0) ** 0.25
    np.testing.assert_allclose(
        Combination("geometric").apply(np.log(probabilities)), product / product.sum(axis=1, keepdims=True), atol=1e-12
    )


def test_equal_votes_are_decided_by_the_majority_and_ties_by_the_mean():
    rows, _ = synthetic_members(5, 2_000, 4, noise=2.0)
    votes = (rows.argmax(axis=2)[:, :, None] == np.arange(4)).sum(axis=0)
    expected = (votes + 1e-6 * np.exp(rows).mean(axis=0)).argmax(axis=1)
    tied = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert 100 < tied.sum() < 1_900
    assert (Combination("vote").apply(rows).argmax(axis=1) == expected).all()


def test_log_loss_of_a_mean_is_below_the_mean_log_loss():
    rows, labels = synthetic_members(4, 500, 5, uneven=0.5, sharpness=2.0)
    single = -rows[:, np.arange(500), labels].mean(axis=1)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    for method in ("mean", "geometric"):
        combined = Combination(method, weights=weights).apply(rows)
        assert -np.log(combined[np.arange(500), labels]).mean() < single @ weights


@pytest.mark.parametrize("method", METHODS)
def test_what_a_member_excludes_leaves_the_result_finite(method):
    rows = np.array([[[0.0, -np.inf, -np.inf]], [[-np.inf, 0.0, -np.inf]], [[1e30, 0.0, -1e30]]])
    options = {
        "best": {"weights": [1, 0, 0]},
        "stack": {"kernel": np.tile(np.eye(3), (3, 1)), "bias": np.zeros(3)},
    }.get(method, {})
    found = Combination(method, temperatures=[0.2, 1, 1], temperature=0.5, **options).apply(rows)
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtypes_of_networks_are_taken(dtype):
    rows, _ = synthetic_members(3, 20, 4)
    np.testing.assert_allclose(
        Combination("mean").apply(rows.astype(dtype)), Combination("mean").apply(rows), atol=2e-3
    )


@pytest.mark.parametrize(
    "combination",
    [
        Combination("mean", weights=WEIGHTS, temperatures=TEMPERATURES, temperature=1.3),
        Combination("vote"),
        Combination("stack", kernel=np.arange(48.0).reshape(12, 4) / 50, bias=np.arange(4.0)),
    ],
    ids=["mean", "vote", "stack"],
)
def test_json_keeps_everything(combination):
    rows, _ = synthetic_members(3, 10, 4)
    back = Combination.from_json(json.loads(json.dumps(combination.to_json())))
    assert back.members == combination.members
    assert (back.apply(rows) == combination.apply(rows)).all()


def test_its_arrays_are_its_own():
    weights = np.array([0.5, 0.5])
    combination = Combination("mean", weights=weights)
    weights[:] = 7
    assert combination.weights.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        combination.weights[0] = 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "median"}, "method must be one of mean, .* Received: method='median'"),
        ({"method": "mean", "weights": [0.5, 0.6]}, r"of sum 1\. Received: weights=\[0\.5 0\.6\]"),
        ({"method": "mean", "weights": [-0.5, 1.5]}, "at least 0"),
        ({"method": "mean", "weights": [np.nan, 1]}, "weights must be finite"),
        ({"method": "mean", "weights": []}, r"weights must be finite numbers of shape \(M,\)"),
        ({"method": "mean", "temperature": 0}, "temperature must be above 0"),
        ({"method": "mean", "temperature": np.inf}, "temperature must be above 0"),
        ({"method": "mean", "temperatures": [1, 0]}, "temperatures must be above 0"),
        ({"method": "mean", "temperatures": [1, 1], "weights": [0.5, 0.25, 0.25]}, "one for each of 3 members"),
        ({"method": "best"}, "'best' must name a member"),
        ({"method": "best", "weights": [0.5, 0.5]}, "one 1 and zeros"),
        ({"method": "mean", "bias": [0, 0]}, "they are for 'stack'"),
        ({"method": "stack"}, "fit_stacking fits them"),
        ({"method": "stack", "kernel": np.eye(2), "bias": [0, 0], "weights": [1]}, "no weights"),
        ({"method": "stack", "kernel": np.ones((3, 2)), "bias": [0, 0]}, r"shapes \(3, 2\), \(2,\)"),
        ({"method": "stack", "kernel": np.ones(4), "bias": [0, 0]}, r"kernel must be finite numbers of shape"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        Combination(**options)
    assert "\n" not in str(caught.value)


def test_members_and_classes_must_be_those_it_was_fitted_to():
    rows, _ = synthetic_members(3, 10, 4)
    with pytest.raises(ValueError, match="must be of 2 members"):
        Combination("mean", weights=[0.5, 0.5]).apply(rows)
    with pytest.raises(ValueError, match="must be of 2 classes"):
        Combination("stack", kernel=np.zeros((6, 2)), bias=np.zeros(2)).apply(rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_refused_by_member(value):
    rows, _ = synthetic_members(3, 10, 4)
    rows[1, 4, 2] = value
    with pytest.raises(EnsembleError, match="member 1 has such for 1 of 10 images"):
        Combination("mean").apply(rows)
    rows[1] = -np.inf
    with pytest.raises(EnsembleError, match="member 1 has such for 10 of 10 images"):
        Combination("mean").apply(rows)


@pytest.mark.parametrize("shape", [(10, 4), (3, 0, 4), (3, 10, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(EnsembleError, match=r"must be \(members, images, classes\)"):
        Combination("mean").apply(np.zeros(shape))
