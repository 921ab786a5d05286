"""The oracles without processes: what they give out, and that it is the same whenever their process dies."""

import dataclasses
import itertools
import json
import math
import os
from types import SimpleNamespace

import keras_tuner
import pytest
from keras_tuner.src.tuners import bayesian
from made_plan import BATCH, DECAY, OPTIMIZER, RATE, accuracy, made_folder, made_plan, metrics_of
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from kerastricks.search.folder import write_json
from kerastricks.search.oracle import oracles
from kerastricks.search.oracle.engine import open_oracle, quiet
from kerastricks.search.space.parameter import Parameter
from kerastricks.search.trials import runner as run_trials

pytestmark = pytest.mark.tensorflow_only

DEPTH = Parameter("model.depth", "int", min=1, max=3)
SIZE = Parameter("batch_size", "choice", values=(32, 64), default=64)
DISCRETE = (SIZE, OPTIMIZER, DECAY)
# Each gets past its first stage: Bayesian fits its process twice, Hyperband goes on with the best of its first bracket.
PLANS = {
    "random": made_plan("random", trials=5, epochs=2),
    "grid": made_plan("grid", DISCRETE, base={"learning_rate": 0.05}, trials=20, epochs=1),
    "bayesian": made_plan("bayesian", trials=6, epochs=2),
    "hyperband": made_plan("hyperband", trials=6, epochs=3),
}
ALL = pytest.mark.parametrize("name", PLANS)


@pytest.fixture(autouse=True)
def quick_bayesian(monkeypatch, request):
    """Fitting its process and looking for the best next point takes seconds, of which one draw each is left."""
    if "slow_bayesian" in request.fixturenames:
        return
    known = GaussianProcessRegressor(Matern(0.3, nu=2.5), optimizer=None, normalize_y=True, alpha=0.1)
    monkeypatch.setattr(oracles.BayesianOptimizationOracle, "_make_gpr", lambda oracle: clone(known))
    at_once = lambda function, x0, **settings: SimpleNamespace(fun=function(x0), x=x0)  # noqa: E731
    monkeypatch.setattr(bayesian, "scipy", SimpleNamespace(optimize=SimpleNamespace(minimize=at_once)))


@pytest.fixture
def slow_bayesian():
    """As it is."""


class Killed(BaseException):
    """The process of an oracle is gone."""


def values_of(plan, trial):
    return {"learning_rate": plan.base["learning_rate"], **trial.hyperparameters.values}


def run_trial(plan, oracle, trial, again=lambda oracle: oracle):
    """As `TrialRunner` does it; the oracle that ended it."""
    values = values_of(plan, trial)
    for epoch in range(1, values.get("tuner/epochs", plan.epochs) + 1):
        told = oracle.update_trial(trial.trial_id, metrics_of(values, epoch), step=epoch)
        oracle = again(oracle)
        if told.status == "STOPPED":
            break
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return again(oracle)


def go_on(plan, folder, again=lambda oracle: oracle, worker="tuner0"):
    """Runs a search from where it is, to its end."""
    oracle = open_oracle(plan, folder, worker)
    while True:
        trial = oracle.create_trial(worker)
        oracle = again(oracle)
        if trial.status == "STOPPED":
            return oracle
        assert trial.status == "RUNNING"
        assert len(oracle.trials) <= plan.trials
        oracle = run_trial(plan, oracle, trial, again)


def trials_of(oracle):
    """What must not depend on who was killed."""
    assert oracle.start_order == sorted(oracle.trials) == oracle.end_order
    assert not oracle.ongoing_trials
    trials = [oracle.trials[name] for name in oracle.start_order]
    return [(one.trial_id, one.status, one.hyperparameters.values, one.score, one.best_step) for one in trials]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    known = {}

    def run(name):
        if name not in known:
            folder = made_folder(tmp_path_factory.mktemp(name), PLANS[name])
            known[name] = trials_of(go_on(PLANS[name], folder))
        return known[name]

    return run


@ALL
def test_undisturbed_searches_are_all_they_should_be(undisturbed, name):
    trials = undisturbed(name)
    assert len(trials) == (6 if name == "grid" else PLANS[name].trials)
    assert all(status == "COMPLETED" for _, status, *_ in trials)
    drawn = [json.dumps(values, sort_keys=True) for _, _, values, *_ in trials]
    assert len(set(drawn)) == len(drawn)


