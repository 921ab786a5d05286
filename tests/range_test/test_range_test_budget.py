"""What a range test leaves out to end in time, with made-up timings."""

import numpy as np
import pytest

from kerastricks.range_test import lr_range_test
from kerastricks.range_test.budget import plan_range_test
from kerastricks.training import SizeTiming

pytestmark = pytest.mark.tensorflow_only

SIZES = [100, 32, 48, 64, 96]


def planned(step_seconds, seconds, sizes=SIZES, slower_than_pixels=1.0, **given):
    """The plan where a step on 100 pixels takes so many seconds, and the sizes that were timed."""
    asked = []

    def time_size(size):
        asked.append(size)
        factor = (size / 100) ** 2 * (1.0 if size == max(sizes) else slower_than_pixels)
        return SizeTiming(size, step_seconds * factor, 0.0, 5.0)

    return plan_range_test(sizes, time_size, lambda: seconds, **given), asked


def shape(plan):
    return plan.image_size, plan.sweeps, plan.steps


def test_where_there_is_time_nothing_is_cut():
    plan, asked = planned(0.02, 120.0)
    assert (shape(plan), plan.is_cut, asked) == ((100, 5, 100), False, [100])


def test_sweeps_and_steps_are_cut_before_the_images_are_made_smaller():
    # 108 seconds of 120 may be used, 5 are for compiling.
    assert shape(planned(0.3, 120.0)[0]) == (100, 3, 100)
    assert shape(planned(0.5, 120.0)[0]) == (100, 3, 60)
    plan, asked = planned(1.7, 120.0)  # 500 steps of 128 images at 75 a second: 14 minutes
    assert (shape(plan), asked, plan.is_cut) == ((48, 3, 60), [100, 48], True)
    assert plan.whole_seconds == pytest.approx(850.0)


def test_a_size_that_is_slower_than_its_pixels_is_not_taken_untimed():
    plan, asked = planned(1.7, 120.0, slower_than_pixels=3.0)
    assert asked[:2] == [100, 48]
    assert shape(plan)[0] in asked
    assert 5.0 + plan.sweeps * plan.steps * 1.7 * 3 * (plan.image_size / 100) ** 2 <= 120.0


def test_what_is_given_stays_and_where_nothing_fits_the_least_is_done():
    assert shape(planned(1.7, 120.0, sweeps=5, steps=100)[0]) == (32, 5, 100)
    assert shape(planned(1.7, 120.0, sizes=[100])[0]) == (100, 1, 40)
    assert shape(planned(60.0, 120.0)[0]) == (32, 1, 20)
    assert shape(planned(60.0, 120.0, sweeps=4)[0]) == (32, 4, 20)
    # No image size to choose from.
    plan = plan_range_test([None], lambda size: SizeTiming(None, 1.0, 0.0, 5.0), lambda: 120.0)
    assert shape(plan) == (None, 2, 40)


def test_no_sweep_is_begun_that_would_end_too_late(monkeypatch):
    import keras

    now = [0.0]
    monkeypatch.setattr(lr_range_test.time, "monotonic", lambda: now[0])

    def sweep(model, batches, order, control, divergence, done):
        now[0] += 40.0
        return np.linspace(2.0, 1.0, len(order))

    monkeypatch.setattr(lr_range_test, "sweep", sweep)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((64, 8), "float32")
    for seconds, made in ((None, 5), (130.0, 3), (10.0, 1)):
        now[0] = 0.0
        result = lr_range_test.LRRangeTest(model, steps=20).run(x, x[:, 0], batch_size=8, seconds=seconds)
        assert len(result.losses) == made
