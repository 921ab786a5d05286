"""Warmup in front of rates, Keras's schedules and ours."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import StepDecay, Warmup

STEPS = [0, 1, 5, 19, 20, 21, 60, 200]
BEHIND = {
    "rate": 0.5,
    "keras": keras.optimizers.schedules.PolynomialDecay(0.5, 100, 0.0, power=2.0),
    "ours": StepDecay(0.5, boundaries=(10, 60)),
    "warm": keras.optimizers.schedules.CosineDecay(0.1, 80, warmup_target=0.5, warmup_steps=20),
}


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("start", [0.0, 0.125])
def test_equals_line_times_schedule(name, start):
    behind = BEHIND[name]
    expected = [
        (start + (1 - start) * min(step / 20, 1)) * (float(behind(step)) if callable(behind) else behind)
        for step in STEPS
    ]
    schedule = Warmup(behind, 20, start)
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-8)
    again = Warmup.from_config(schedule.get_config())
    np.testing.assert_allclose([float(again(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-8)


def test_takes_an_array():
    values = convert_to_numpy(Warmup(0.6, 2, 0.5)(np.arange(4)))
    np.testing.assert_allclose(values, [0.3, 0.45, 0.6, 0.6], rtol=1e-6)


@pytest.mark.tensorflow_only
def test_arguments_that_warm_nothing_are_refused():
    with pytest.raises(ValueError, match="warmup_steps must be 1 or more"):
        Warmup(0.1, 0)
    with pytest.raises(ValueError, match="start_fraction must be in"):
        Warmup(0.1, 5, 1.5)
