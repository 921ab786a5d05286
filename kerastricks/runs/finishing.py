"""From a trained model to a finished run folder."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras
import numpy as np

import kerastricks
from kerastricks.data.image_data import ImageData
from kerastricks.files import read_json_lines, whole, write_text
from kerastricks.keras_graph import with_probabilities
from kerastricks.layers.without_augmentation import without_augmentation
from kerastricks.metrics.classification import scores
from kerastricks.progress import Progress, silent
from kerastricks.runs.card import card, plot_curves
from kerastricks.runs.evaluation import predict
from kerastricks.runs.finetuning_report import FinetuningReport
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.rebalancing_report import RebalancingReport
from kerastricks.runs.record import Summary, training_counts
from kerastricks.runs.report_figures import TestPredictions, run_figures, shown_fields
from kerastricks.runs.reports import DistillationReport, EnsembleReport
from kerastricks.serving.export import export_saved_model
from kerastricks.serving.verify import verify_export
from kerastricks.training import device
from kerastricks.training.config import Config

_VERIFIED_IMAGES = 16


def finish(
    run: RunFolder,
    model: keras.Model,
    data: ImageData,
    config: Config,
    progress: Progress = silent,
    *,
    finetuning: FinetuningReport | None = None,
    distillation: DistillationReport | None = None,
    ensemble: EnsembleReport | None = None,
    rebalancing: RebalancingReport | None = None,
    members: list[dict[str, Any]] | None = None,
    average: dict[str, Any] | None = None,
    training_seconds: float | None = None,
) -> Summary:
    """Save, export, verify, evaluate, plot, report and describe a trained classifier.

    Args:
        run: the folder, with metrics.jsonl and batch_loss.f32.
        model: trained, float32.
        data: it was trained on.
        config: resolved.
        progress: where long work shows how far it is.
        finetuning: report of a fine-tuning, for the summary and the card.
        distillation: report of a distillation.
        ensemble: report of an ensemble.
        rebalancing: report of a rebalanced run.
        members: models that were kept of the epochs.
        average: report of averaged weights.
        training_seconds: of what the model is made of; None for those of its own epochs.

    Returns:
        The summary, as in summary.json.

    Raises:
        ExportError: when what was written does not agree with `model`.
    """
    model = without_augmentation(with_probabilities(model))
    with whole(run.model) as temporary:
        model.save(temporary)
    test = data.splits["test"]
    with data.one_error():
        images = next(iter(data.test))[0][:_VERIFIED_IMAGES].numpy()
    expected = np.asarray(model.predict_on_batch(images))
    run.remove_exports()  # of a process that was stopped before the run was finished
    exported = export_saved_model(
        run.model,
        data.class_names,
        run.path,
        lambda folder: verify_export(run.model, folder, images, expected, data.fitting),
        data.fitting,
    )
    probabilities = predict(model, test, "evaluating test", progress)
    lines = read_json_lines(run.metrics)
    if training_seconds is None:
        training_seconds = round(sum(line["seconds"] for line in lines), 1)
    description = data.describe()
    summary = Summary(
        **scores(data.labels("test"), probabilities, data.class_names, training_counts(description)),
        class_names=list(data.class_names),
        data=description,
        model=model.name,
        parameters=model.count_params(),
        epochs=len(lines),
        training_seconds=training_seconds,
        device=device.describe(),
        saved_model=exported.name,
        versions=versions(),
        finetuning=finetuning,
        distillation=distillation,
        ensemble=ensemble,
        rebalancing=rebalancing,
        members=members,
        average=average,
        copies=[one.to_json() for one in data.copies] or None,
    )
    title = f"{run.name}: test accuracy {summary.accuracy:.2%}"
    if lines:  # a head on features has none
        plot_curves(run.metrics, run.batch_loss, run.curves, title)
    fields = config.as_dict()
    write_text(run.card, card(run.name, summary, shown_fields(fields, summary)))
    run.write(run.summary, summary.to_json())  # a run with a summary is finished
    run.checkpoint.unlink(missing_ok=True)
    # After it: a page that cannot be drawn costs no training, and can be made again.
    write_run_report(run, summary, fields, TestPredictions.of(test, probabilities, model))
    return summary


def write_run_report(run: RunFolder, summary: Summary, config: dict[str, Any], seen: TestPredictions) -> None:
    """Write report.html of a run that was just trained; see `kerastricks.runs.report`.

    Args:
        run: the folder.
        summary: of the run.
        config: all fields of its configuration.
        seen: its predictions for the test images.
    """
    from kerastricks.report.page import write_report

    write_report(run.report, [run_figures(run, summary, config, seen)])


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the result."""
    found = {"kerastricks": kerastricks.__version__, "python": platform.python_version()}
    backend = keras.backend.backend()
    for package in ("keras", "tensorflow", "numpy", *([backend] if backend != "tensorflow" else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
