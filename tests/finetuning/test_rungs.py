"""The choice by short trainings, on made-up results and clocks."""

import numpy as np
import pytest

from kerastricks.finetuning.costs import Cost, Length, StepClock, estimated_cost, fit_length
from kerastricks.finetuning.rungs import Journal, Result, judge

pytestmark = pytest.mark.tensorflow_only

COST = Cost(step=0.5, overhead=10.0, validation=2.0)


def result(name, accuracy, images=200, rung=1, steps=20, cost=COST, shift=0):
    correct = np.roll(np.arange(images) < round(accuracy * images), shift)
    if rung == 0:
        return Result(name, rung, accuracy, 1 - accuracy, correct)
    length = Length(1, 640, steps, 20.0)
    return Result(name, rung, accuracy, 1 - accuracy, correct, 20.0, length, cost, (accuracy, 0.5))


def verdicts(results, seconds=100.0):
    return {verdict.name: verdict for verdict in judge(results, seconds)}


def test_a_training_is_as_long_as_the_time_that_is_left_allows():
    # 10 s before the first step; an epoch of 1,000 // 32 = 31 steps is 31 * 0.5 + 2 = 17.5 s.
    assert fit_length(62.5, COST, 1_000, 32, 60) == Length(3, 1_000, 93, 62.5)
    assert fit_length(62.4, COST, 1_000, 32, 60) == Length(2, 1_000, 62, 45.0)
    assert fit_length(1e6, COST, 1_000, 32, 60).epochs == 60


def test_where_no_pass_fits_a_part_of_the_images_is_seen_once():
    assert fit_length(22.0, COST, 1_000, 32, 60) == Length(1, 640, 20, 22.0)
    assert fit_length(22.0, COST, 1_000, 32, 60, fewest_steps=21) is None
    assert fit_length(11.0, COST, 1_000, 32, 60) is None
    assert fit_length(-5.0, COST, 1_000, 32, 60) is None


def test_fewer_images_than_a_batch_are_a_step_each_epoch():
    assert fit_length(60.0, COST, 20, 32, 60) == Length(20, 20, 20, 60.0)


def test_an_estimate_takes_validation_for_a_third_of_training():
    cost = estimated_cost(0.6, tracing=3.0, batch_size=32, validation_images=320)
    assert (cost.step, cost.overhead) == (0.6, 3.0)
    assert cost.validation == pytest.approx(2.0)


def test_the_projection_lets_errors_fall_with_the_root_of_the_time():
    # 20 steps of 0.5 s; 40 s more, 10 of them overhead, are four times the training: half of the error.
    assert result("small", 0.6).projected(40.0) == pytest.approx(0.8)
    assert result("small", 0.6).projected(5.0) == pytest.approx(0.6)
    assert result("last", 0.6).projected(40.0) == pytest.approx(1 - 0.4 * 0.25**0.3)
    assert result("small", 0.6).projected(40.0, optimism=3.0) == pytest.approx(1 - 0.4 / 8)
    assert result("linear", 0.6, rung=0).projected(40.0) == 0.6


def test_what_is_clearly_behind_and_cannot_catch_up_is_given_up():
    found = verdicts([result("linear", 0.9, rung=0), result("small", 0.95), result("all", 0.3)], seconds=15.0)
    assert found["small"].goes_on
    assert not found["all"].goes_on
    assert found["all"].behind.value == pytest.approx(0.65)
    assert found["all"].behind.low > 0.55
    assert "given up: 65.0%" in found["all"].reason
    assert "behind small on the same images" in found["all"].reason


def test_what_is_behind_goes_on_where_the_time_may_bring_it_forward():
    # 0.3 after 10 s of steps is 1 - 0.7 * (10 / 100)^1.5 = 0.98 at best with a hundred, and 0.55 with five more.
    assert verdicts([result("linear", 0.9, rung=0), result("all", 0.3)], seconds=100.0)["all"].goes_on
    assert not verdicts([result("linear", 0.9, rung=0), result("all", 0.3)], seconds=15.0)["all"].goes_on


def test_the_comparison_is_paired():
    # 4 points apart on the same images is certain where one is right wherever the other is, and nothing where they
    # are right on different ones.
    nested = verdicts([result("linear", 0.94, rung=0), result("last", 0.9, steps=20_000)], seconds=11.0)
    crossed = verdicts([result("linear", 0.94, rung=0), result("last", 0.9, steps=20_000, shift=100)], seconds=11.0)
    assert not nested["last"].goes_on
    assert crossed["last"].goes_on
    assert nested["last"].behind.value == pytest.approx(crossed["last"].behind.value)
    assert crossed["last"].behind.low < 0 < nested["last"].behind.low


def test_the_best_two_go_on_unless_one_is_clearly_ahead_or_the_time_is_short():
    alike = [result("small", 0.8), result("last", 0.82, shift=50), result("all", 0.84, shift=90)]
    assert sum(verdict.goes_on for verdict in judge(alike, 200.0)) == 2
    # Both would need 20 s and as long again.
    assert sum(verdict.goes_on for verdict in judge(alike, 39.0)) == 1
    ahead = [result("small", 0.95), result("all", 0.6)]
    assert [verdict.name for verdict in judge(ahead, 200.0) if verdict.goes_on] == ["small"]


def test_interrupted_choices_go_on_with_what_was_measured(tmp_path):
    journal = Journal.open(tmp_path / "stages" / "choice.json")
    journal.seconds = 12.5
    journal.lengths["small-1"] = Length(3, 100, 9, 7.0)
    journal.results["small-1"] = result("small", 0.8)
    journal.results["linear-0"] = result("linear", 0.7, rung=0)
    journal.verdicts = judge(list(journal.results.values()), 50.0)
    journal.refused["all"] = "not tried: no time"
    journal.save()
    again = Journal.open(tmp_path / "stages" / "choice.json")
    assert again.spent == journal.spent == 12.5 + 20.0
    assert again.lengths == journal.lengths
    assert again.refused == journal.refused
    assert again.verdicts == journal.verdicts
    assert again.results["small-1"].cost == COST
    np.testing.assert_array_equal(again.results["small-1"].correct, journal.results["small-1"].correct)
    assert judge(list(again.results.values()), 50.0) == journal.verdicts


def test_steps_are_timed_without_the_first_one():
    times = iter([0.0, 9.0, 9.5, 10.0, 13.0, 13.0, 13.5, 14.0, 14.5, 15.5])
    clock = StepClock(lambda: next(times))
    for _ in range(2):
        clock.on_epoch_begin(0)
        for batch in range(3):
            clock.on_train_batch_end(batch)
        clock.on_epoch_end(0)
    # The first step took 9 s and the others half a second; the first validation 3 s, the next one 1 s.
    assert clock.cost == Cost(step=0.5, overhead=8.5 + 2.0, validation=1.0)
    assert clock.seconds == 15.5
