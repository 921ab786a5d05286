"""CosineRestarts against the equations of Snapshot Ensembles and SGDR."""

import math

import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import CosineRestarts, cycle_ends


def test_equal_cycles_are_those_of_snapshot_ensembles():
    total, cycles = 120, 5
    length = math.ceil(total / cycles)
    expected = [0.2 / 2 * (math.cos(math.pi * ((t - 1) % length) / length) + 1) for t in range(1, total + 1)]
    schedule = CosineRestarts(0.2, total, cycles)
    np.testing.assert_allclose([float(schedule(step)) for step in range(total)], expected, rtol=1e-5, atol=1e-7)
    values = convert_to_numpy(CosineRestarts(0.2, total, cycles)(np.arange(total)))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


def test_growing_cycles_are_those_of_sgdr():
    # T_0 = 10, T_mult = 2: 10, 20, 40, 80 steps.
    expected, first, low = [], 0, 0.1 * 0.3
    for length in (10, 20, 40, 80):
        expected += [low + 0.5 * (0.3 - low) * (1 + math.cos(math.pi * t / length)) for t in range(length)]
        first += length
    schedule = CosineRestarts(0.3, first, 4, t_mul=2.0, final_fraction=0.1)
    np.testing.assert_allclose([float(schedule(step)) for step in range(first)], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("total", "cycles", "t_mul"), [(100, 7, 1.0), (1000, 6, 1.3), (50, 50, 1.0), (97, 3, 0.5)])
def test_every_cycle_begins_at_the_peak_and_all_steps_are_used(total, cycles, t_mul):
    ends = cycle_ends(total, cycles, t_mul)
    assert ends[-1] == total
    lengths = np.diff([0, *ends])
    assert len(lengths) == cycles
    exact = total * t_mul ** np.arange(cycles) / (t_mul ** np.arange(cycles)).sum()
    assert (np.abs(lengths - exact) < 1 + 1e-9).all()
    schedule = CosineRestarts(1.0, total, cycles, t_mul)
    for end, length in zip(ends[:-1], lengths[:-1], strict=True):
        assert float(schedule(end)) == pytest.approx(1.0)
        assert float(schedule(end - 1)) == pytest.approx((1 + math.cos(math.pi * (length - 1) / length)) / 2, abs=1e-5)


def test_after_the_end_it_stays_at_the_lowest():
    schedule = CosineRestarts(0.2, 100, 4, final_fraction=0.05)
    assert [float(schedule(step)) for step in (100, 101, 10_000)] == pytest.approx([0.01] * 3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("arguments", [{"cycles": 11}, {"cycles": 0}, {"cycles": 5, "t_mul": 9.0}, {"t_mul": 0.0}])
def test_cycles_without_a_step_are_refused(arguments):
    with pytest.raises(ValueError, match=r"each cycle needs a step|t_mul must be above 0"):
        CosineRestarts(0.1, 10, **arguments)
