"""Rebalancing a finished run as a job: a remedy for imbalanced classes, chosen on validation, in a new run folder."""

import os
from dataclasses import dataclass
from typing import Any

import keras

from kerastricks import recipes
from kerastricks.errors import EnsembleError, RunFolderError, UnknownNameError, UsageError
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.beginning import write_skipped
from kerastricks.runs.configuration import REMEDIES, REMEDY_METRICS, UNCHANGED, as_path
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder, check_room
from kerastricks.runs.own_model import copy_recipes
from kerastricks.runs.rebalance_comparison import OpenedRun, compare_remedies, training_images
from kerastricks.runs.rebalance_head import NewHead
from kerastricks.runs.rebalancing_report import RebalancingReport
from kerastricks.runs.record import RunRecord, Summary
from kerastricks.runs.resumable import Say, sigterm_interrupts
from kerastricks.training import device


@dataclass(frozen=True)
class Rebalanced:
    """The outcome of a rebalancing.

    Args:
        run: the new run; the one that was given where the network is best left unchanged.
        report: candidates, the choice, and scores before and after.
    """

    run: RunRecord
    report: RebalancingReport

    @property
    def unchanged(self) -> bool:
        """Whether no remedy gained anything, and no run folder was written."""
        return self.report.method == UNCHANGED


def rebalance(
    run: RunRecord | str | os.PathLike[str],
    *,
    method: str = "auto",
    metric: str = "balanced_accuracy",
    data: str | os.PathLike[str] | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    say: Say = print,
    progress: Progress | None = None,
) -> Rebalanced:
    """Correct a finished run's last layer for imbalanced classes, as `kerastricks rebalance` does.

    Validation images alone choose the method and its numbers; test images only measure. The run that is given is not
    changed. The new folder is there only when it is finished; what is interrupted is begun again.

    Args:
        run: a finished one of `train`, `finetune` or `distill`, or its folder.
        method: "logit_adjustment" (subtracts tau times the logarithm of the class prior), "tau_norm" (divides weight
            vectors by a power of their norm), "retrain" (fits the last layer anew, with classes weighted equally),
            "thresholds" (an offset per class), or "auto": the simplest that is as good as any, be it no change.
        metric: that decides: "balanced_accuracy", "macro_f1" or "accuracy".
        data: where the images that the run was trained on are now; None for where they were.
        seed: of folds, bootstrap and samples.
        out: the folder of run folders.
        name: of the run folder; None for RUN-rebalanced-NUMBER.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.

    Returns:
        The run and the report, which the run's summary has in `rebalancing`.

    Raises:
        EnsembleError: for an ensemble, whose members can be rebalanced.
        RunFolderError: for a run that is not finished or damaged, other data than its own, or a name that is taken.
        UsageError: for anything else that is wrong with the arguments or the images.
        RunFailedError: where the export fails.

    Reference:
        Menon et al., arXiv 2007.07314 (logit adjustment); Kang et al., arXiv 1910.09217 (tau-normalisation, and cRT,
        which "retrain" follows). Deviations: the retrained layer is L2-regularised logistic regression on features of
        unaugmented images, with weights N / (K * images of the class) in place of class-balanced sampling; see
        `kerastricks.imbalance.tau_normalize` for that of tau-normalisation.
    """
    for kind, value, known in (("method", method, REMEDIES), ("metric", metric, REMEDY_METRICS)):
        if value not in known:
            raise UnknownNameError(kind, value, known, "kerastricks rebalance --help")
    with sigterm_interrupts():
        record = run if isinstance(run, RunRecord) else RunRecord.open(as_path(run))
        refuse_run(record, method)
        RunFolder.free(as_path(out), name, record.path.name, "rebalanced")  # before anything slow
        opened = OpenedRun.load(record, None if data is None else os.fspath(data), say, progress or in_lines(say))
        report, head = compare_remedies(opened, method, metric, seed, say)
        if head is None:
            say(f"{report.reason}: {record.path} stays as it is, and no run folder is written")
            return Rebalanced(record, report)
        say(f"{report.method}{'' if report.tau is None else f' with tau {report.tau:g}'}: {report.reason}")
        settings = {"run": report.run, "method": method, "metric": metric, "seed": seed}
        with RunFolder.begin(as_path(out), name, record.path.name, "rebalanced") as folder:
            say(f"run folder: {as_path(out) / folder.name}")
            summary = _leave(folder, opened, head, report, settings, say)
        return Rebalanced(RunRecord.of(folder, summary), report)


def refuse_run(record: RunRecord, method: str) -> None:
    """Refuse a run that cannot be rebalanced, before anything slow.

    Raises:
        EnsembleError: for an ensemble.
        RunFolderError: for a run that was rebalanced, or a class without a training image.
        UsageError: for logit adjustment of classes with equally many images.
    """
    if record.summary.ensemble is not None:
        raise EnsembleError(
            f"{record.path}: is an ensemble, whose members' outputs are combined: rebalance its members, and combine "
            "those with kerastricks ensemble"
        )
    if record.summary.rebalancing is not None:
        raise RunFolderError(
            f"{record.path}: is rebalanced already: give the run that it was made of, {record.summary.rebalancing.run}"
        )
    counts = training_images(record)
    empty = [name for name, count in counts.items() if count < 1]
    if empty:
        raise RunFolderError(
            f"{record.path}: has no training image of class {empty[0]!r}, whose prior is 0: train without it "
            "(--classes), or with images of it"
        )
    if method == "logit_adjustment" and len(set(counts.values())) == 1:
        raise UsageError(
            f"{record.path}: each class has {min(counts.values()):,} training images, and logit adjustment changes "
            "nothing: take --method thresholds, tau_norm or retrain"
        )


def _leave(
    run: RunFolder, opened: OpenedRun, head: NewHead, report: RebalancingReport, settings: dict[str, Any], say: Say
) -> Summary:
    """Write the content of the run folder."""
    model, images = head.model(opened.head), opened.images
    check_room(run.path, model.count_params(), trained=False)
    copy_recipes(recipes.beside(opened.record.folder.model), run.path)
    write_skipped(run, images)
    record = {
        "config": opened.config.as_dict(),
        "rebalancing": settings,
        "resolved": True,
        "data": images.describe(),
        "backend": keras.backend.backend(),
        "device": device.describe(),
    }
    run.write(run.config, record)
    run.metrics.touch()  # the run that it is made of has its own
    say("saving, exporting, checking the export in a fresh process")
    seconds = opened.record.summary.training_seconds
    return finish(run, model, images, opened.config, opened.progress, rebalancing=report, training_seconds=seconds)
