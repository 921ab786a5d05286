"""The three cyclical schedules against Smith's pseudocode; tests/reference has tensorflow-addons' own values."""

import math

import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import ExponentialCyclical, Triangular, Triangular2

STEPS = [0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 40, 100, 1000]
SCALES = {
    "triangular": lambda step, cycle: 1.0,
    "triangular2": lambda step, cycle: 1 / 2 ** (cycle - 1),
    "iterations": lambda step, cycle: 1 / 2.0 ** (step - 1),
    "exponential": lambda step, cycle: 0.97**step,
    "cycle": lambda step, cycle: 0.97**cycle,
}


def reference(step, low, high, stepsize, scale):
    cycle = math.floor(1 + step / (2 * stepsize))
    x = abs(step / stepsize - 2 * cycle + 1)
    return low + (high - low) * max(0, 1 - x) * scale(step, cycle)


MADE = {
    "triangular": Triangular(0.8, 8, 0.25),
    "triangular2": Triangular2(0.8, 8, 0.25),
    "iterations": Triangular2(0.8, 8, 0.25, "iterations"),
    "exponential": ExponentialCyclical(0.8, 8, 0.25, 0.97),
    "cycle": ExponentialCyclical(0.8, 8, 0.25, 0.97, "cycle"),
}


@pytest.mark.parametrize("name", MADE)
def test_equals_the_formula(name):
    schedule = MADE[name]
    expected = [reference(step, 0.2, 0.8, 8, SCALES[name]) for step in STEPS]
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5)
    np.testing.assert_allclose(convert_to_numpy(schedule(np.array(STEPS))), expected, rtol=1e-5)


@pytest.mark.parametrize("stepsize", [312.5, 2344.0])
def test_late_steps_are_as_exact_as_early_ones(stepsize):
    schedule, steps = Triangular(0.4, stepsize), [1_000_000, 1_234_567, 9_999_999]
    expected = [reference(step, 0.1, 0.4, stepsize, SCALES["triangular"]) for step in steps]
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Triangular(0.1, 0), "half_cycle_steps must be above 0"),
        (lambda: Triangular(0.1, 5, start_fraction=2), r"start_fraction must be in \[0, 1\], of the peak"),
        (lambda: Triangular2(0.1, 5, scale_mode="epoch"), 'scale_mode must be "cycle" or "iterations"'),
        (lambda: ExponentialCyclical(0.1, 5, gamma=1.1), r"gamma must be in \(0, 1\]"),
    ],
)
def test_arguments_that_make_no_triangles_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