@ALL
def test_the_first_trial_is_what_the_search_starts_from(undisturbed, name):
    values = {key: value for key, value in undisturbed(name)[0][2].items() if not key.startswith("tuner/")}
    expected = {"learning_rate": 0.02, "batch_size": 64, "optimizer": "sgd"}  # weight_decay is not active
    if name == "grid":
        del expected["learning_rate"]
    assert values == expected


@ALL
def test_only_active_values_are_given_out(undisturbed, name):
    for _, _, values, *_ in undisturbed(name):
        assert ("weight_decay" in values) == (values["optimizer"] == "adamw")


@ALL
def test_an_oracle_that_is_thrown_away_after_every_step_goes_on_alike(tmp_path, undisturbed, name):
    plan = PLANS[name]
    folder = made_folder(tmp_path, plan)
    again = lambda oracle: open_oracle(plan, folder)  # noqa: E731
    assert trials_of(go_on(plan, folder, again)) == undisturbed(name)


@pytest.mark.slow
def test_bayesian_with_its_own_optimisers_goes_on_alike(tmp_path, slow_bayesian):
    plan = PLANS["bayesian"]
    calm, folder = made_folder(tmp_path, plan, "calm"), made_folder(tmp_path, plan)
    again = lambda oracle: open_oracle(plan, folder)  # noqa: E731
    assert trials_of(go_on(plan, folder, again)) == trials_of(go_on(plan, calm))


@ALL
@pytest.mark.parametrize("written", [True, False])
def test_killed_between_any_two_writes_it_goes_on_alike(tmp_path, undisturbed, name, written, monkeypatch):
    """`written`: right after a file was written, or in the middle of it."""
    plan = PLANS[name]
    calls = itertools.count(1)
    dies_at = math.inf

    def dying(write, tear):
        def call(*arguments):
            number = next(calls)
            if number == dies_at and not written:
                tear(*arguments)
                raise Killed
            write(*arguments)
            if number == dies_at:
                raise Killed

        return call

    def torn_trial(trial, path):  # keras-tuner writes in place
        with open(path, "w") as file:
            file.write('{"trial_id": "00')

    def torn_state(path, record):  # ours is beside it
        path.with_name(f".tmp-{path.name}-{os.getpid()}").write_text('{"ongoing_tri')

    trial_class = keras_tuner.engine.trial.Trial
    monkeypatch.setattr(trial_class, "save", dying(trial_class.save, torn_trial))
    monkeypatch.setattr(oracles, "write_json", dying(write_json, torn_state))
    go_on(plan, made_folder(tmp_path, plan, "counted"))
    total = next(calls) - 1
    assert total >= 4 * len(undisturbed(name))
    for dies_at in range(1, total + 1):
        calls = itertools.count(1)
        folder = made_folder(tmp_path, plan, f"killed-{dies_at}")
        with quiet(), pytest.raises(Killed):
            go_on(plan, folder)
        assert trials_of(go_on(plan, folder)) == undisturbed(name), f"killed at write {dies_at} of {total}"


@ALL
def test_a_longer_search_begins_with_the_shorter_one(tmp_path, undisturbed, name):
    plan = PLANS[name]
    few = made_plan(
        plan.oracle,
        DISCRETE if name == "grid" else (RATE, BATCH, OPTIMIZER, DECAY),
        base={"learning_rate": plan.base["learning_rate"]},
        trials=4,
        epochs=plan.epochs,
    )
    folder = made_folder(tmp_path, few)
    oracle = go_on(few, folder)
    assert len(trials_of(oracle)) == 4
    assert oracle.is_over
    assert trials_of(go_on(few, folder)) == trials_of(oracle)
    assert trials_of(go_on(plan, folder)) == undisturbed(name)


def test_another_seed_is_another_search(tmp_path):
    """keras-tuner's draws depend on seed + number of draws: its neighbouring seeds have trials in common."""
    seen = []
    for seed in range(8):
        plan = made_plan("random", trials=6, epochs=1, seed=seed)
        first, *others = trials_of(go_on(plan, made_folder(tmp_path, plan, f"seed-{seed}")))
        assert first[2]["learning_rate"] == 0.02
        seen += [values["learning_rate"] for _, _, values, *_ in others]
    assert len(set(seen)) == len(seen) == 40


