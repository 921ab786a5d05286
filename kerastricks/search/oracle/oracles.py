"""keras-tuner's oracles with atomically saved state and reproducible trials, and the median stopping rule."""

import contextlib
import dataclasses
import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import keras_tuner

from kerastricks.files import read_json, try_read_json
from kerastricks.search import tuner_internals
from kerastricks.search.folder import write_json
from kerastricks.search.plan import SearchPlan
from kerastricks.search.space.space import Space
from kerastricks.search.trial_record import TrialRecord

REPORT = "report.json"
_NAMES = 9999  # keras-tuner pads the names of trials to the length of this: "0007", however many are asked for


def cannot_win(
    curve: Mapping[int, float],
    finished: Sequence[Mapping[int, float]],
    direction: str,
    first_trials: int = 4,
    first_steps: int = 2,
) -> bool:
    """Whether the best value of a running trial is worse than the median of the finished ones' means up to its step.

    This is Vizier's median stopping rule. A trial that begins slowly and ends well is lost to it: schedules that differ
    in length of warm-up make that likelier, and `first_steps` less so. Values that are not finite do not count.

    Args:
        curve: of the running trial: value of the objective by step, from 1.
        finished: the curves of trials that ran to their end.
        direction: "min" or "max".
        first_trials: with fewer finished ones nothing is stopped.
        first_steps: nothing is stopped before this step is done.

    Reference:
        Golovin et al.: Google Vizier, KDD 2017, section 3.2.2. Deviation: none is stopped during `first_steps`.
    """
    step = max(curve, default=0)
    sign = 1 if direction == "max" else -1
    reached = [sign * value for value in curve.values() if math.isfinite(value)]
    if step < first_steps or not reached:
        return False
    means = []
    for other in finished:
        until = [sign * value for at, value in other.items() if at <= step and math.isfinite(value)]
        if until and max(other) >= step:
            means.append(sum(until) / len(until))
    return len(means) >= first_trials and max(reached) < median(means)


