"""Holm's correction by hand and by what it promises."""

import numpy as np
import pytest

from kerastricks.metrics import holm

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),  # 3 * 0.01, 2 * 0.02, max(0.04, 0.03)
        ([0.04, 0.005, 0.03, 0.9], [0.09, 0.02, 0.09, 0.9]),  # 4 * 0.005, 3 * 0.03, max(0.09, 2 * 0.04), 0.9
        ([0.5, 0.6], [1.0, 1.0]),
        ([], []),
    ],
)
def test_by_hand(p_values, expected):
    assert holm(p_values) == pytest.approx(expected)


def test_the_family_errs_in_at_most_five_percent():
    # 2000 families of five true nulls: at least one below 0.05 in 5 % of them, within four deviations.
    families = np.random.default_rng(0).uniform(size=(2000, 5))
    errors = np.mean([min(holm(family)) < 0.05 for family in families])
    expected = 1 - (1 - 0.05 / 5) ** 5
    assert abs(errors - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)
