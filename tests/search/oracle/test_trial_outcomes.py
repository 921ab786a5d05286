"""What becomes of trials: crashes and retries, early ends, workers that are gone, records, minutes."""

import dataclasses
import json
import math

import keras_tuner
import pytest
from made_plan import made_folder, made_plan, metrics_of
from search_steps import go_on, run_trial, trials_of

from kerastricks.search.folder import write_json
from kerastricks.search.oracle import oracles
from kerastricks.search.oracle.engine import open_oracle, quiet
from kerastricks.search.trials import runner as run_trials

pytestmark = pytest.mark.tensorflow_only


def fail(oracle, status="INVALID", worker="tuner0"):
    """A trial that ends badly; its name."""
    trial = oracle.create_trial(worker)
    trial.status = status
    with quiet():
        oracle.end_trial(trial)
    return trial.trial_id


@pytest.mark.parametrize("reopened", [False, True])
def test_a_crash_is_retried_at_once_and_as_often_as_asked(tmp_path, reopened):
    plan = made_plan(retries=2, trials=3)
    folder = made_folder(tmp_path, plan)
    oracle = open_oracle(plan, folder)
    run_trial(plan, oracle, oracle.create_trial("tuner0"))
    for _ in range(3):
        assert fail(oracle) == "0001"
        oracle = open_oracle(plan, folder) if reopened else oracle
    oracle = go_on(plan, folder)
    records = oracle.records()
    assert [(one.trial, one.status, one.attempts) for one in records] == [
        ("0000", "completed", 1),
        ("0001", "failed", 3),
        ("0002", "completed", 1),
    ]
    assert records[1].score is None
    assert [one.hyperparameters.values for one in oracle.trials.values()] == [
        values for _, _, values, *_ in trials_of(go_on(plan, made_folder(tmp_path, plan, "calm")))
    ]


def test_a_retry_that_ends_well_is_as_if_nothing_had_been(tmp_path):
    plan = made_plan(retries=1, trials=3)
    folder, calm = made_folder(tmp_path, plan), made_folder(tmp_path, plan, "calm")
    oracle = open_oracle(plan, folder)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"val_accuracy": 0.123}, step=1)  # is not to count
    trial.status = "INVALID"
    with quiet():
        oracle.end_trial(trial)
    assert trials_of(go_on(plan, folder)) == trials_of(go_on(plan, calm))


def test_what_cannot_go_better_is_not_retried(tmp_path):
    oracle = open_oracle(plan := made_plan(retries=5), made_folder(tmp_path, plan))
    assert fail(oracle, "FAILED") == "0000"
    assert fail(oracle, "FAILED") == "0001"
    assert [(one.status, one.attempts) for one in oracle.records()] == [("failed", 1), ("failed", 1)]


def test_all_failed_is_no_reason_to_end(tmp_path):
    """keras-tuner raises after three in a row, and leaves its lock locked."""
    oracle = open_oracle(plan := made_plan(trials=6), made_folder(tmp_path, plan))
    assert [fail(oracle, "FAILED") for _ in range(6)] == [f"{number:04}" for number in range(6)]
    assert oracle.create_trial("tuner0").status == "STOPPED"


def test_an_objective_that_is_no_number_is_a_crash(tmp_path):
    plan = made_plan(retries=1, trials=2)
    folder = made_folder(tmp_path, plan)
    oracle = open_oracle(plan, folder)
    for _ in range(2):
        trial = oracle.create_trial("tuner0")
        assert trial.trial_id == "0000"
        oracle.update_trial("0000", {"val_accuracy": math.nan}, step=1)
        trial.status = "COMPLETED"
        with quiet():
            oracle.end_trial(trial)
    records = go_on(plan, folder).records()
    assert [(one.status, one.attempts) for one in records] == [("failed", 2), ("completed", 1)]
    assert records[0].score is None


