"""Plan of a search: everything that determines its list of trials."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerastricks.bounds import CONFIG
from kerastricks.errors import ConfigError, SearchError, UnknownNameError
from kerastricks.training.config import LOGGED, MONITORS

ORACLES = ("bayesian", "grid", "hyperband", "random")
DIRECTIONS = {
    "loss": "min",
    "accuracy": "max",
    "val_loss": "min",
    "val_accuracy": "max",
    "val_balanced_accuracy": "max",
    "val_macro_f1": "max",
}
_MAY_CHANGE = ("trials", "top", "refit", "minutes", "ends_at")
_SAVING_SECONDS = 30.0  # a run folder of the best: what is left of it, export, check in a fresh process
_LEAST_EPOCHS = 3  # of a trial, to tell good from bad


@dataclass(frozen=True)
class SearchPlan:
    """A search as search.json keeps it.

    Args:
        base: fields of the configuration that all trials start from.
        space: as `Space.to_dict` writes it.
        objective: a metric that training logs: loss, accuracy, val_loss, val_accuracy, or what is `monitor` of `base`,
            too: val_balanced_accuracy, val_macro_f1.
        direction: "min" or "max".
        oracle: which of keras-tuner's: "bayesian", "grid", "hyperband" or "random".
        trials: the most there will be.
        epochs: of a trial that is not stopped.
        seed: of the oracle.
        folds: parts of the cross-validation; 0 for the validation split.
        retries: how often a trial that crashed is started again.
        stop_early: whether the median rule stops trials.
        doctor: whether hopeless trials are ended.
        top: how many of the best are kept as run folders.
        refit: whether the best is trained once more with the validation images.
        data: what `ImageData.describe` says.
        versions: of the code.
        range_test: what the range test said, or None.
        kept: whether the folder holds the decoded pixels.
        trial_bytes: memory that a trial was seen to take.
        minutes: of the wall, that the search may take, its run folders included; None for as long as it takes.
        ends_at: when no trial may go on, in seconds since 1970; None for never.
    """

    base: dict[str, Any]
    space: dict[str, Any]
    objective: str = "val_accuracy"
    direction: str = "max"
    oracle: str = "bayesian"
    trials: int = 20
    epochs: int = 10
    seed: int = 0
    folds: int = 0
    retries: int = 1
    stop_early: bool = True
    doctor: bool = False
    top: int = 1
    refit: bool = False
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    range_test: dict[str, Any] | None = None
    kept: bool = False
    trial_bytes: int = 0
    minutes: float | None = None
    ends_at: float | None = None

    def __post_init__(self) -> None:
        if self.oracle not in ORACLES:
            raise UnknownNameError("oracle", self.oracle, ORACLES)
        if self.objective not in DIRECTIONS:
            raise UnknownNameError("metric that training logs", self.objective, DIRECTIONS)
        _check(self.direction in ("min", "max"), "direction", "min or max", self.direction)
        _check(1 <= self.trials <= 9999, "trials", "in 1-9999", self.trials)
        _check(self.epochs >= 1, "epochs", "1 or more", self.epochs)
        _check(0 <= self.seed < 2**31 - 1, "seed", "in 0-2147483646", self.seed)
        _check(self.folds == 0 or self.folds >= 2, "folds", "2 or more, or 0", self.folds)
        _check(self.retries >= 0, "retries", "0 or more", self.retries)
        minutes = self.minutes
        _check(minutes is None or CONFIG["minutes"].holds(minutes), "minutes", CONFIG["minutes"].rule, minutes)
        _check(0 <= self.top <= self.trials, "top", f"in 0-{self.trials}, the trials", self.top)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def ending(self, now: float, used_seconds: float = 0.0) -> "SearchPlan":
        """Set the deadline of its trials, so that the run folders are finished within `minutes`.

        Args:
            now: seconds since 1970.
            used_seconds: of the minutes.
        """
        if self.minutes is None:
            return dataclasses.replace(self, ends_at=None)
        saving = _SAVING_SECONDS * (self.top + self.refit)
        return dataclasses.replace(self, ends_at=now + 60.0 * self.minutes - used_seconds - saving)

    def fitting(self, epoch_seconds: float, once_seconds: float, now: float, workers: int) -> tuple["SearchPlan", str]:
        """Limit the epochs of a trial, to at least three, so that all trials end in time; returns a message, too.

        Args:
            epoch_seconds: of the configuration that the search starts from, all folds together.
            once_seconds: that each trial takes besides.
            now: seconds since 1970.
            workers: at once.
        """
        assert self.ends_at is not None
        left = max(self.ends_at - now, 0.0)
        share = left * max(workers, 1) / self.trials
        epochs = max(math.floor((share - once_seconds) / max(epoch_seconds, 1e-9)), _LEAST_EPOCHS)
        epochs = min(epochs, self.epochs)
        trial = once_seconds + epochs * epoch_seconds
        count = max(min(math.floor(left * max(workers, 1) / max(trial, 1e-9)), self.trials), 1)
        said = f"{self.minutes:g} minutes: trials of {epochs} epochs, about {trial:.0f} s each"
        said += f": about {count} of {self.trials} fit" if count < self.trials else ""
        return dataclasses.replace(self, epochs=epochs), said

    def refuse_other(self, wanted: "SearchPlan", folder: object) -> None:
        """Raises SearchError unless `wanted` continues this search: with the differences, one after the other."""
        from kerastricks.search.space.space import Space

        changes = [
            f"{name}: {_show(have)} there, {_show(want)} now"
            for name, have, want in _pairs(self, wanted)
            if name not in (*_MAY_CHANGE, "space", "range_test", "kept", "trial_bytes") and have != want
        ]
        changes += Space.from_dict(wanted.space).differences(Space.from_dict(self.space))
        if changes:
            raise SearchError(
                f"{folder}: is another search ({'; '.join(changes)}): give what it began with, or another --out"
            )


def with_monitor(fields: Mapping[str, Any], objective: str | None) -> dict[str, Any]:
    """Fields of a configuration whose trainings log the objective: `monitor` names one that is not always logged.

    Raises:
        ConfigError: for a `monitor` that is another one.
    """
    if objective not in MONITORS or objective in LOGGED:
        return dict(fields)
    monitor = fields.get("monitor", objective)
    if monitor != objective:
        raise ConfigError(
            f"objective={objective!r} is the monitor of the trials, too: leave monitor out. Received: "
            f"monitor={monitor!r}"
        )
    return {**fields, "monitor": objective}


def _pairs(one: SearchPlan, other: SearchPlan) -> list[tuple[str, Any, Any]]:
    pairs = []
    for field in dataclasses.fields(one):
        have, want = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("base", "data", "versions"):
            pairs += [(name, have.get(name), want.get(name)) for name in sorted({*have, *want})]
        else:
            pairs.append((field.name, have, want))
    # The same data may have moved: their fingerprint is compared.
    return [pair for pair in pairs if pair[0] not in ("data", "name")]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check(holds: bool, name: str, rule: str, value: Any) -> None:
    if not holds:
        raise SearchError(f"--{name} must be {rule}. Received: {name}={value!r}")
