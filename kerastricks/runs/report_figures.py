"""The figures of a run's report: from its records, and from its predictions for the test images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.checks.class_activation import grad_cam
from kerastricks.data.pipeline.batches import Batches
from kerastricks.doctor.diagnosis import diagnose
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.reading import read_log
from kerastricks.errors import UsageError, first_line
from kerastricks.files import read_json_lines
from kerastricks.metrics.calibration import calibration_curve
from kerastricks.report.figures import Picture, RunFigures
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.record import Summary

MOST_PICTURES = 8  # of mistakes, and of doubtful hits
_OF_IMAGES = ("data", "image_size", "crop_fraction", "interpolation", "classes", "validation", "test", "seed")
_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "images",
    "parameters",
    "epochs",
    "training_seconds",
)


@dataclass(frozen=True)
class TestPredictions:
    """Predictions of a run for its test images, and the images that are asked for.

    Args:
        labels: (N,) index of the class.
        probabilities: (N, K).
        files: names of the N images; None for data without names.
        pixels: gives (n, height, width, channels) of n indices.
        model: that predicted.
    """

    __test__ = False  # pytest takes it for tests

    labels: np.ndarray
    probabilities: np.ndarray
    files: Sequence[str] | None
    pixels: Callable[[np.ndarray], np.ndarray]
    model: keras.Model

    @classmethod
    def of(cls, batches: Batches, probabilities: np.ndarray, model: keras.Model) -> "TestPredictions":
        """Those of a split's batches, in its order."""

        def pixels(chosen: np.ndarray) -> np.ndarray:
            return np.concatenate([images.numpy() for images, _ in batches.taken(chosen).each()])

        examples = batches.examples
        return cls(np.asarray(examples.labels), probabilities, examples.names, pixels, model)


def shown_fields(config: dict[str, Any], summary: Summary) -> dict[str, Any]:
    """The fields of a run's configuration that decided its result."""
    if summary.ensemble is not None or summary.rebalancing is not None:  # the trainings are of other runs
        return {name: config[name] for name in _OF_IMAGES}
    fields = dict(config)
    if summary.finetuning is not None and summary.finetuning.kept != "small":
        del fields["model"]  # the network is the backbone's
    return fields


def run_figures(
    run: RunFolder,
    summary: Summary,
    config: dict[str, Any],
    seen: TestPredictions | None,
    *,
    findings: Sequence[Finding] | None = None,
    notes: Sequence[str] = (),
) -> RunFigures:
    """Gather the figures of a run; logs that are missing are left out.

    Args:
        run: the folder, with metrics.jsonl and batch_loss.f32.
        summary: of the run.
        config: all fields of its configuration.
        seen: predictions for the test images; None where they are not to be had.
        findings: of a diagnosis; None for that of its logs.
        notes: what is missing, and why.
    """
    if findings is None:
        findings, why = find_findings(run, summary)
        notes = [*notes, *why]
    names = list(summary.class_names)
    mistakes, doubtful, picture_note = ((), (), "") if seen is None else _pictures(seen, names)
    return RunFigures(
        name=run.name,
        scores={name: getattr(summary, name) for name in _SCORES if getattr(summary, name) is not None},
        confusion_matrix=summary.confusion_matrix,
        class_names=names,
        recall=[summary.recall.get(name) for name in names],
        training_images=summary.training_counts(),
        shots=summary.shots,
        epochs=_epochs(run),
        batch_loss=np.fromfile(run.batch_loss, "<f4") if run.batch_loss.is_file() else np.zeros(0, "float32"),
        calibration=None if seen is None else calibration_curve(seen.probabilities, seen.labels),
        mistakes=mistakes,
        doubtful=doubtful,
        config=shown_fields(config, summary),
        facts=_facts(summary),
        notes=tuple(notes),
        picture_note=picture_note,
        findings=findings,
    )


