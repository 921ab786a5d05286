"""Convex weights against SLSQP and the conditions of the minimum."""

import numpy as np
import pytest
from scipy import optimize
from synthetic_members import synthetic_members

from kerastricks.ensemble.weights import convex_weights
from kerastricks.errors import EnsembleError

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]

CASES = pytest.mark.parametrize(
    ("members", "images", "uneven", "sharpness"),
    [(3, 200, 0.2, 1.0), (5, 50, 0.0, 1.0), (5, 400, 0.6, 3.0), (20, 300, 0.1, 2.0), (8, 3, 0.0, 1.0)],
)


def chances(rows, labels):
    return np.exp(rows[:, np.arange(len(labels)), labels]).T


@CASES
def test_they_are_those_of_slsqp(members, images, uneven, sharpness):
    rows, labels = synthetic_members(members, images, 4, uneven=uneven, sharpness=sharpness)
    p = chances(rows, labels)
    found = convex_weights(rows, labels)
    reference = optimize.minimize(
        lambda w: -np.log(np.maximum(p @ w, 1e-300)).mean(),
        np.full(members, 1 / members),
        jac=lambda w: -(p / np.maximum(p @ w, 1e-300)[:, None]).mean(axis=0),
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-13, "maxiter": 1_000},
    )
    assert -np.log(p @ found).mean() <= reference.fun + 1e-8
    if images > 10 * members:  # else many weights are as good
        np.testing.assert_allclose(found, reference.x / reference.x.sum(), atol=2e-4)


@CASES
def test_they_fulfil_the_conditions_of_the_minimum(members, images, uneven, sharpness):
    rows, labels = synthetic_members(members, images, 4, uneven=uneven, sharpness=sharpness)
    p = chances(rows, labels)
    weights = convex_weights(rows, labels)
    ratios = (p / (p @ weights)[:, None]).mean(axis=0)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert ratios.max() <= 1 + 1e-5
    # Weights near 0 fulfil it as the barrier lets them: (1 - ratio) * weight is what is left of it.
    assert np.abs((1 - ratios) * weights).max() < 1e-5


def test_useless_members_get_nothing_and_twins_the_same():
    rows, labels = synthetic_members(2, 400, 4)
    flat = np.full_like(rows[:1], np.log(0.25))
    wrong = np.log(np.where(np.eye(4)[labels] > 0, 0.01, 0.33))[None]
    weights = convex_weights(np.concatenate([rows, rows[:1], wrong, flat]), labels)
    assert weights[3] == 0
    assert weights[0] == pytest.approx(weights[2], rel=1e-6)
    assert weights[0] + weights[2] == pytest.approx(convex_weights(np.concatenate([rows, flat]), labels)[0], abs=1e-5)


def test_one_member_has_all():
    rows, labels = synthetic_members(1, 20, 4)
    assert convex_weights(rows, labels).tolist() == [1.0]


def test_certain_errors_are_taken():
    with np.errstate(divide="ignore"):
        rows = np.log(np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]))
    np.testing.assert_allclose(convex_weights(rows, np.array([0, 1])), [0.5, 0.5], atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(EnsembleError, match="one integer for each of 3 images"):
        convex_weights(np.zeros((2, 3, 2)), np.array([0, 1]))
