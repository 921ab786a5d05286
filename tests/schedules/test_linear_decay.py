"""LinearDecay against its two formulas."""

import numpy as np
import pytest

from kerastricks.schedules import LinearDecay


def reference(step, peak, total, warmup, final):
    if step < warmup:
        return peak * (1 / 25 + (1 - 1 / 25) * step / warmup)
    return peak * (1 - (1 - final) * min((step - warmup) / (total - warmup), 1))


@pytest.mark.parametrize(("warmup", "final"), [(0, 0.0), (20, 0.0), (99, 0.1)])
def test_equals_the_formula(warmup, final):
    schedule = LinearDecay(0.4, 100, warmup, final)
    steps = [0, 1, 10, 19, 20, 21, 50, 99, 100, 200]
    expected = [reference(step, 0.4, 100, warmup, final) for step in steps]
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.tensorflow_only
def test_warmup_longer_than_the_training_is_refused():
    with pytest.raises(ValueError, match="warmup_steps must be at least 0 and below total_steps"):
        LinearDecay(0.1, 10, 10)
