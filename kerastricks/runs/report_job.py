"""The report of finished runs as a job: their figures, and the page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.classifier_file import load_classifier
from kerastricks.doctor.finding import Finding
from kerastricks.errors import UsageError, first_line
from kerastricks.progress import Progress, in_lines, silent
from kerastricks.report.figures import RunFigures
from kerastricks.runs.configuration import as_path
from kerastricks.runs.evaluation import find_scored_images, predict
from kerastricks.runs.record import RunRecord
from kerastricks.runs.report_figures import TestPredictions, run_figures
from kerastricks.runs.resumable import Say


@dataclass(frozen=True)
class RunReport:
    """A report that was written.

    Args:
        path: of the page.
        runs: the figures of each run.
    """

    path: Path
    runs: tuple[RunFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """Path and figures, of plain values."""
        return {"page": str(self.path), "runs": [run.to_json() for run in self.runs]}


def report(
    runs: Sequence[RunRecord | str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    findings: Sequence[Sequence[Finding]] | None = None,
    say: Say = print,
    progress: Progress | None = None,
) -> RunReport:
    """Write a page about one finished run, or about several beside each other, as `kerastricks report` does.

    Findings, curves, scores, confusions, calibration, the most confident mistakes and the configuration, in one HTML
    file that loads nothing. What needs the test images is left out, with a note, where they are not to be had.

    Args:
        runs: finished ones, or their folders.
        out: the page; None for report.html in the folder of a single run. It is replaced where it is there.
        data: where the images of all runs are now; None for where each was trained.
        findings: of a diagnosis, for each run; None for those of its logs.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.

    Returns:
        The path and the figures.

    Raises:
        UsageError: for several runs without `out`, and for findings that are not as many as runs.
        RunFolderError: for a folder that no run wrote, or whose run is not finished.
        WriteError: where the page cannot be written.
    """
    records = open_runs(runs)
    path = report_path(records, out)
    figures = gather_figures(records, data=data, findings=findings, progress=progress or in_lines(say))
    from kerastricks.report.page import write_report

    write_report(path, figures)
    return RunReport(path, figures)


def open_runs(runs: Sequence[RunRecord | str | os.PathLike[str]]) -> list[RunRecord]:
    """Open the runs of a report.

    Raises:
        UsageError: for none.
        RunFolderError: for a folder that no run wrote, or whose run is not finished.
    """
    if isinstance(runs, str | os.PathLike | RunRecord) or not runs:
        raise UsageError(f"runs must be a list of one or more runs. Received: {runs!r:.60}")
    return [run if isinstance(run, RunRecord) else RunRecord.open(as_path(run)) for run in runs]


def report_path(records: Sequence[RunRecord], out: str | os.PathLike[str] | None) -> Path:
    """Where the page is written.

    Raises:
        UsageError: for several runs without a path.
    """
    if out is not None:
        return as_path(out)
    if len(records) > 1:
        raise UsageError(f"a report of {len(records)} runs belongs to none of their folders: name a file with -o (out)")
    return records[0].folder.report


def gather_figures(
    records: Sequence[RunRecord],
    *,
    data: str | os.PathLike[str] | None = None,
    findings: Sequence[Sequence[Finding]] | None = None,
    progress: Progress = silent,
) -> tuple[RunFigures, ...]:
    """Gather the figures of finished runs, and no page; see `report`."""
    given: list[Sequence[Finding] | None] = [None] * len(records) if findings is None else list(findings)
    if len(given) != len(records):
        raise UsageError(f"findings must be a list for each of {len(records)} runs. Received: {len(given)}")
    found = [_figures(record, data, own, progress) for record, own in zip(records, given, strict=True)]
    if len({one.name for one in found}) < len(found):
        found = [replace(one, name=str(record.path)) for one, record in zip(found, records, strict=True)]
    return tuple(found)


def _figures(
    record: RunRecord, data: str | os.PathLike[str] | None, findings: Sequence[Finding] | None, progress: Progress
) -> RunFigures:
    notes = []
    seen = None
    try:
        seen, note = _predictions(record, data, progress)
        notes += [note] if note else []
    except UsageError as error:
        notes.append(
            f"Calibration and pictures need the test images: {first_line(error)}. Where they have moved: "
            "kerastricks report --data PATH."
        )
    return run_figures(record.folder, record.summary, record.config.as_dict(), seen, findings=findings, notes=notes)


def _predictions(
    record: RunRecord, data: str | os.PathLike[str] | None, progress: Progress
) -> tuple[TestPredictions | None, str]:
    """Predictions for the run's own test images, or None; and a note where something is odd."""
    summary = record.summary
    model = load_classifier(record.folder.model)
    place = record.config.data if data is None else os.fspath(data)
    fingerprint = str(summary.data.get("fingerprint"))
    images = find_scored_images(place, record.config, summary.class_names, fingerprint, model, progress)
    batches = images.batches
    if not images.split.startswith("test") or batches.size != summary.images:
        return None, (
            f"Calibration and pictures are left out: {images.data} does not have the images that the run was trained "
            "with."
        )
    probabilities = predict(model, batches, f"evaluating {record.path.name}", progress)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == batches.examples.labels))
    note = ""
    if abs(accuracy - summary.accuracy) > 1.5 / batches.size:
        note = (
            f"The model now has an accuracy of {accuracy:.2%} on the test images, and had {summary.accuracy:.2%}: the "
            "images have changed, and calibration and pictures are those of today."
        )
    return TestPredictions.of(batches, probabilities, model), note
