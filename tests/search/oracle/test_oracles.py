"""The oracles without processes: what they give out, and that it is the same whenever their process dies."""

import itertools
import json
import math
import os
from types import SimpleNamespace

import keras_tuner
import pytest
from keras_tuner.src.tuners import bayesian
from made_plan import BATCH, DECAY, OPTIMIZER, RATE, accuracy, made_folder, made_plan
from search_steps import go_on, trials_of
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from kerastricks.search.folder import write_json
from kerastricks.search.oracle import oracles
from kerastricks.search.oracle.engine import open_oracle, quiet
from kerastricks.search.space.parameter import Parameter

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
