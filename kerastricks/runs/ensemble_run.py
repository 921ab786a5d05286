"""Building an ensemble as a job: a new run folder."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.ensemble.build import EnsembleResult, EnsembleSettings, build_ensemble
from kerastricks.ensemble.inputs import align_classes, shared_pixels
from kerastricks.ensemble.outputs import stacked_outputs
from kerastricks.errors import EnsembleError, RunFolderError, UnknownNameError
from kerastricks.progress import Progress, in_lines, silent
from kerastricks.runs.beginning import describe_data, write_skipped
from kerastricks.runs.configuration import CLASSIFIERS, METHODS, as_path
from kerastricks.runs.ensemble_data import load_for_members, member_predictions, predict_split, shared_config
from kerastricks.runs.ensemble_report import measured, plot_ensemble
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder, check_classes
from kerastricks.runs.members import RunMember, check_combination, open_members
from kerastricks.runs.own_model import copy_recipes
from kerastricks.runs.record import RunRecord, Summary
from kerastricks.runs.reports import EnsembleReport
from kerastricks.runs.resumable import Say, sigterm_interrupts
from kerastricks.runs.seen_images import refuse_seen_images
from kerastricks.training import device
from kerastricks.training.config import Config


def ensemble(
    runs: Sequence[RunRecord | str | os.PathLike[str]],
    *,
    method: str = "auto",
    temperatures: bool = False,
    data: str | os.PathLike[str] | None = None,
    classifier: str = "logistic",
    late: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    say: Say = print,
    progress: Progress | None = None,
) -> RunRecord:
    """Combine several runs into one model and write a run folder, as `kerastricks ensemble` does.

    The folder is there only when it is finished; what is interrupted is begun again.

    Args:
        runs: finished ones, their folders, or `.keras` files. A run that kept several models stands for all of them.
        method: "auto" takes the simplest that is as good as any on validation; else "mean", "geometric", "vote",
            "weighted", "greedy", "stack", "soup", "greedy_soup" or "fuse".
        temperatures: whether a named method is combined with temperatures that are fitted to validation.
        data: whose validation images decide and whose test images measure; None for what the first run was trained on.
        classifier: of "fuse": "logistic", "linear" or "mlp".
        late: whether "fuse" is combined with the members' own probabilities.
        seed: of folds, bags and bootstrap.
        out: the folder of run folders.
        name: of the run folder; None for ensemble-METHOD-DATA-NUMBER.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.

    Returns:
        The finished run; its summary has the report in `ensemble`.

    Raises:
        EnsembleError: for members that cannot be one model, or were trained on the images that would choose.
        UsageError: for anything else that is wrong with the arguments, the images or the folders.
    """
    for kind, value, known in (("method", method, METHODS), ("classifier", classifier, CLASSIFIERS)):
        if value not in known:
            raise UnknownNameError(kind, value, known, "kerastricks ensemble --help")
    if method != "fuse" and (classifier != CLASSIFIERS[0] or late):
        raise EnsembleError(f"classifier and late are for method='fuse'. Received: method={method!r}")
    paths = [run.path if isinstance(run, RunRecord) else as_path(run) for run in runs]
    for path in paths:
        if not path.exists():
            raise RunFolderError(f"{path}: no such run folder or .keras file")
    with sigterm_interrupts():
        return make_ensemble(
            paths,
            EnsembleSettings(method, classifier, late, seed, temperatures),
            data=None if data is None else os.fspath(data),
            out=as_path(out),
            name=name,
            say=say,
            progress=progress or in_lines(say),
        )


PLOT = "ensemble.png"


def make_ensemble(
    paths: Sequence[Path],
    settings: EnsembleSettings,
    *,
    data: str | None = None,
    out: Path = Path("saved_models"),
    name: str | None = None,
    say: Say = print,
    progress: Progress = silent,
) -> RunRecord:
    """Combine several runs into one model, in a run folder that appears only when it is finished.

    It is made under a temporary name: an error and Ctrl-C remove it, and what a killed process leaves is removed by
    the next run that begins in `out`. The same command makes it again.

    Args:
        paths: of runs, or `.keras` files.
        settings: how.
        data: whose validation images decide and whose test images measure; None for what the first run was trained on.
        out: where the folder is made.
        name: of the folder; None for one that is free.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.

    Returns:
        The finished run; its summary has the report in `ensemble`.

    Raises:
        EnsembleError: for members that cannot be one model, or were trained on the images that would choose.
        DataError: for images that cannot be used.
        RunFolderError: for a run that is not there or not finished, or a name that is taken.
    """
    RunFolder.free(out, name, "", "")  # before anything slow
    opened, left_out = open_members(paths, say)
    shared = shared_pixels([one.member for one in opened])
    config = shared_config(opened, data, shared.image_shape, shared.fitting, settings.by_features)
    images = load_for_members(config, shared.image_shape, progress)
    if not settings.by_features:
        opened = [_with_classes(one, images) for one in opened]
    knowing = [one for one in opened if not settings.by_features or _knows(one, images)]
    if knowing:
        images = images.relabelled(align_classes([one.member for one in knowing]).class_names or images.class_names)
    check_classes(images.class_names)
    for line in describe_data(images):
        say(line)
    unknown = refuse_seen_images(opened, images, config)
    for line in unknown:
        say(line)
    check_combination(opened, images, settings, out)
    validation = _outputs(knowing, images, "validation", progress)
    _refuse_no_numbers(knowing, validation)
    labels = images.labels("validation")
    names = [one.member.name for one in knowing]
    members = [one.member for one in opened]
    made = build_ensemble(member_predictions(members, images, names, validation, labels, progress), settings)
    test = _outputs(knowing, images, "test", progress)
    method = made.method.partition(",")[0]
    with RunFolder.begin(out, name, f"ensemble-{method}", Path(str(config.data)).stem) as run:
        say(f"run folder: {out / run.name}")
        copy_recipes([recipe for one in opened for recipe in recipes.beside(one.path)], run.path)
        how = made, settings, images, validation, labels, test, progress
        report = measured(opened, names, *how, left_out=left_out, unknown=unknown)
        summary = _leave(run, made, opened, images, config, report, settings, say, progress)
    return RunRecord.of(run, summary)


def _with_classes(one: RunMember, images: ImageData) -> RunMember:
    """Name the classes of a member from a file, which names none: those of the data where they are as many."""
    if one.member.class_names is not None:
        return one
    if one.member.classes != len(images.class_names):
        raise EnsembleError(
            f"{one.path}: tells {one.member.classes} classes apart and does not name them, and {images.name} has "
            f"{len(images.class_names)}: give its run folder"
        )
    return replace(one, member=replace(one.member, class_names=images.class_names))


def _knows(one: RunMember, images: ImageData) -> bool:
    """Whether a member knows the classes of the images; one that names none does where it has as many."""
    if one.member.class_names is None:
        return one.member.classes == len(images.class_names)
    return set(one.member.class_names) == set(images.class_names)


def _outputs(members: Sequence[RunMember], images: ImageData, split: str, progress: Progress) -> np.ndarray:
    """(M, N, K) log-probabilities."""
    if not members:
        return np.empty((0, len(images.labels(split)), len(images.class_names)))
    model = keras.Model(*stacked_outputs([one.member for one in members]), name="members")
    return np.moveaxis(predict_split(model, images, split, progress), 1, 0)


def _refuse_no_numbers(opened: Sequence[RunMember], log_probabilities: np.ndarray) -> None:
    for one, rows in zip(opened, log_probabilities, strict=True):
        if not np.isfinite(rows).all():
            raise EnsembleError(f"{one.path}: gives outputs that are no numbers (NaN or infinite): leave it out")


def _leave(
    run: RunFolder,
    made: EnsembleResult,
    opened: Sequence[RunMember],
    images: ImageData,
    config: Config,
    report: EnsembleReport,
    settings: EnsembleSettings,
    say: Say,
    progress: Progress,
) -> Summary:
    """Write the content of the run folder."""
    write_skipped(run, images)
    record = {**asdict(settings), "members": [str(one.path.resolve()) for one in opened]}
    run.write(
        run.config,
        {
            "config": config.as_dict(),
            "ensemble": record,
            "resolved": True,
            "data": images.describe(),
            "backend": keras.backend.backend(),
            "device": device.describe(),
        },
    )
    run.metrics.touch()  # its members have theirs
    plot_ensemble(report, run.path / PLOT, run.name)
    say("saving, exporting, checking the export in a fresh process")
    seconds = round(sum(one.training_seconds for one in opened), 1)
    return finish(run, made.model, images, config, progress, ensemble=report, training_seconds=seconds)
