"""Runs a comparison: every arm with every seed."""

import gc
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from kerastricks.comparison.arms import create_arm, run_arm
from kerastricks.comparison.folder import ComparisonFolder
from kerastricks.comparison.kinds import check_model, default_config, read_arms, read_seeds
from kerastricks.comparison.report import Comparison
from kerastricks.data.image_data import ImageData
from kerastricks.errors import Interrupted
from kerastricks.files import write_json
from kerastricks.progress import Progress, clock, silent
from kerastricks.runs.finishing import versions
from kerastricks.training import device
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data
from kerastricks.training.resolved_config import ResolvedConfig, resolve
from kerastricks.training.resumable import StopRequest, catch_signals

Say = Callable[[str], object]


def _quiet(line: str) -> None:
    """Prints nothing."""


def compare(
    kind: str,
    data: Any,
    model: str = "nin",
    arms: str | Sequence[str] | None = None,
    seeds: int | Sequence[int] = 5,
    config: Config | None = None,
    folder: str | Path | None = None,
    *,
    limit: int | None = None,
    say: Say = _quiet,
    progress: Progress = silent,
) -> Comparison:
    """Trains one network once per arm and seed, and compares the arms seed by seed.

    All arms of a seed start from the same random numbers and see the same batches, for as many steps, under the same
    configuration; only the compared option differs. The splits are the same for all seeds. On one machine's CPU the
    result is the same to the bit each time; two arms that compute the same thing have equal results.

    Args:
        kind: "activations", "initializers" or "regularizers".
        data: an `ImageData`, or whatever `kerastricks.data.load` takes.
        model: of the zoo; its spec may set anything but the compared option.
        arms: values of the option, "relu | rrelu" or a sequence; the first is the baseline. By default the usual ones.
        seeds: how many, from 0, or which.
        config: by default `default_config(kind)`. Its `seed` decides the splits; its `data` and `model` are not read,
            nor, for an `ImageData`, its batch size, augmentation and splits.
        folder: where the plan, a line per finished run, and the result are written. Runs of this comparison that are
            there are not repeated, and `seeds` may be more than those.
        limit: the number of training images, the first of a seeded shuffle; all by default.
        say: gets a line per run.
        progress: shows how far all runs are.

    Returns:
        A `Comparison`.

    Raises:
        UnknownNameError: for another kind, an unknown model or arm.
        ConfigError: for fewer than two arms, no seeds, or a model that sets the compared option itself.
        SpecError: for arms that do not parse, or that the model refuses.
        DataError: for anything wrong with the images.
        RunFolderError: where `folder` holds something else.
        Interrupted: after Ctrl-C or SIGTERM; the runs that are finished are in `folder`.

    Example:
        >>> import kerastricks, numpy
        >>> from kerastricks.comparison import compare, default_config
        >>> x, y = numpy.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype("uint8"), numpy.arange(60) % 2
        >>> data = kerastricks.data.load((x, y), batch_size=16)
        >>> config = kerastricks.training.Config(epochs=1)
        >>> found = compare("activations", data, "plain_cnn(widths=(2,))", "relu | tanh", seeds=1, config=config)
        >>> [row["arm"] for row in found.rows]
        ['relu', 'tanh']
    """
    check_model(model, kind)
    names, numbers = read_arms(kind, arms), read_seeds(seeds)
    config = config or default_config(kind)
    images = data if isinstance(data, ImageData) else load_data(data, config, progress)
    if limit is not None:
        images = images.limited(limit)
    source = str(data) if isinstance(data, str | os.PathLike) else None
    if config.early_stopping_epochs == "auto":
        config = config.replace(early_stopping_epochs=None)  # arms are compared after the same number of steps
    resolved = resolve(config, images).replace(model=model, data=source)
    for arm in names:
        create_arm(kind, arm, model, images)  # one that cannot be made is refused before anything is trained
    plan = {
        "kind": kind,
        "model": model,
        "arms": list(names),
        "seeds": list(numbers),
        "limit": limit,
        "config": resolved.as_dict(),
        "data": images.describe(),
        "backend": keras.backend.backend(),
        "device": device.describe(),
        "versions": versions(),
    }
    files = ComparisonFolder(Path(folder)) if folder is not None else None
    runs: list[dict[str, Any]] = []
    if files is not None:
        files.begin(plan)
        runs = files.read_runs()
    _run_all(plan, images, resolved, runs, files, say, progress)
    comparison = Comparison(plan, tuple(runs))
    if files is not None:
        comparison.plot(files.plot)
        # Last: a folder with it is finished.
        write_json(files.result, comparison.to_json())
    return comparison


def _run_all(
    plan: dict[str, Any],
    data: ImageData,
    config: ResolvedConfig,
    runs: list[dict[str, Any]],
    files: ComparisonFolder | None,
    say: Say,
    progress: Progress,
) -> None:
    """Runs what is missing: all arms of a seed first, so that an interrupted comparison is paired."""
    finished = {(run["arm"], run["seed"]) for run in runs}
    missing = [(arm, seed) for seed in plan["seeds"] for arm in plan["arms"] if (arm, seed) not in finished]
    started = time.perf_counter()
    signals = catch_signals() if files is not None else nullcontext(StopRequest())
    with signals as request, progress("comparing, epochs", len(missing) * config.epochs) as advance:
        for number, (arm, seed) in enumerate(missing, start=1):
            watch = _Watch(advance, request)
            run = run_arm(plan["kind"], arm, seed, plan["model"], data, config, [watch])
            advance(config.epochs - run["epochs"])
            runs.append(run)
            if files is not None:
                files.append(run)
            left = (time.perf_counter() - started) / number * (len(missing) - number)
            result = "diverged" if run["diverged"] else f"{run['accuracy']:.2%}, log-loss {run['log_loss']:.3f}"
            say(
                f"run {len(runs)} of {len(plan['arms']) * len(plan['seeds'])}: {arm}, seed {seed}: {result}, "
                f"{run['seconds']:.1f} s" + (f", ETA {clock(left)}" if left else "")
            )
            gc.collect()  # a trained network is a ring of references
            watch.stop_if_asked()


class _Watch(keras.callbacks.Callback):
    """Counts epochs, and stops between two steps: an interrupt anywhere else may be lost inside a library."""

    def __init__(self, advance: Callable[[int], None], request: StopRequest) -> None:
        super().__init__()
        self.advance = advance
        self.request = request

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.advance(1)

    def stop_if_asked(self) -> None:
        if self.request.signal_number is not None:
            raise Interrupted(self.request.signal_number)