def find_findings(run: RunFolder, summary: Summary) -> tuple[tuple[Finding, ...], list[str]]:
    """The findings of a run's logs; none, and a note, where they cannot be judged."""
    if not run.metrics.is_file() or not run.metrics.stat().st_size:  # an ensemble has no training of its own
        return (), []
    if summary.distillation is not None:
        return (), [
            "Findings are left out: the training loss is that of a distillation, and not comparable with validation."
        ]
    try:
        return diagnose(read_log(run.path)).findings, []
    except UsageError as error:
        return (), [f"Findings are left out: {first_line(error)}."]


def _epochs(run: RunFolder) -> list[dict[str, Any]]:
    try:
        return [line for line in read_json_lines(run.metrics) if isinstance(line, dict)]
    except (OSError, ValueError):
        return []


def _facts(summary: Summary) -> dict[str, str]:
    data = summary.data
    images = ", ".join(f"{count:,} {split}" for split, count in data.get("images", {}).items())
    shape = "x".join(map(str, data.get("image_shape", ())))
    facts = {
        "network": summary.model,
        "data": f"{data.get('name', '')}: {images} images of {shape}",
        "classes": f"{len(summary.class_names):,}",
        "files left out": str(data.get("skipped", "")),
        "fingerprint of the data": str(data.get("fingerprint", "")),
        "device": summary.device,
        "versions": ", ".join(f"{package} {version}" for package, version in summary.versions.items()),
    }
    if summary.ensemble is not None:
        facts["ensemble"] = f"{summary.ensemble.method} of {len(summary.ensemble.members)} members"
    if summary.rebalancing is not None:
        report = summary.rebalancing
        tau = "" if report.tau is None else f", tau {report.tau:g}"
        facts["rebalanced"] = f"{report.run}, by {report.method}{tau}"
        for name in ("accuracy", "balanced_accuracy"):
            before, after = getattr(report.test_before, name), getattr(report.test_after, name)
            facts[f"{name.replace('_', ' ')} before and after"] = f"{before:.2%}, {after:.2%}"
    if summary.finetuning is not None:
        facts["fine-tuned"] = f"{summary.finetuning.backbone}, {summary.finetuning.choice.strategy}"
    if summary.distillation is not None:
        facts["teacher"] = summary.distillation.teacher
    return facts


def _pictures(seen: TestPredictions, names: Sequence[str]) -> tuple[tuple[Picture, ...], tuple[Picture, ...], str]:
    """The most confident mistakes and the most doubtful hits; and why they have no maps, or ""."""
    from kerastricks.charts.thumbnails import thumbnail

    predicted = seen.probabilities.argmax(axis=1)
    largest = seen.probabilities.max(axis=1)
    order = np.argsort(largest, kind="stable")
    wrong = predicted != seen.labels
    mistakes = order[::-1][wrong[order[::-1]]][:MOST_PICTURES]
    doubtful = order[~wrong[order]][:MOST_PICTURES]
    chosen = np.concatenate([mistakes, doubtful])
    pixels = seen.pixels(chosen)
    heat, why = _heat(seen.model, pixels, predicted[chosen])
    found = [
        Picture(
            file=seen.files[index] if seen.files is not None else f"image {index}",
            true=names[seen.labels[index]],
            predicted=names[predicted[index]],
            probability=float(largest[index]),
            true_probability=float(seen.probabilities[index, seen.labels[index]]),
            image=thumbnail(image),
            heat=None if heat is None or not heat[place].any() else thumbnail(image, heat[place]),
        )
        for place, (index, image) in enumerate(zip(chosen.tolist(), pixels, strict=True))
    ]
    return tuple(found[: len(mistakes)]), tuple(found[len(mistakes) :]), why


def _heat(model: keras.Model, pixels: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray | None, str]:
    try:
        return grad_cam(model, pixels, classes), ""
    except UsageError as error:
        return None, f"Without Grad-CAM: {first_line(error)}."
    except Exception as error:  # whatever somebody's own layer raises: a finished training is worth more than a picture
        return None, f"Without Grad-CAM: {type(error).__name__}: {first_line(error)}."