class Durable(tuner_internals.StartsFromDefaults):
    """A mixin that makes one of keras-tuner's oracles durable.

    keras-tuner writes its state in place and in several files; here it is one file that is written atomically, and
    a process that is killed resumes from the last write. The trials of `create_trial` depend on the finished trials
    and the seed only.
    """

    limit: int
    stop_early: bool
    # When no trial may be running any more, in seconds since 1970; None for never.
    ends_at: float | None = None
    # Whether no trial is left to be handed out.
    is_over: bool = False
    _is_changing: bool = False

    def begin(self, plan: SearchPlan) -> None:
        """Sets the attributes that keras-tuner's constructors do not take."""
        self.max_trials = _NAMES
        self.limit = plan.trials
        self.ends_at = plan.ends_at
        self.stop_early = plan.stop_early and plan.oracle != "hyperband"
        self.first_steps = 1 if plan.folds else max(2, plan.epochs // 4)
        self.verbose = 0
        self.max_consecutive_failed_trials = _NAMES + 1  # raising inside keras-tuner leaves its lock locked
        self.max_retries_per_trial = plan.retries

    # Trials that are handed out.

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        response: dict[str, Any] = {"status": "STOPPED", "values": None}
        if len(self.trials) < self.limit and not self._is_late():
            response = super().populate_space(trial_id)
        if response["status"] == "STOPPED" and self.ongoing_trials:
            response = {"status": "IDLE", "values": None}  # one of them may have to be handed out again
        return response

    def _is_late(self) -> bool:
        """Whether another trial, as long as the median of the completed ones, would end too late."""
        if self.ends_at is None:
            return False
        took = [record.seconds for record in self.records() if record.status == "completed"]
        return bool(self.end_order) and time.time() + (statistics.median(took) if took else 0.0) > self.ends_at

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        is_again = tuner_id in self.ongoing_trials
        with self._change():
            trial = super().create_trial(tuner_id)
            if is_again:
                trial.status = "RUNNING"  # its worker was killed, maybe after a stop
            if trial.status == "RUNNING":
                trial.metrics = type(trial.metrics)()  # an epoch that is repeated is reported again
        self.is_over = trial.status == "STOPPED"
        if trial.status != "IDLE":
            self.save()
        return trial

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        if not self._is_ongoing(trial_id):
            return keras_tuner.engine.trial.Trial(self.get_space(), trial_id, "STOPPED")  # see `end_trial`
        trial = super().update_trial(trial_id, metrics, step)
        if self.stop_early and cannot_win(
            self._curve(trial),
            [self._curve(other) for other in self.trials.values() if other.status == "COMPLETED"],
            self.objective.direction,
            first_steps=self.first_steps,
        ):
            trial.status = "STOPPED"
        self.save()  # a worker outlives its chief, and reports only new epochs to the next one
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        if not self._is_ongoing(trial.trial_id):
            return  # another worker has taken it over and ended it
        with self._change():
            super().end_trial(trial)
        self.save()

    def score_trial(self, trial: Any) -> None:
        """Scores the last epoch, whose weights are kept; keras-tuner takes the best epoch."""
        history = trial.metrics.get_history(self.objective.name)
        trial.score, trial.best_step = float(history[-1].mean()), history[-1].step

    @keras_tuner.synchronized
    def release(self, tuner_id: str) -> str | None:
        """Queues the trial of a lost worker for the next one, and returns the trial's name."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is None:
            return None
        tuner_internals.retry(self, trial.trial_id)
        self.save()
        return trial.trial_id

    def _is_ongoing(self, trial_id: str) -> bool:
        return trial_id in [one.trial_id for one in self.ongoing_trials.values()]

    def _curve(self, trial: Any) -> dict[int, float]:
        if not trial.metrics.exists(self.objective.name):
            return {}
        return {seen.step: float(seen.mean()) for seen in trial.metrics.get_history(self.objective.name)}

    # State.

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """Suspends writing: keras-tuner writes in the middle of its changes."""
        self._is_changing = True
        try:
            yield
        finally:
            self._is_changing = False

    def save(self) -> None:
        """Writes the whole state, trials included, atomically."""
        if self._is_changing:
            return
        state = self.get_state()
        state["trials"] = {name: trial.get_state() for name, trial in self.trials.items()}
        # Workers that have ended do not ask the next chief. With more time the search continues.
        state["over_at"] = self.limit if self.is_over and not self._is_late() else None
        write_json(tuner_internals.state_file(self), state)

    def reload(self) -> None:
        """Resumes from the last state; trials that were running still belong to their workers, until `release`."""
        state = read_json(tuner_internals.state_file(self))
        self.trials = {name: keras_tuner.engine.trial.Trial.from_state(one) for name, one in state["trials"].items()}
        self.set_state(state)
        self.is_over = state["over_at"] == self.limit

    def records(self) -> list[TrialRecord]:
        """The records of the finished trials, by name."""
        return [self._record(self.trials[name]) for name in sorted(set(self.end_order))]

    def _record(self, trial: Any) -> TrialRecord:
        report = try_read_json(tuner_internals.trial_folder(self, trial.trial_id) / REPORT) or {}
        failed = trial.status != "COMPLETED"
        return TrialRecord(
            trial=trial.trial_id,
            status="failed" if failed else report.get("status", "completed"),
            score=None if failed else trial.score,
            objective=self.objective.name,
            direction=self.objective.direction,
            values=shown_values(trial.hyperparameters.values),
            reason=report.get("reason"),
            curve=report.get("curve", []),
            seconds=report.get("seconds", 0.0),
            attempts=tuner_internals.attempts(self, trial.trial_id),
            worker=report.get("worker", "tuner0"),
            run=report.get("run"),
        )


class RandomSearchOracle(Durable, keras_tuner.oracles.RandomSearchOracle):
    """Draws each trial independently."""


class GridSearchOracle(Durable, keras_tuner.oracles.GridSearchOracle):
    """Goes through all combinations; keras-tuner forgets its position when it is resumed."""

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), **tuner_internals.grid_state(self)}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        tuner_internals.set_grid_state(self, state)


class BayesianOptimizationOracle(Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the finished trials."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # keras-tuner's generator continues from trial to trial, and restarts when it is resumed.
        tuner_internals.reseed(self, (self.seed + len(self.start_order)) % 2**32)
        return super().populate_space(trial_id)


class HyperbandOracle(Durable, keras_tuner.oracles.HyperbandOracle):
    """Begins many trials and continues the best, under other names; a trial that is not continued was stopped."""

    def _record(self, trial: Any) -> TrialRecord:
        record = super()._record(trial)
        values = trial.hyperparameters.values
        if record.status != "completed" or values["tuner/epochs"] >= self.max_epochs:
            return record
        heirs = [
            name
            for name, other in self.trials.items()
            if other.hyperparameters.values.get("tuner/trial_id") == trial.trial_id
        ]
        reason = f"paused by its bracket at epoch {values['tuner/epochs']}"
        if heirs:
            reason = f"went on as trial {heirs[0]}"
        return dataclasses.replace(record, status="stopped", reason=reason)


def make_oracle(plan: SearchPlan) -> Any:
    """Creates the oracle of a search, without trials."""
    shared = {
        "objective": keras_tuner.Objective(plan.objective, plan.direction),
        "hyperparameters": Space.from_dict(plan.space).to_hyperparameters(),
        # keras-tuner counts up from it draw by draw: neighbouring seeds would share trials. 0 means "any".
        "seed": random.Random(plan.seed).randrange(1, 2**31),
        "allow_new_entries": True,
        "tune_new_entries": False,
    }
    if plan.oracle == "hyperband":
        oracle: Any = HyperbandOracle(max_epochs=plan.epochs, factor=3, hyperband_iterations=None, **shared)
    elif plan.oracle == "bayesian":
        # Scores are measured on few images: noise is a tenth of their variance, not a ten-thousandth as by default.
        oracle = BayesianOptimizationOracle(num_initial_points=max(4, plan.trials // 4), alpha=0.1, **shared)
    elif plan.oracle == "grid":
        oracle = GridSearchOracle(**shared)
    else:
        oracle = RandomSearchOracle(**shared)
    oracle.begin(plan)
    return oracle


def shown_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drops Hyperband's own entries."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}
