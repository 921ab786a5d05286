"""Class weights and effective numbers against the papers' formulas, and the choice of a remedy."""

import numpy as np
import pytest

from kerastricks.errors import ConfigError
from kerastricks.imbalance import Remedies, advise, class_weights
from kerastricks.imbalance.remedies import switch_epoch
from kerastricks.metrics import effective_number

pytestmark = pytest.mark.tensorflow_only

COUNTS = np.array([5000, 300, 20, 1])


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        ("inverse", 1 / COUNTS),
        ("square_root", 1 / np.sqrt(COUNTS)),
        ("effective_number", (1 - 0.999) / (1 - 0.999**COUNTS)),
        ({"0": 0.5, "3": 4}, np.array([0.5, 1, 1, 4])),
    ],
)
def test_weights_are_the_formula_with_a_mean_of_one_over_images(rule, raw):
    weights = class_weights(COUNTS, rule, beta=0.999)
    np.testing.assert_allclose(weights, raw * COUNTS.sum() / (COUNTS * raw).sum(), rtol=1e-9)
    assert (COUNTS * weights).sum() / COUNTS.sum() == pytest.approx(1)


def test_effective_numbers_lie_between_one_and_the_count_also_near_the_limits():
    assert effective_number(COUNTS, 0).tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(effective_number(COUNTS, 1 - 1e-12), COUNTS, rtol=1e-6)
    np.testing.assert_allclose(effective_number([3], 0.9), [1 + 0.9 + 0.81])
    with pytest.raises(ConfigError, match=r"beta must be in \[0, 1\)"):
        effective_number([3], 1.0)


@pytest.mark.parametrize(
    ("counts", "monitor", "expected"),
    [
        ([100, 90], "val_balanced_accuracy", ""),
        ([5000, 50], "val_accuracy", ""),
        ([5000, 50, 0], "val_loss", "balanced_softmax"),
    ],
)
def test_the_choice_goes_by_ratio_and_metric_and_says_why(counts, monitor, expected):
    found = advise(counts, monitor)
    assert found.imbalance == expected
    assert "times the images of the smallest" in found.reason


def test_a_spec_names_at_most_one_of_each_kind_and_says_whether_something_begins_late():
    found = Remedies.parse("upsample | class_weights(effective_number, start=0.8) | focal(1)")
    assert (found.sampling.power, found.weights.start, found.loss.arguments) == (0, 0.8, {"gamma": 1})
    assert found.starts_late
    assert not Remedies.parse("class_weights | focal").starts_late
    assert [switch_epoch(start, epochs) for start, epochs in ((0, 4), (0.5, 3), (0.8, 10), (0.99, 2))] == [0, 2, 8, 1]
    assert not Remedies.parse("")
    assert Remedies.parse("auto") is None