def test_the_score_is_that_of_the_last_epoch(tmp_path):
    plan = made_plan(trials=1, objective="val_loss", direction="min")
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    trial = oracle.create_trial("tuner0")
    for epoch, loss in enumerate([0.5, 0.1, 0.3], start=1):
        oracle.update_trial(trial.trial_id, {"val_loss": loss, "val_accuracy": 0.9}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    (record,) = oracle.records()
    assert (record.score, record.objective, record.direction) == (0.3, "val_loss", "min")


def stopped_after(plan, oracle, reached):
    """How many epochs a trial gets whose objective is always the same."""
    trial = oracle.create_trial("tuner0")
    for epoch in range(1, plan.epochs + 1):
        told = oracle.update_trial(trial.trial_id, {"val_accuracy": reached}, step=epoch)
        if told.status == "STOPPED":
            break
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return epoch


def test_the_median_rule_stops_what_cannot_win(tmp_path):
    plan = made_plan(trials=20, epochs=12)
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    assert [stopped_after(plan, oracle, reached) for reached in (0.5, 0.6, 0.7, 0.8)] == [12] * 4
    assert stopped_after(plan, oracle, 0.4) == 3  # a quarter of the epochs has passed
    assert stopped_after(plan, oracle, 0.9) == 12
    assert [one.status for one in oracle.trials.values()] == ["COMPLETED"] * 6


def test_no_early_stop_stops_nothing(tmp_path):
    plan = made_plan(trials=20, epochs=12, stop_early=False)
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    assert [stopped_after(plan, oracle, reached) for reached in (0.5, 0.6, 0.7, 0.8, 0.1)] == [12] * 5


def test_of_folds_the_first_may_be_the_last(tmp_path):
    plan = made_plan(trials=20, epochs=12, folds=3)
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    assert [stopped_after(plan, oracle, reached) for reached in (0.5, 0.6, 0.7, 0.8, 0.1)] == [12] * 4 + [1]


def test_a_worker_killed_between_its_stop_and_its_end_goes_on_with_the_trial(tmp_path):
    plan = made_plan(trials=20, epochs=4)
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    for reached in (0.5, 0.6, 0.7, 0.8):
        stopped_after(plan, oracle, reached)
    trial = oracle.create_trial("a")
    for epoch in (1, 2):
        told = oracle.update_trial(trial.trial_id, {"val_accuracy": 0.1}, step=epoch)
    assert told.status == "STOPPED"
    again = oracle.create_trial("a")
    assert (again.trial_id, again.status) == (trial.trial_id, "RUNNING")
    assert not oracle.is_over


def test_trials_of_workers_that_are_gone_are_given_out_in_their_order(tmp_path):
    plan = made_plan(trials=6)
    folder = made_folder(tmp_path, plan)
    oracle = open_oracle(plan, folder, "")
    # The workers' names are in another order than their trials.
    given = [oracle.create_trial(worker).trial_id for worker in ("c", "a", "b")]
    assert given == ["0000", "0001", "0002"]
    assert open_oracle(plan, folder, "").create_trial("a").trial_id == "0001"
    oracle = open_oracle(plan, folder)
    order = []
    for _ in range(4):
        trial = oracle.create_trial("tuner0")
        order.append(trial.trial_id)
        oracle = run_trial(plan, oracle, trial)
    assert order == ["0000", "0001", "0002", "0003"]
    calm = go_on(plan, made_folder(tmp_path, plan, "calm"))
    assert trials_of(go_on(plan, folder)) == trials_of(calm)


def test_a_search_that_waits_for_a_trial_is_not_over(tmp_path):
    plan = made_plan(trials=1)
    oracle = open_oracle(plan, made_folder(tmp_path, plan), "")
    trial = oracle.create_trial("a")
    assert oracle.create_trial("b").status == "IDLE"
    assert not oracle.is_over
    assert oracle.release("a") == "0000"
    assert oracle.release("a") is None
    taken = oracle.create_trial("b")
    assert (taken.trial_id, taken.hyperparameters.values) == ("0000", trial.hyperparameters.values)
    run_trial(plan, oracle, taken)
    assert oracle.create_trial("b").status == "STOPPED"
    assert oracle.is_over


def test_one_who_comes_back_late_changes_nothing(tmp_path):
    plan = made_plan(trials=2)
    oracle = open_oracle(plan, made_folder(tmp_path, plan), "")
    late = keras_tuner.engine.trial.Trial.from_state(oracle.create_trial("a").get_state())  # it came by gRPC
    oracle.release("a")
    run_trial(plan, oracle, oracle.create_trial("b"))
    before = json.dumps(oracle.trials["0000"].get_state())
    told = oracle.update_trial("0000", {"val_accuracy": 0.0}, step=plan.epochs + 1)
    assert told.status == "STOPPED"  # it need not go on
    late.status = "INVALID"
    oracle.end_trial(late)
    assert json.dumps(oracle.trials["0000"].get_state()) == before
    assert oracle.end_order == ["0000"]
    assert [(one.status, one.attempts) for one in oracle.records()] == [("completed", 1)]


def test_records_are_in_the_order_of_their_names(tmp_path):
    plan = made_plan(trials=4)
    folder = made_folder(tmp_path, plan)
    oracle = open_oracle(plan, folder, "")
    trials = [oracle.create_trial(worker) for worker in "abc"]
    for trial in reversed(trials):
        run_trial(plan, oracle, trial)
    assert oracle.end_order == ["0002", "0001", "0000"]
    assert [one.trial for one in oracle.records()] == ["0000", "0001", "0002"]


def test_a_record_has_what_the_trial_reported(tmp_path):
    plan = made_plan(trials=1)
    folder = made_folder(tmp_path, plan)
    report = {
        "status": "stopped",
        "reason": "worse than the median at epoch 2",
        "curve": [{"epoch": 1, "val_accuracy": 0.5}],
        "seconds": 3.5,
        "worker": "worker-1",
        "run": "runs/trial-0000",
    }
    (record,) = go_on(plan, folder).records()
    assert (record.status, record.reason, record.seconds, record.run) == ("completed", None, 0.0, None)
    write_json(folder.trial("0000") / oracles.REPORT, report)
    (record,) = open_oracle(plan, folder).records()
    assert {name: getattr(record, name) for name in report} == report
    assert record.values == {"learning_rate": 0.02, "batch_size": 64, "optimizer": "sgd"}


def test_no_trial_is_given_out_that_would_end_too_late(tmp_path, monkeypatch):
    plan = made_plan("random", ends_at=1000.0)
    folder = made_folder(tmp_path, plan)
    now = [0.0]
    monkeypatch.setattr(oracles.time, "time", lambda: now[0])
    oracle = open_oracle(plan, folder)
    for began, took in ((0.0, 300.0), (300.0, 300.0)):
        now[0] = began
        trial = oracle.create_trial("tuner0")
        assert trial.status == "RUNNING"
        finish(oracle, folder, trial, took)
    now[0] = 699.0
    trial = oracle.create_trial("tuner0")
    assert trial.status == "RUNNING"
    finish(oracle, folder, trial, 300.0)
    now[0] = 701.0
    assert oracle.create_trial("tuner0").status == "STOPPED"
    assert oracle.is_over
    assert not open_oracle(plan, folder).is_over  # more minutes may be given
    later = open_oracle(dataclasses.replace(plan, ends_at=2000.0), folder)
    assert later.create_trial("tuner0").status == "RUNNING"


def test_the_first_trial_is_given_out_whatever_the_time(tmp_path):
    plan = made_plan("random", ends_at=1.0)
    assert open_oracle(plan, made_folder(tmp_path, plan)).create_trial("tuner0").status == "RUNNING"


def finish(oracle, folder, trial, seconds):
    oracle.update_trial(trial.trial_id, metrics_of(trial.hyperparameters.values, 1), step=1)
    write_json(folder.trial(trial.trial_id) / oracles.REPORT, {"status": "completed", "seconds": seconds})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


@pytest.mark.parametrize(("now", "status"), [(999.0, "completed"), (1001.0, "stopped")])
def test_a_trial_is_stopped_when_the_minutes_are_over(tmp_path, monkeypatch, now, status):
    plan = made_plan("random", ends_at=1000.0, stop_early=False)
    folder = made_folder(tmp_path, plan)
    monkeypatch.setattr(run_trials.time, "time", lambda: now)

    class Processes:
        def __init__(self):
            self.answers = []

        def run(self, job, log, warm_next):
            for epoch in (1, 2, 3):
                yield {"event": "epoch", "epoch": epoch, "epochs": 3, "metrics": metrics_of({**SOME}, epoch)}
                if not self.answers[-1]:
                    yield {"event": "done", "status": "paused", "curve": []}
                    return
            yield {"event": "done", "status": "completed", "curve": []}

        def answer(self, go_on):
            self.answers.append(go_on)

    oracle = open_oracle(plan, folder)
    ignored = [lambda *arguments: None] * 3
    runner = run_trials.TrialRunner(oracle, plan, folder, "tuner0", Processes(), *ignored)
    runner._run(oracle.create_trial("tuner0"))
    [record] = oracle.records()
    assert record.status == status
    assert record.reason == ("stopped when the minutes were over, at epoch 1" if status == "stopped" else None)


SOME = {"learning_rate": 0.1, "batch_size": 64, "optimizer": "sgd"}
