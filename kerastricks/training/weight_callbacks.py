"""The callbacks that `keep` and `average` of a configuration ask for."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from kerastricks.callbacks.keep import KeepLast, KeepSnapshots, KeepTop, read_record, validation_rank
from kerastricks.callbacks.weights import WeightAverage
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError
from kerastricks.files import read_json, write_json
from kerastricks.layers.batch_norm_statistics import recompute_batch_norm
from kerastricks.schedules.warm_restarts import cycle_ends
from kerastricks.training.averaging import Average
from kerastricks.training.config import Config
from kerastricks.training.monitoring import ranked_by
from kerastricks.training.optimizer import finalize
from kerastricks.training.resolved_config import ResolvedConfig
from kerastricks.training.training_model import TrainingModel

FOLDER = "members"
REPORT = "average.json"
_MORE = ("val_balanced_accuracy", "val_macro_f1")  # where they are monitored


def keep_and_average(
    config: ResolvedConfig,
    data: ImageData,
    model: TrainingModel,
    batches: Callable[[], Iterable[Any]],
    run_folder: Path | None,
    show: bool = True,
) -> list[keras.callbacks.Callback]:
    """Makes the callbacks that `keep` and `average` ask for, in the order in which they are called.

    Args:
        config: of the training.
        data: that is trained on.
        model: that is trained.
        batches: one more epoch of training batches.
        run_folder: where `members` and average.json are written, or None.
        show: whether a line about the averages is shown on standard error.

    Raises:
        ConfigError: for `keep` without a folder, and where the schedule has another number of cycles.
    """
    callbacks: list[keras.callbacks.Callback] = []
    keep, average = config.specs.keep, config.specs.weight_average

    def score() -> dict[str, float]:
        return validation_scores(model, data)

    if keep is not None:
        if run_folder is None:
            raise ConfigError(f"keep={config.keep!r} needs a place: fit(..., run_folder=PATH)")
        folder = run_folder / FOLDER
        if keep.kind == "snapshots":
            callbacks.append(KeepSnapshots(folder, snapshot_steps(config, keep.count, data.steps_per_epoch), score))
        else:
            top = KeepTop(folder, keep.count, ranked_by(config)) if keep.kind == "top" else None
            callbacks.append(KeepLast(folder, keep.count) if top is None else top)
    if average is not None:
        swa = _EpochMean(average.value, batches) if average.kind == "swa" else None
        callbacks += [swa] if swa is not None else []
        report = run_folder / REPORT if run_folder is not None else None
        judge = AverageOrLast(average, score, batches, swa, report, show, ranked_by(config))
        judge.is_saved = bool(config.average)  # older checkpoints hold none for an optimizer's own average
        callbacks.append(judge)
    return callbacks


def snapshot_steps(config: ResolvedConfig, count: int, steps_per_epoch: int) -> Sequence[int]:
    """Steps at which snapshots are taken: the ends of the schedule's cycles, or equal distances without cycles.

    Raises:
        ConfigError: where the cycles are not `count`, or there are more snapshots than steps.
    """
    total = config.epochs * steps_per_epoch
    if count > total:
        raise ConfigError(f"keep={config.keep!r}: there are only {total} steps: take fewer snapshots, or more epochs")
    schedule = config.specs.schedule
    cycles, ratio = count, 1.0
    if schedule.name == "cosine_restarts":
        cycles, ratio = schedule.kwargs.get("cycles", 5), float(schedule.kwargs.get("t_mul", 1.0))
    if cycles != count:
        raise ConfigError(
            f"keep={config.keep!r} and schedule={config.schedule!r} disagree: a snapshot is taken where a cycle ends; "
            f'keep="snapshots({cycles})", or schedule="cosine_restarts(cycles={count})"'
        )
    return cycle_ends(total, count, ratio)


class _EpochMean(WeightAverage):
    """The mean of epochs; `AverageOrLast` puts it into the model."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing."""


