"""The jobs of a trial's process: prepare a search, train a trial with pauses, finish and refit the best."""

import dataclasses
import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil

from kerastricks.callbacks.doctor import STOPPING, Doctor
from kerastricks.data.cross_validation import folds
from kerastricks.data.image_data import ImageData
from kerastricks.data.kept_pixels import are_kept, can_keep, keep_pixels, open_kept_pixels
from kerastricks.data.loading import load
from kerastricks.errors import ConfigError, Interrupted, TrainingDivergedError
from kerastricks.files import read_json_lines, whole
from kerastricks.models.creation import create
from kerastricks.runs.beginning import write_resolved, write_skipped
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.training_run import check_own_model, new_model
from kerastricks.search.trials.processes import Channel
from kerastricks.training import checkpoint
from kerastricks.training.config import LOGGED, Config
from kerastricks.training.datasets import load_data
from kerastricks.training.fitting import fit
from kerastricks.training.monitoring import logged_metrics
from kerastricks.training.resolved_config import resolve

# Called with the epoch, from 1, and its metrics; False pauses.
Tell = Callable[[int, dict[str, float]], bool]


class Reporter(keras.callbacks.Callback):
    """Reports each epoch and pauses the training when told to.

    A pause works like Ctrl-C: `fit` saves its checkpoint at the end of the epoch and raises `Interrupted`, and resumes
    from there when it is called again.

    Args:
        tell: receives epoch and metrics; returns whether to continue.
        epochs: to pause after, at the latest.
        metrics: names of those that are reported.
    """

    is_saved = False  # a trial is resumed to another epoch, and as a run without this

    def __init__(self, tell: Tell, epochs: int, metrics: Sequence[str] = LOGGED) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        self.tell = tell
        self.epochs = epochs
        self.paused = False

    def replay(self, metrics: Path, epochs: int) -> bool:
        """Reports the epochs of the checkpoint; whether there is more to train.

        Args:
            metrics: metrics.jsonl of the run.
            epochs: that its checkpoint holds.
        """
        lines = metrics.read_text(encoding="utf-8").splitlines()[:epochs] if metrics.exists() else []
        for line in lines:
            record = json.loads(line)
            if not self.tell(record["epoch"], {name: record[name] for name in self.metrics}):
                return False
        return len(lines) < self.epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = {name: float((logs or {})[name]) for name in self.metrics}
        if not all(map(math.isfinite, metrics.values())):
            return  # `fit` raises right after this
        goes_on = self.tell(epoch + 1, metrics)
        if (not goes_on or epoch + 1 >= self.epochs) and epoch + 1 < self.params["epochs"]:
            self.paused = True
            signal.raise_signal(signal.SIGTERM)


# With these in the space each trial reads the images again: their pixels depend on them.
READS_ANEW = ("image_size", "crop_fraction", "interpolation")
RANGE_TEST_SECONDS = 120.0  # at most, and a fifth of the search's time
_CONTINUED = (checkpoint.FILE_NAME, "metrics.jsonl", "batch_loss.f32")


def warm_up() -> None:
    """Trains a tiny model, so that first-use imports, tracing and threads are done."""
    pixels, labels = np.zeros((8, 8, 8, 1), "uint8"), np.arange(8) % 2
    data = load((pixels, labels), augment="pad_crop(1)", batch_size=2, validation=0.25, test=0.25)
    model = create("plain_cnn(widths=(4,))", data.image_shape, 2)
    fit(model, data, Config(epochs=1), progress_line=False)
    keras.backend.clear_session()


