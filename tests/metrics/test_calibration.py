"""Quality against loops over images and bins."""

import numpy as np
import pytest
from sklearn import metrics
from synthetic_members import synthetic_members

from kerastricks.errors import EnsembleError
from kerastricks.metrics.calibration import calibration_curve, disagreement, mean_disagreement, quality

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def test_figures_are_their_definitions():
    rows, labels = synthetic_members(1, 500, 4, sharpness=2.0)
    p = np.exp(rows[0])
    found = quality(p, labels)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, p.argmax(axis=1)))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, p), abs=1e-9)
    assert found["brier"] == pytest.approx(
        np.mean([((row - np.eye(4)[k]) ** 2).sum() for row, k in zip(p, labels, strict=True)])
    )
    error = 0.0
    for number in range(15):
        inside = [i for i in range(500) if number / 15 < p[i].max() <= (number + 1) / 15]
        if inside:
            right = np.mean([p[i].argmax() == labels[i] for i in inside])
            error += len(inside) / 500 * abs(right - np.mean([p[i].max() for i in inside]))
    assert found["calibration_error"] == pytest.approx(error)


def test_curve_is_accuracy_and_confidence_of_each_interval():
    rows, labels = synthetic_members(1, 500, 4, sharpness=2.0)
    p = np.exp(rows[0])
    found = calibration_curve(p, labels)
    assert found.error == quality(p, labels)["calibration_error"]
    assert sum(found.images) == 500
    inside = [i for i in range(500) if 14 / 15 < p[i].max() <= 1]
    assert found.images[-1] == len(inside)
    assert found.accuracy[-1] == pytest.approx(np.mean([p[i].argmax() == labels[i] for i in inside]))
    assert found.confidence[-1] == pytest.approx(np.mean([p[i].max() for i in inside]))
    assert list(found.confidence) == sorted(found.confidence)


def test_certain_errors_cost_what_they_do_in_run_folders():
    assert quality(np.array([[1.0, 0.0]]), np.array([1]))["log_loss"] == pytest.approx(-np.log(2.0**-52))
    assert quality(np.array([[1.0, 0.0]]), np.array([0])) == {
        "accuracy": 1.0,
        "log_loss": 0.0,
        "calibration_error": 0.0,
        "brier": 0.0,
    }


def test_disagreement_is_counted_pair_by_pair():
    rows, _ = synthetic_members(3, 200, 4, noise=2.0)
    named = rows.argmax(axis=2)
    found = disagreement(rows)
    for a in range(3):
        for b in range(3):
            assert found[a, b] == pytest.approx(sum(named[a] != named[b]) / 200)
    assert mean_disagreement(rows) == pytest.approx((found[0, 1] + found[0, 2] + found[1, 2]) / 3)
    assert mean_disagreement(rows[:1]) == 0.0


def test_bad_input_is_refused():
    with pytest.raises(EnsembleError, match="labels must be from 0 to 1"):
        quality(np.full((2, 2), 0.5), np.array([0, 5]))