def test_bayesian_draws_nearer_to_the_best_than_at_random(tmp_path):
    plan = made_plan(
        "bayesian",
        (RATE, Parameter("batch_size", "fixed", values=(64,)), Parameter("optimizer", "fixed", values=("sgd",))),
        trials=12,
        stop_early=False,
    )
    trials = go_on(plan, made_folder(tmp_path, plan)).trials.values()
    away = [abs(math.log10(one.hyperparameters.values["learning_rate"]) + 1) for one in trials]
    assert min(away[4:]) < 0.1
    assert sum(away[8:]) / 4 < sum(away[:4]) / 4


def test_grid_goes_through_all_combinations_once(tmp_path):
    plan = made_plan("grid", (BATCH, OPTIMIZER, DECAY, DEPTH), base={"learning_rate": 0.05}, trials=100)
    oracle = go_on(plan, made_folder(tmp_path, plan))
    seen = [tuple(sorted(one.hyperparameters.values.items())) for one in oracle.trials.values()]
    ways = [{"optimizer": "sgd"}, *({"optimizer": "adamw", "weight_decay": decay} for decay in (0.0, 0.1))]
    expected = [
        tuple(sorted({"batch_size": batch, "model.depth": depth, **way}.items()))
        for batch in (32, 64, 128)
        for depth in (1, 2, 3)
        for way in ways
    ]
    assert len(seen) == 27
    assert sorted(seen) == sorted(expected)


def test_a_space_that_is_exhausted_ends_a_random_search(tmp_path):
    plan = made_plan("random", (OPTIMIZER,), base={"learning_rate": 0.05, "batch_size": 64}, trials=10)
    oracle = open_oracle(plan, made_folder(tmp_path, plan))
    given = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        given.append(trial.hyperparameters.values["optimizer"])
        oracle.update_trial(trial.trial_id, {"val_accuracy": 0.5}, step=1)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert sorted(given) == ["adamw", "sgd"]


class TestHyperband:
    plan = made_plan("hyperband", trials=23, epochs=9)

    @pytest.fixture(scope="class")
    def oracle(self, tmp_path_factory):
        return go_on(self.plan, made_folder(tmp_path_factory.mktemp("hyperband"), self.plan))

    def test_brackets(self, oracle):
        """Li et al. 2018, table 1 for R = 9: 9 at 1, 3 at 3, 1 at 9; then keras-tuner's 5 at 3, 2 at 9; 3 at 9."""
        rounds = [
            (one["tuner/bracket"], one["tuner/round"], one["tuner/epochs"], one["tuner/initial_epoch"])
            for one in (trial.hyperparameters.values for trial in oracle.trials.values())
        ]
        expected = [(2, 0, 1, 0)] * 9 + [(2, 1, 3, 1)] * 3 + [(2, 2, 9, 3)]
        expected += [(1, 0, 3, 0)] * 5 + [(1, 1, 9, 3)] * 2 + [(0, 0, 9, 0)] * 3
        assert rounds == expected

    def test_it_goes_on_with_the_best(self, oracle):
        trials = list(oracle.trials.values())
        best = sorted(trials[:9], key=lambda one: -accuracy(one.hyperparameters.values, 1))[:3]
        heirs = trials[9:12]
        assert [one.hyperparameters.values["tuner/trial_id"] for one in heirs] == [one.trial_id for one in best]
        for one, heir in zip(best, heirs, strict=True):
            for name in ("learning_rate", "batch_size", "optimizer"):
                assert heir.hyperparameters.values[name] == one.hyperparameters.values[name]
        assert not any("tuner/trial_id" in one.hyperparameters.values for one in trials[:9])

    def test_those_it_does_not_go_on_with_were_stopped(self, oracle):
        records = oracle.records()
        assert [one.status for one in records] == ["stopped"] * 12 + ["completed"] + ["stopped"] * 5 + ["completed"] * 5
        heirs = {
            one.hyperparameters.values["tuner/trial_id"]: one.trial_id
            for one in oracle.trials.values()
            if "tuner/trial_id" in one.hyperparameters.values
        }
        for record, epochs in zip(records[:12], [1] * 9 + [3] * 3, strict=True):
            if record.trial in heirs:
                assert record.reason == f"went on as trial {heirs[record.trial]}"
            else:
                assert record.reason == f"paused by its bracket at epoch {epochs}"
        assert records[12].reason is None
        assert not any(name.startswith("tuner/") for record in records for name in record.values)

    def test_the_median_rule_is_not_asked(self, oracle):
        assert not oracle.stop_early


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
