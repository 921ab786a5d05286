"""A plan: what it refuses, and how it tells one search from another."""

import dataclasses
import json

import pytest
from made_plan import BATCH, DATA, DECAY, OPTIMIZER, RATE, made_plan

from kerastricks.errors import ConfigError, SearchError, UnknownNameError
from kerastricks.search.plan import SearchPlan, with_monitor
from kerastricks.search.space.parameter import Parameter
from kerastricks.search.space.space import Space
from kerastricks.search.tuning import TuningRequest

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trials": 0}, "--trials must be in 1-9999. Received: trials=0"),
        ({"trials": 10_000}, "--trials"),
        ({"epochs": 0}, "--epochs must be 1 or more"),
        ({"seed": -1}, "--seed"),
        ({"folds": 1}, "--folds must be 2 or more, or 0"),
        ({"retries": -1}, "--retries must be 0 or more"),
        ({"top": 7}, "--top must be in 0-6, the trials"),
        ({"direction": "up"}, "--direction must be min or max"),
    ],
)
def test_values_that_cannot_be(fields, message):
    with pytest.raises(SearchError) as refused:
        made_plan(**{"oracle": "random", **fields})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"oracle": "baysian"}, "no oracle is called 'baysian': did you mean bayesian?"),
        ({"objective": "val_acc"}, "no metric that training logs is called 'val_acc': did you mean val_accuracy"),
    ],
)
def test_names_that_are_not_there(fields, message):
    with pytest.raises(UnknownNameError) as refused:
        made_plan(**{"oracle": "random", **fields})
    assert str(refused.value).startswith(message)


def test_it_comes_back_from_json():
    plan = made_plan("hyperband", folds=3, range_test={"suggestion": 0.1, "interval": [0.01, 0.3]})
    assert SearchPlan(**json.loads(json.dumps(plan.as_dict()))) == plan


def refusal(plan, wanted):
    with pytest.raises(SearchError) as refused:
        plan.refuse_other(wanted, "there")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_longer_search_is_the_same_and_so_are_moved_images():
    plan = made_plan(trials=6)
    wanted = dataclasses.replace(
        plan,
        trials=12,
        top=3,
        refit=True,
        base={**plan.base, "data": "elsewhere/images"},
        data={**DATA, "name": "images"},
        range_test={"suggestion": 0.1},
        kept=True,
        trial_bytes=5,
    )
    plan.refuse_other(wanted, "there")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "val_loss"}, "objective: 'val_accuracy' there, 'val_loss' now"),
        ({"direction": "min"}, "direction: 'max' there, 'min' now"),
        ({"oracle": "grid"}, "oracle: 'random' there, 'grid' now"),
        ({"seed": 7}, "seed: 0 there, 7 now"),
        ({"epochs": 4}, "epochs: 3 there, 4 now"),
        ({"folds": 2}, "folds: 0 there, 2 now"),
        ({"retries": 3}, "retries: 1 there, 3 now"),
        ({"stop_early": False}, "stop_early: True there, False now"),
        ({"doctor": True}, "doctor: False there, True now"),
        ({"versions": {"keras": "3.16.0"}}, "keras: '3.15.1' there, '3.16.0' now"),
        ({"versions": {"keras": "3.15.1", "recipe": "12ab"}}, "recipe: None there, '12ab' now"),
        ({"data": {**DATA, "fingerprint": "4567"}}, "fingerprint: '0123' there, '4567' now"),
        ({"data": {**DATA, "skipped": 2}}, "skipped: 0 there, 2 now"),
    ],
)
def test_a_difference_is_shown(changes, message):
    plan = made_plan()
    assert message in refusal(plan, dataclasses.replace(plan, **changes))


def test_a_difference_of_the_base_is_shown():
    plan = made_plan()
    wanted = dataclasses.replace(plan, base={**plan.base, "model": "resnet_20", "batch_size": 7})
    line = refusal(plan, wanted)
    assert "model: 'mlp' there, 'resnet_20' now" in line
    assert "batch_size: 128 there, 7 now" in line


def test_all_differences_are_shown_at_once_and_the_way_out():
    plan = made_plan()
    line = refusal(plan, dataclasses.replace(plan, seed=7, epochs=9, data={**DATA, "fingerprint": "x" * 80}))
    for part in ("there: is another search", "seed: ", "epochs: ", "fingerprint: '0123' there, 'xxx", "--out"):
        assert part in line
    assert "x" * 70 not in line


def test_a_difference_of_the_space_says_what_was_and_what_is():
    plan = made_plan()
    wider = Parameter("learning_rate", "float", min=1e-3, max=0.5, sampling="log", default=0.02)
    wanted = dataclasses.replace(plan, space=Space([wider, BATCH, OPTIMIZER, DECAY]).to_dict())
    assert "learning_rate: 0.001-1 log then, 0.001-0.5 log now" in refusal(plan, wanted)
    fewer = dataclasses.replace(plan, space=Space([RATE, OPTIMIZER, DECAY]).to_dict())
    assert "batch_size: 32, 64, 128 then, not searched now" in refusal(plan, fewer)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf"), 1e308])
def test_minutes_are_above_zero_and_at_most_a_year(minutes):
    with pytest.raises(SearchError, match=r"--minutes must be in \(0, 525,600\]"):
        made_plan(minutes=minutes)


def test_trials_end_before_the_minutes_do_so_that_the_best_can_be_saved():
    assert made_plan(minutes=10.0).ending(1000.0).ends_at == 1000.0 + 600.0 - 30.0
    assert made_plan(minutes=10.0, top=2, refit=True).ending(1000.0, 100.0).ends_at == 1000.0 + 500.0 - 90.0
    assert made_plan().ending(1000.0).ends_at is None


@pytest.mark.parametrize(
    ("minutes", "workers", "epochs", "said"),
    [
        (20.5, 1, 8, "20.5 minutes: trials of 8 epochs, about 90 s each"),
        (60.0, 1, 10, "60 minutes: trials of 10 epochs, about 110 s each"),
        (10.5, 2, 8, "10.5 minutes: trials of 8 epochs, about 90 s each"),
        (4.5, 1, 3, "4.5 minutes: trials of 3 epochs, about 40 s each: about 6 of 13 fit"),
    ],
)
def test_epochs_are_lowered_so_that_all_trials_fit(minutes, workers, epochs, said):
    plan = made_plan(minutes=minutes, trials=13, epochs=10).ending(0.0)
    lowered, line = plan.fitting(10.0, 10.0, 0.0, workers)
    assert (lowered.epochs, line) == (epochs, said)


def test_another_time_is_no_other_search():
    made_plan().refuse_other(made_plan(minutes=3.0, ends_at=5.0), "there")


def test_an_objective_that_is_not_always_logged_is_the_monitor_of_the_trials():
    request = TuningRequest.of("digits", {}, {"objective": "val_macro_f1"})
    assert request.fields == {"data": "digits", "monitor": "val_macro_f1"}
    assert request.completed()["direction"] == "max"
    for usual in ("val_loss", "accuracy", None):
        assert with_monitor({"monitor": "val_macro_f1"}, usual) == {"monitor": "val_macro_f1"}
    with pytest.raises(ConfigError, match="objective='val_macro_f1' is the monitor of the trials, too: leave monitor"):
        with_monitor({"monitor": "val_loss"}, "val_macro_f1")
