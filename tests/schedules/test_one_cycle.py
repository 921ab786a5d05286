"""OneCycle against its two formulas, and against torch's."""

import math

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import OneCycle

STEPS = [0, 1, 10, 29, 30, 31, 65, 99, 100, 500]


def reference(step, peak, total, warmup, start, final):
    if step < warmup:
        return peak * (start + (1 - start) * (1 - math.cos(math.pi * step / warmup)) / 2)
    progress = min((step - warmup) / (total - warmup), 1)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)


@pytest.mark.parametrize(("warmup", "start", "final"), [(30, 1 / 25, 1e-4), (0, 0.5, 0.0), (99, 0.0, 0.1)])
def test_equals_the_formula(warmup, start, final):
    expected = [reference(step, 0.4, 100, warmup, start, final) for step in STEPS]
    schedule = OneCycle(0.4, 100, warmup, start, final)
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(convert_to_numpy(schedule(np.array(STEPS))), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="imports torch")
def test_has_the_shape_of_torch():
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=101, pct_start=31 / 101)
    # The 101 steps are 0 to 100, and the peak is at step 30; the end is peak / 25 / 10,000.
    schedule = OneCycle(0.4, 100, 30, final_fraction=1 / 250_000)
    for step in range(101):
        assert float(schedule(step)) == pytest.approx(theirs.get_last_lr()[0], abs=1e-6), step
        if step < 100:
            optimizer.step()
            theirs.step()


@pytest.mark.tensorflow_only
def test_equals_fastai_step_by_step():
    """`combined_cos` of two `SchedCos`, at step i of N at position i / N, as fastai 2.7 sets it before each batch."""

    def cosine(start, end, position):
        return start + (1 + math.cos(math.pi * (1 - position))) * (end - start) / 2

    def fastai(step, steps, peak, start=0.25, div=25.0, div_final=1e5):
        position = step / steps
        if position < start:
            return cosine(peak / div, peak, position / start)
        return cosine(peak, peak / div_final, (position - start) / (1 - start))

    peak, steps = 0.4, 200
    ours = convert_to_numpy(OneCycle(peak, steps, 50, final_fraction=1e-5)(np.arange(steps)))
    theirs = np.array([fastai(step, steps, peak) for step in range(steps)])
    assert np.abs(ours - theirs).max() < 2e-7 * peak
    assert np.abs(ours[1:] - theirs[:-1]).max() > 1e-3 * peak  # a step apart it is not


@pytest.mark.tensorflow_only
def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(ValueError, match="warmup_steps must be at least 0 and below total_steps"):
        OneCycle(0.1, 10, 10)
