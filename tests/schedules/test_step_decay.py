"""StepDecay against division in a loop."""

import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import StepDecay

STEPS = [0, 1, 29, 30, 31, 59, 60, 79, 80, 99, 1000]


@pytest.mark.parametrize("factor", [2.0, 5])
@pytest.mark.parametrize("where", [{"boundaries": (30, 60, 80)}, {"boundaries": [30, 30]}, {"every_steps": 30}])
def test_equals_the_division(where, factor):
    boundaries = where.get("boundaries", range(30, 1001, 30))
    expected = []
    for step in STEPS:
        rate = 0.8
        for boundary in boundaries:
            rate = rate / factor if step >= boundary else rate
        expected.append(rate)
    schedule = StepDecay(0.8, factor=factor, **where)
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(convert_to_numpy(schedule(np.array(STEPS))), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either boundaries or every_steps"),
        ({"boundaries": (3,), "every_steps": 4}, "either boundaries or every_steps"),
        ({"boundaries": (5, 3)}, "boundaries must be in order"),
        ({"every_steps": 0}, "every_steps must be 1 or more"),
        ({"every_steps": 3, "factor": 0.5}, "factor is what the rate is divided by, above 1"),
    ],
)
def test_arguments_that_say_nothing_or_two_things_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepDecay(0.1, **arguments)
