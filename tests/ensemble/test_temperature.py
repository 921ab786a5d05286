"""Temperature scaling against a fine grid."""

import numpy as np
import pytest
from scipy import special
from synthetic_members import synthetic_members

from kerastricks.ensemble.stacking import TEMPERATURE_RANGE, fit_temperature
from kerastricks.errors import EnsembleError

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("error")]


def loss(logits, labels, temperature):
    return -special.log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 4.0])
def test_it_is_the_best_of_a_grid(sharpness):
    rows, labels = synthetic_members(1, 400, 5, sharpness=sharpness)
    found = fit_temperature(rows[0], labels)
    grid = found + np.arange(-300, 301) * 1e-4
    losses = [loss(rows[0], labels, temperature) for temperature in grid]
    assert abs(grid[int(np.argmin(losses))] - found) < 1.01e-4
    coarse = min(np.geomspace(*TEMPERATURE_RANGE, 400), key=lambda temperature: loss(rows[0], labels, temperature))
    assert found == pytest.approx(coarse, rel=0.02)


def test_dividing_the_logits_divides_the_temperature():
    rows, labels = synthetic_members(1, 400, 5)
    assert fit_temperature(3 * rows[0], labels) == pytest.approx(3 * fit_temperature(rows[0], labels), rel=1e-6)


def test_the_ends_are_answers():
    labels = np.array([0, 1, 0])
    right = np.log(np.where(np.eye(2)[labels] > 0, 0.8, 0.2))
    assert fit_temperature(right, labels) == TEMPERATURE_RANGE[0]
    assert fit_temperature(right, 1 - labels) == TEMPERATURE_RANGE[1]
    assert fit_temperature(right, labels, temperature_range=(0.5, 2)) == 0.5


def test_where_nothing_matters_it_is_one():
    assert fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 1.0


def test_excluded_classes_are_taken():
    with np.errstate(divide="ignore"):
        rows = np.log(np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.4]]))
    assert np.isfinite(fit_temperature(rows, np.array([0, 1, 0])))


def test_bad_input_is_refused():
    with pytest.raises(EnsembleError, match="labels must be from 0 to 1"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 2]))
    with pytest.raises(ValueError, match="temperature_range must be"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 1]), temperature_range=(2, 1))
