"""The callbacks that `keep` and `average` of a configuration ask for."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from kerastricks import spec
from kerastricks.callbacks.keep_last import KeepLast
from kerastricks.callbacks.keep_snapshots import KeepSnapshots
from kerastricks.callbacks.keep_top import KeepTop
from kerastricks.callbacks.member_files import read_record
from kerastricks.callbacks.weight_average import WeightAverage
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError
from kerastricks.files import write_json
from kerastricks.layers.recompute_batch_norm import recompute_batch_norm
from kerastricks.schedules.cosine_restarts import cycle_ends
from kerastricks.training.average import Average
from kerastricks.training.config import Config
from kerastricks.training.keep import Keep
from kerastricks.training.training_model import TrainingModel

FOLDER = "members"
REPORT = "average.json"


def keep_and_average(
    config: Config,
    data: ImageData,
    model: TrainingModel,
    batches: Callable[[], Iterable[Any]],
    run_folder: Path | None,
    show: bool = True,
) -> list[keras.callbacks.Callback]:
    """Those callbacks, in the order in which they are called.

    Args:
        config: resolved.
        data: that is trained on.
        model: that is trained.
        batches: one more epoch of training batches.
        run_folder: where `members` and average.json are written, or None.
        show: whether a line about the averages is shown on standard error.

    Raises:
        ConfigError: for `keep` without a folder, and where the schedule has another number of cycles.
    """
    callbacks: list[keras.callbacks.Callback] = []
    keep, average = Keep.parse(config.keep), Average.parse(config.average)

    def score() -> dict[str, float]:
        return validation_scores(model, data)

    if keep is not None:
        if run_folder is None:
            raise ConfigError(f"keep={config.keep!r} needs a place: fit(..., run_folder=PATH)")
        folder = run_folder / FOLDER
        if keep.kind == "snapshots":
            callbacks.append(KeepSnapshots(folder, snapshot_steps(config, keep.count, data.steps_per_epoch), score))
        else:
            callbacks.append((KeepTop if keep.kind == "top" else KeepLast)(folder, keep.count))
    if average is not None:
        swa = WeightAverage(average.value, batches) if average.kind == "swa" else None
        callbacks += [swa] if swa is not None else []
        report = run_folder / REPORT if run_folder is not None else None
        callbacks.append(AverageReport(average, score, batches, swa, report, show))
    return callbacks


def snapshot_steps(config: Config, count: int, steps_per_epoch: int) -> Sequence[int]:
    """Where the cycles of the schedule end; at equal distances for a schedule without cycles.

    Raises:
        ConfigError: where the cycles are not `count`, or there are more snapshots than steps.
    """
    assert config.epochs is not None
    total = config.epochs * steps_per_epoch
    if count > total:
        raise ConfigError(f"keep={config.keep!r}: there are only {total} steps: fewer snapshots, or more epochs")
    schedule = spec.parse(config.schedule)
    cycles, ratio = count, 1.0
    if schedule.name == "cosine_restarts":
        cycles, ratio = schedule.kwargs.get("cycles", 5), float(schedule.kwargs.get("t_mul", 1.0))
    if cycles != count:
        raise ConfigError(
            f"keep={config.keep!r} and schedule={config.schedule!r} disagree: a snapshot is taken where a cycle ends; "
            f'keep="snapshots({cycles})", or schedule="cosine_restarts(cycles={count})"'
        )
    return cycle_ends(total, count, ratio)


class AverageReport(keras.callbacks.Callback):
    """At the end, with the averages in the model: its statistics, its scores and those before.

    Args:
        average: what is averaged.
        score: of the model as it is now.
        batches: one more epoch of training batches.
        swa: has put the averages into the model, or None for EMA, where the optimizer has.
        path: of the report, or None.
        show: a line on standard error.
    """

    def __init__(
        self,
        average: Average,
        score: Callable[[], dict[str, float]],
        batches: Callable[[], Iterable[Any]],
        swa: WeightAverage | None,
        path: Path | None,
        show: bool,
    ) -> None:
        super().__init__()
        self._show = show
        self._average, self._score, self._batches, self._swa, self._path = average, score, batches, swa, path
        self.before: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.before = {name: float((logs or {})[name]) for name in ("val_accuracy", "val_loss")}

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._swa is None:
            recompute_batch_norm(self.model, self._batches())
        elif not self._swa.averaged_epochs:
            return
        after = self._score()
        report: dict[str, Any] = {"average": str(self._average), "last_epoch": self.before, "averaged": after}
        if self._swa is not None:
            report["epochs"] = self._swa.averaged_epochs
        if self._path is not None:
            write_json(self._path, report)
        if self._show:
            Console(stderr=True, highlight=False, markup=False).print(describe_average(report), soft_wrap=True)


def describe_average(report: dict[str, Any]) -> str:
    """A line for the terminal."""
    last, averaged = report["last_epoch"], report["averaged"]
    return (
        f"{report['average']}: validation accuracy {averaged['val_accuracy']:.2%}, loss {averaged['val_loss']:.4f}; "
        f"last epoch {last['val_accuracy']:.2%}, {last['val_loss']:.4f}"
    )


def reports(run_folder: Path, config: Config) -> dict[str, Any]:
    """What a summary says of it: `members` where some were kept, `average` where there was one."""
    found: dict[str, Any] = {"members": read_record(run_folder / FOLDER)} if config.keep else {}
    if config.average:
        found["average"] = json.loads((run_folder / REPORT).read_text(encoding="utf-8"))
    return found


def validation_scores(model: TrainingModel, data: ImageData) -> dict[str, float]:
    """Validation accuracy and loss of a model in training, whose running metrics stay as they are."""
    if hasattr(model, "jax_state_sync"):  # within an epoch JAX's values are not in the variables
        model.jax_state_sync()
    kept = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in model.metrics_variables]
    scores = model.evaluate(data.validation, verbose=0, return_dict=True)
    for variable, value in zip(model.metrics_variables, kept, strict=True):
        variable.assign(value)
    return {f"val_{name}": float(scores[name]) for name in ("accuracy", "loss")}
