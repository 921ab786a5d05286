"""The check of labels as a job: a training for each fold, its predictions for what it has not seen, the suspects."""

import dataclasses
import gc
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np

from kerastricks import recipes
from kerastricks.checks.label_check import LabelsReport, check_labels, import_cleanlab
from kerastricks.data.cross_validation import folds as make_folds
from kerastricks.data.cross_validation import held_out
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, RunFolderError
from kerastricks.files import discard, whole, write_json
from kerastricks.keras_graph import with_probabilities
from kerastricks.progress import Progress, clock, duration, in_lines, silent
from kerastricks.runs.beginning import describe_data, refuse_other_data, start, write_resolved, write_skipped
from kerastricks.runs.configuration import ConfigFields, Source, as_path, check_early, configure
from kerastricks.runs.evaluation import predict
from kerastricks.runs.folder import RunFolder, check_name, is_taken
from kerastricks.runs.resumable import Resumption, Say, carry_out, refuse_settings, reopened
from kerastricks.runs.training_run import new_model
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data
from kerastricks.training.fitting import fit
from kerastricks.training.optimizer import plateau_decay
from kerastricks.training.resolved_config import ResolvedConfig, resolve

FOLDS = 4
MOST_FOLDS = 100
RESUMPTION = Resumption("kerastricks check labels --resume", "kerastricks.runs.find_wrong_labels")
_SUSPECTS, _REPORT = "suspects.csv", "labels.json"
_MANY_STEPS = 1000


