"""InverseSqrt against equation 3 of the transformer's paper."""

import numpy as np
import pytest
from keras.ops import convert_to_numpy

from kerastricks.schedules import InverseSqrt

STEPS = [0, 1, 398, 399, 400, 1000, 100_000]


def test_equals_the_paper():
    width, warmup = 512, 400
    expected = [width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5) for step in STEPS]
    peak = (width * warmup) ** -0.5
    schedule = InverseSqrt(peak, warmup)
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5)
    np.testing.assert_allclose(convert_to_numpy(InverseSqrt(peak, warmup)(np.array(STEPS))), expected, rtol=1e-5)


@pytest.mark.tensorflow_only
def test_no_warm_up_is_refused():
    with pytest.raises(ValueError, match="warmup_steps must be 1 or more"):
        InverseSqrt(0.1, 0)