def train(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Trains a trial until its pause or end; resumes where an earlier process stopped.

    Args:
        job: config, folder, recipe, pixels, epochs (where to pause), source (a trial to continue), folds, doctor.
        channel: for epochs and their answers.

    Raises:
        TrainingDivergedError: when the loss is not finite, or the doctor ends the trial.
    """
    config = Config(**job["config"])
    folder = Path(job["folder"])
    if not job["folds"]:
        curve, paused = _train_one(job, config, _load(job, config), folder / "run", _teller(channel, config))
        return {"status": "paused" if paused else "completed", "curve": curve}
    curves = []
    for number, part in enumerate(folds(_load(job, config), job["folds"]), start=1):
        curve, _ = _train_one(job, config, part, folder / f"fold_{number}", lambda epoch, metrics: True)
        curves.append(curve)
        mean = {name: sum(one[-1][name] for one in curves) / len(curves) for name in logged_metrics(config)}
        if not _tell(channel, number, job["folds"], mean) and number < job["folds"]:
            return {"status": "paused", "curve": _mean_curve(curves)}
    return {"status": "completed", "curve": _mean_curve(curves)}


def prepare(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Reads the images once, stores their pixels, and measures rate and step time.

    Args:
        job: config, folder, pixels, folds, range_test, recipe, seconds (of the search, or None).
        channel: for progress.
    """
    from kerastricks.search.preparation import find_rate, make_space, time_steps
    from kerastricks.search.space.defaults import DataFacts

    config = Config(**job["config"])
    if config.bagging:  # its copies would be in several folds, and all trials would have one bag
        raise ConfigError(
            "bagging is for the members of an ensemble, and trials are compared on all images: take it out"
        )
    progress = _progress(channel)
    data = load_data(config.data, config, progress)
    config = dataclasses.replace(config, augment=data.augmentation.text)
    run = RunFolder(Path(job["folder"]))
    if run.recipe.exists():  # its model will be exported
        resolved = resolve(config, data)
        model = new_model(run, resolved, data, lambda line: None)
        check_own_model(run, model, data, resolved.precision, lambda line: None)
    if job["folds"]:
        folds(data, job["folds"])  # refuses too few images
    folder, found, timing = Path(job["folder"]), None, None
    if job["range_test"] or job["seconds"] is not None:
        timing = time_steps(config, data, folder)
    if job["range_test"]:
        assert timing is not None
        share = RANGE_TEST_SECONDS if job["seconds"] is None else min(RANGE_TEST_SECONDS, job["seconds"] / 5)
        found = find_rate(config, data, folder, progress, timing, share)
    config, space = make_space(job, config, DataFacts.of(data), found)
    kept = can_keep(data) and not any(name in space for name in READS_ANEW)
    if kept:
        keep_pixels(data, Path(job["pixels"]))
    return {
        "config": config.as_dict(),
        "space": space.to_dict(),
        "data": data.describe(),
        "range_test": found,
        "timing": None if timing is None else [timing.step_seconds, timing.evaluation_seconds, timing.once_seconds],
        "steps_per_epoch": data.steps_per_epoch,
        "kept": kept,
        "bytes": psutil.Process().memory_info().rss,
    }


def look(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Reads the images again for a resumed search: their description, and their pixels where missing."""
    config = Config(**job["config"])
    data = load_data(config.data, config, _progress(channel))
    if job["keep"] and not are_kept(Path(job["pixels"])):
        keep_pixels(data, Path(job["pixels"]))
    return {"data": data.describe()}


def finish(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Completes the run folder of a trial; trains the epochs that are left."""
    from kerastricks.runs.training_run import run_training

    run = RunFolder(Path(job["folder"]))
    return {"summary": run_training(run, lambda line: None, _progress(channel)).to_json()}


def refit(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Trains a configuration from scratch on training and validation images, into a run folder."""
    from kerastricks.data.cross_validation import pooled
    from kerastricks.runs.finishing import finish as finish_run

    config = Config(**job["config"])
    run = RunFolder(Path(job["folder"]))
    data = pooled(_load(job, config))
    config = resolve(config, data)
    run.clean()
    write_skipped(run, data)
    write_resolved(run, config, data)
    model = new_model(run, config, data, lambda line: None)
    fit(model, data, config, run_folder=run.path, progress_line=False)
    return {"summary": finish_run(run, model, data, config, _progress(channel)).to_json()}


def _train_one(
    job: dict[str, Any], config: Config, data: ImageData, path: Path, tell: Callable[[int, dict[str, float]], bool]
) -> tuple[list[dict[str, float]], bool]:
    run = _run_folder(job, path)
    config = resolve(config, data)
    write_resolved(run, config, data)
    write_skipped(run, data)
    names = logged_metrics(config)
    reporter = Reporter(tell, job["epochs"], names)
    done = checkpoint.read_position(run.checkpoint).step // data.steps_per_epoch
    if reporter.replay(run.metrics, done):
        model = new_model(run, config, data, lambda line: None)
        doctor = Doctor(STOPPING, batch_size=data.batch_size)  # it prints into the log of the trial
        callbacks = [doctor, reporter] if job["doctor"] else [reporter]
        try:
            fit(model, data, config, callbacks=callbacks, run_folder=run.path, progress_line=False)
        except Interrupted:
            if not reporter.paused:
                raise
        except TrainingDivergedError:
            if doctor.stopped is None:
                raise
            raise TrainingDivergedError(f"{doctor.stopped.code}: {doctor.stopped.evidence}") from None
    curve = [_floats(record, names) for record in read_json_lines(run.metrics)]
    return curve, len(curve) < (config.epochs or 0)


def _floats(record: dict[str, float], metrics: Sequence[str]) -> dict[str, float]:
    return {name: record[name] for name in ("epoch", *metrics, "learning_rate", "seconds")}


def _run_folder(job: dict[str, Any], path: Path) -> RunFolder:
    """The trial's run folder, seeded with its source's checkpoint."""
    path.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path)
    run.clean()
    source = None if job["source"] is None else Path(job["source"]) / path.name
    # Without its checkpoint, as after a search that was extended, it is trained from scratch.
    if source is not None and (source / checkpoint.FILE_NAME).exists() and not run.checkpoint.exists():
        for name in reversed(_CONTINUED):  # the checkpoint last: its presence means that all files are complete
            with whole(path / name) as temporary:
                shutil.copyfile(source / name, temporary)
    if Path(job["recipe"]).exists():
        shutil.copyfile(job["recipe"], run.recipe)
    return run


def _load(job: dict[str, Any], config: Config) -> ImageData:
    from kerastricks.data.pipeline.stages import leads_with_crop

    # A leading crop cuts from the originals, which are not stored.
    if job["kept"] and not leads_with_crop(config.augment):
        return open_kept_pixels(Path(job["pixels"]), config.augment, config.batch_size, config.seed)
    return load_data(config.data, config)


def _teller(channel: Channel, config: Config) -> Callable[[int, dict[str, float]], bool]:
    return lambda epoch, metrics: _tell(channel, epoch, config.epochs or 0, metrics)


def _tell(channel: Channel, step: int, steps: int, metrics: dict[str, float]) -> bool:
    channel.send(event="epoch", epoch=step, epochs=steps, metrics=metrics)
    return bool(channel.receive()["go_on"])


def _mean_curve(curves: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Averages epoch by epoch over the folds that reached it."""
    longest = max(map(len, curves))
    reached = [[curve[epoch] for curve in curves if len(curve) > epoch] for epoch in range(longest)]
    return [{name: sum(one[name] for one in rows) / len(rows) for name in rows[0]} for rows in reached]


def _progress(channel: Channel) -> Any:
    @contextmanager
    def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
        channel.send(event="progress", description=description, total=total)
        said, waiting = time.monotonic(), 0

        def advance(done: int) -> None:
            nonlocal said, waiting
            waiting += done
            if time.monotonic() - said > 0.2:
                said = time.monotonic()
                channel.send(event="progress", done=waiting)
                waiting = 0

        yield advance
        channel.send(event="progress", end=True)

    return progress