def find_wrong_labels(
    source: Source | None = None,
    config: Config | None = None,
    *,
    folds: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> LabelsReport:
    """Find images whose labels are probably wrong, as `kerastricks check labels` does.

    Training and validation images are divided into folds; a network that was trained on the other folds predicts each.
    Test images are in no fold: each is predicted by one of these networks, in turn. So no network has seen the label of
    an image that it predicts, and all labels of the data are checked. Ctrl-C and SIGTERM save the state.

    Args:
        source: a folder, zip or table of images, the name of a data set or recipe, or a loaded recipe.
        config: of the trainings; None for that of the recipe, or the defaults.
        folds: how many, 2 to 100; None for 4. More train on more images each, and take longer.
        folder: of the trainings, new; None for saved_models/labels-MODEL-DATA-NUMBER. Predictions, suspects.csv and
            labels.json stay in it.
        resume: the folder of an interrupted check; only `data` may be given besides, where they have moved.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the configuration; they replace those of `config` or of the recipe.

    Returns:
        The report over all images; names are those of the files, relative to the data.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folder.
        MissingExtraError: without cleanlab.
        RunFailedError: where a training fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.

    Example:
        >>> import kerastricks
        >>> report = kerastricks.runs.find_wrong_labels("digits", epochs=5)  # doctest: +SKIP
        >>> print(report.to_text(limit=5))  # doctest: +SKIP
    """
    import_cleanlab()
    if resume is None:
        whole_config, recipe = configure(source, config, fields)
        run = begin(whole_config, recipe, FOLDS if folds is None else folds, folder)
    else:
        refuse_settings(
            resume, "source", {"source": source, "config": config, "folds": folds, "folder": folder}, fields
        )
        run = reopened(as_path(resume), fields)
    progress = progress or in_lines(say)
    return carry_out(run, lambda: run_label_check(run, say, progress), RESUMPTION, resumed=resume is not None, say=say)


def check_settings(config: Config, recipe: recipes.Recipe | None, folds: int) -> None:
    """Refuse what cannot be done, before anything slow.

    Raises:
        ConfigError: for a number of folds out of range, fields that use the labels to be checked, or a time budget.
        UsageError: for an unknown model or source.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise ConfigError(f"folds must be 2 to {MOST_FOLDS}. Received: folds={folds}")
    plateau = plateau_decay(config, _MANY_STEPS)
    peeks = {
        "average": config.average != "",
        "early_stopping_epochs": isinstance(config.early_stopping_epochs, int),
        "schedule": plateau is not None and plateau.monitor.startswith("val_"),
    }
    for field, does in peeks.items():
        if does:
            raise ConfigError(
                f"{field}={getattr(config, field)!r} decides by the labels that are held out, which are to be checked: "
                "take its default"
            )
    if config.bagging:
        raise ConfigError("bagging would put copies of an image into several folds: take it out")
    if config.minutes is not None:
        raise ConfigError("minutes is of a single training, and this is one for each fold: choose epochs instead")
    check_early(config, recipe)


def begin(
    config: Config, recipe: recipes.Recipe | None, folds: int, folder: str | os.PathLike[str] | None
) -> RunFolder:
    """Make the folder of a new check; from here on it can be resumed.

    Raises:
        UsageError: see `check_settings`; also for a folder that is there, or cannot be made.
    """
    check_settings(config, recipe, folds)
    out, name = Path("saved_models"), None
    if folder is not None:
        path = as_path(folder)
        out, name = path.parent, path.name
        check_name(out, name, "--folder")
        if is_taken(path):
            raise RunFolderError(
                f"{path} exists already and nothing is overwritten: choose another --folder, or resume with "
                f"{RESUMPTION.line(path)}"
            )
    return start(config, out, name, recipe, {"labels": {"folds": folds}}, prefix="labels-", option="--folder")


def run_label_check(run: RunFolder, say: Say = print, progress: Progress = silent) -> LabelsReport:
    """Train what is missing of a check's folds, and report the suspects.

    Args:
        run: made by `begin`.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.

    Raises:
        RunFolderError: for a folder that is no check of labels, or whose data are not those it began with.
    """
    run.clean()
    record = run.read(run.config)
    if "labels" not in record:
        raise RunFolderError(f"{run.path}: is no check of labels: resume with kerastricks train --resume {run.path}")
    if record["resolved"] and record["backend"] != keras.backend.backend():
        raise RunFolderError(
            f"{run.path}: began with the {record['backend']} backend: resume it with KERAS_BACKEND={record['backend']}"
        )
    wanted = Config.from_layers(record["config"])
    data = load_data(wanted.data, wanted, progress)
    if record["resolved"]:
        refuse_other_data(run, record["data"], data.describe())
    images = _Images.of(data, record["labels"]["folds"], wanted.seed_of_splits)
    config = resolve(wanted, data)
    write_skipped(run, data)
    write_resolved(run, config, data)
    say(f"folder: {run.path}")
    for line in describe_data(data):
        say(line)
    probabilities = _Folds(run, data, config, images, say, progress).predicted()
    report = check_labels(images.labels, probabilities, data.class_names, images.names)
    _write_suspects(run.path / _SUSPECTS, report)
    write_json(run.path / _REPORT, report.to_json())
    return report


def _write_suspects(path: Path, report: LabelsReport) -> None:
    """Write the list of suspects; bytes of a file's name that are not valid UTF-8 as "\\udcff"."""
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with whole(path) as temporary, open(temporary, "w", **how) as file:
        report.write_csv(file)


@dataclasses.dataclass(frozen=True)
class _Images:
    """All images: training, validation, test, in this order.

    Args:
        labels: (N,) int32.
        names: of their files.
        held: for each fold, indices of the images that its network predicts.
        test: for each fold, which of the test images are among them; they are the last ones.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    held: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, data: ImageData, folds: int, seed: int) -> "_Images":
        splits = ("train", "validation", "test")
        files = {name: data.files(name) for name in splits}
        everything = [file for name in splits for file in files[name]]
        if len(set(everything)) < len(everything):  # rows of several arrays
            everything = [f"{name}/{file}" for name in splits for file in files[name]]
        before, count = len(everything) - len(files["test"]), len(files["test"])
        parts = held_out(data, folds, seed)
        test = tuple(np.arange(index, count, folds) for index in range(folds))
        return cls(
            labels=np.concatenate([data.labels(name) for name in splits]),
            names=tuple(everything),
            held=tuple(np.concatenate([part, before + rows]) for part, rows in zip(parts, test, strict=True)),
            test=test,
        )


@dataclasses.dataclass(frozen=True)
class _Folds:
    """The trainings of a check; each fold's predictions are kept as fold_N.npy."""

    run: RunFolder
    data: ImageData
    config: ResolvedConfig
    images: _Images
    say: Say
    progress: Progress

    def predicted(self) -> np.ndarray:
        """Out-of-fold probabilities (N, K) of all images; trains the folds that have none yet."""
        count, classes = len(self.images.held), len(self.data.class_names)
        probabilities = np.zeros((len(self.images.labels), classes), "float32")
        missing = [number for number in range(count) if not self._file(number).exists()]
        parts = make_folds(self.data, count, self.config.seed_of_splits) if missing else []
        began = time.monotonic()
        with self.progress("training the folds, epochs", len(missing) * self.config.epochs) as advance:
            for done, number in enumerate(missing, start=1):
                started = time.monotonic()
                found = self._train(number, parts[number], advance)
                with whole(self._file(number)) as temporary, open(temporary, "wb") as file:
                    np.save(file, found)
                discard(self._folder(number).path)
                now = time.monotonic()
                left = (now - began) / done * (len(missing) - done)
                agreed = np.mean(found.argmax(axis=1) == self.images.labels[self.images.held[number]])
                self.say(
                    f"fold {number + 1} of {count}: accuracy {agreed:.2%} on held-out labels, {duration(now - started)}"
                    + (f", ETA {clock(left)}" if left else "")
                )
        for number, chosen in enumerate(self.images.held):
            probabilities[chosen] = self._read(number, (len(chosen), classes))
        return probabilities

    def _train(self, number: int, part: ImageData, advance: Callable[[int], None]) -> np.ndarray:
        """Train on the other folds and predict what this one holds out; resumed where its checkpoint is."""
        folder = self._folder(number)
        folder.path.mkdir(exist_ok=True)
        folder.clean()
        keras.backend.clear_session()  # the last fold's graph is let go
        gc.collect()
        model = new_model(self.run, self.config, part, self.say if number == 0 else _quiet)
        watch = _Epochs(advance)
        fit(model, part, self.config, callbacks=[watch], run_folder=folder.path, progress_line=False)
        advance(self.config.epochs - watch.count)
        classifier = with_probabilities(model)
        batches = [part.splits["validation"]]
        if len(self.images.test[number]):
            batches.append(part.splits["test"].taken(self.images.test[number]))
        return np.concatenate([predict(classifier, one, "predicting", silent) for one in batches])

    def _folder(self, number: int) -> RunFolder:
        return RunFolder(self.run.path / f"fold_{number + 1}")

    def _file(self, number: int) -> Path:
        return self.run.path / f"fold_{number + 1}.npy"

    def _read(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        path = self._file(number)
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RunFolderError(f"{path}: cannot be read ({error}): delete it and resume") from None
        if found.shape != shape:
            raise RunFolderError(f"{path}: is {found.shape}, and {shape} was expected: delete it and resume")
        return found


class _Epochs(keras.callbacks.Callback):
    """Counts the epochs of a fold for the progress."""

    is_saved = False  # a resumed fold counts its own

    def __init__(self, advance: Callable[[int], None]) -> None:
        super().__init__()
        self.advance = advance
        self.count = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.count += 1
        self.advance(1)


def _quiet(line: str) -> None:
    """Prints nothing."""
