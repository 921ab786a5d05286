"""The table: which plan which figures lead to."""

import numpy as np
import pytest

from kerastricks.finetuning.choice import choose
from kerastricks.finetuning.measurement import LayerScore, Measurement
from kerastricks.metrics.bootstrap import Estimate
from kerastricks.probes.linear import LinearProbe

pytestmark = pytest.mark.tensorflow_only


def score(layer, accuracy, log_loss):
    estimate = Estimate(accuracy, accuracy - 0.05, accuracy + 0.05, 0.03)
    probe = LinearProbe(np.zeros((2, 2)), np.zeros(2), 1.0, estimate, accuracy, log_loss, np.zeros((1, 2)), 10, 10)
    return LayerScore(layer, 2, probe, estimate, None)


def measurement(counts=(500, 500), pixels=(0.4, 1.5), levels=((0.5, 1.4), (0.8, 0.6))):
    scores = tuple(score(f"level{number}", *pair) for number, pair in enumerate(levels))
    classes = {f"class{number}": count for number, count in enumerate(counts)}
    return Measurement(classes, scores, score("pixels", *pixels), {"train": 100, "validation": 100}, 1.0)


@pytest.mark.parametrize(
    ("counts", "top", "plan"),
    [
        ((99, 99), (0.8, 0.6), "linear"),
        ((100, 100), (0.8, 0.6), "last"),
        ((99, 99), (0.45, 1.4), "earlier"),
        ((100, 100), (0.45, 1.4), "all"),
    ],
)
def test_each_cell_has_its_plan(counts, top, plan):
    choice = choose(measurement(counts, levels=((0.5, 1.4), top)))
    assert choice.strategy == plan
    assert not choice.given


def test_the_class_in_the_middle_counts():
    assert choose(measurement(counts=(5, 120, 130))).much
    assert not choose(measurement(counts=(5, 20, 5000))).much


def test_accuracy_alone_is_not_similarity():
    # 97 % on features, and 96 % on pixels: easy, not similar.
    easy = measurement(pixels=(0.96, 0.12), levels=((0.9, 0.3), (0.97, 0.11)))
    assert not choose(easy).similar
    assert choose(measurement(pixels=(0.6, 1.0), levels=((0.9, 0.3), (0.97, 0.11)))).similar


def test_errors_and_log_loss_must_both_fall():
    assert not choose(measurement(levels=((0.5, 1.4), (0.8, 1.45)))).similar
    assert not choose(measurement(levels=((0.5, 1.4), (0.42, 0.5)))).similar


def test_pixels_without_an_error_are_no_division_by_zero():
    perfect = measurement(pixels=(1.0, 0.0), levels=((0.9, 0.3), (1.0, 0.0)))
    assert perfect.gain <= 0
    assert choose(perfect).strategy == "all"


def test_a_plan_that_was_asked_for_is_taken_and_the_tables_is_said():
    choice = choose(measurement(), strategy="scratch")
    assert (choice.strategy, choice.given) == ("scratch", True)
    assert any("the table says last" in reason for reason in choice.reasons)


def test_what_would_change_it_names_the_two_neighbours():
    choice = choose(measurement())
    assert any(change.endswith("linear") for change in choice.would_change)
    assert any(change.endswith("all") for change in choice.would_change)


def test_the_best_earlier_level_is_never_the_top():
    three = measurement(levels=((0.5, 1.4), (0.7, 0.9), (0.9, 0.3)))
    assert three.best_earlier.layer == "level1"
    assert three.top.layer == "level2"
    assert measurement(levels=((0.7, 0.9), (0.7, 0.8), (0.6, 1.0))).best_earlier.layer == "level1"