class AverageOrLast(keras.callbacks.Callback):
    """Puts the average into the model at the end of training, unless it validates worse than the last weights.

    By `monitor`, and of equal values by the loss, as `KeepTop`. Statistics of batch normalisation are
    those of the weights that are left.

    Args:
        average: what is averaged.
        score: of the model as it is now.
        batches: one more epoch of training batches.
        swa: holds the mean of the epochs; None for EMA, where the optimizer does.
        path: of the report, or None.
        show: a line on standard error; without it last weights that were better are a warning.
        monitor: the metric that decides.
    """

    def __init__(
        self,
        average: Average,
        score: Callable[[], dict[str, float]],
        batches: Callable[[], Iterable[Any]],
        swa: WeightAverage | None,
        path: Path | None,
        show: bool,
        monitor: str = "val_accuracy",
    ) -> None:
        super().__init__()
        self.is_saved = True
        self.monitor = monitor
        self._show = show
        self._average, self._score, self._batches, self._swa, self._path = average, score, batches, swa, path

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._swa is not None and not self._swa.averaged_epochs:
            return
        before = self._score()
        variables = self.model.classifier.weights
        last = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
        if self._swa is not None:
            self._swa.put_in()
        else:
            finalize(self.model.optimizer, self.model.trainable_weights)
            recompute_batch_norm(self.model, self._batches())
        after = self._score()
        kept = "averaged" if is_as_good(after, before, self.monitor) else "last_epoch"
        if kept == "last_epoch":
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)
        report: dict[str, Any] = {"average": str(self._average), "last_epoch": before, "averaged": after, "kept": kept}
        if self._swa is not None:
            report["epochs"] = self._swa.averaged_epochs
        if self._path is not None:
            write_json(self._path, report)
        if self._show:
            Console(stderr=True, highlight=False, markup=False).print(describe_average(report), soft_wrap=True)
        elif kept == "last_epoch":
            warnings.warn(describe_average(report), stacklevel=2)


def is_as_good(averaged: dict[str, float], last: dict[str, float], monitor: str = "val_accuracy") -> bool:
    """Whether the average validates no worse than the last weights; NaN is worse."""
    return validation_rank(averaged, monitor) >= validation_rank(last, monitor)


def describe_average(report: dict[str, Any]) -> str:
    """A line for the terminal; reports of before there was a choice have the average in the model."""
    last, averaged = report["last_epoch"], report["averaged"]
    scores = (
        f"validation accuracy {averaged['val_accuracy']:.2%}, loss {averaged['val_loss']:.4f}; "
        f"last epoch {last['val_accuracy']:.2%}, {last['val_loss']:.4f}"
    )
    more = [
        f"{name.removeprefix('val_').replace('_', ' ')} {averaged[name]:.2%} and {last[name]:.2%}"
        for name in _MORE
        if name in last
    ]
    scores = "; ".join([scores, *more])
    if report.get("kept", "averaged") == "averaged":
        return f"{report['average']}: {scores}"
    return f"{report['average']} NOT USED, it validates worse than the last weights, which are kept: {scores}"


def reports(run_folder: Path, config: Config) -> dict[str, Any]:
    """Fields of a run's summary: `members` where some were kept, `average` where there was one."""
    found: dict[str, Any] = {"members": read_record(run_folder / FOLDER)} if config.keep else {}
    if config.specs.weight_average is not None and (run_folder / REPORT).exists():
        found["average"] = read_json(run_folder / REPORT)
    return found


def validation_scores(model: TrainingModel, data: ImageData) -> dict[str, float]:
    """Validation accuracy, loss and monitored metric of a model in training, whose running metrics stay as they are."""
    if hasattr(model, "jax_state_sync"):  # within an epoch JAX's values are not in the variables
        model.jax_state_sync()
    kept = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in model.metrics_variables]
    scores = model.evaluate(data.validation, verbose=0, return_dict=True)
    for variable, value in zip(model.metrics_variables, kept, strict=True):
        variable.assign(value)
    return {
        f"val_{name}": float(scores[name])
        for name in ("accuracy", "loss", "balanced_accuracy", "macro_f1")
        if name in scores
    }
