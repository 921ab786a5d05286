"""Results of finished runs as types, whose JSON is that of summary.json."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastricks.errors import RunFolderError
from kerastricks.runs.finetuning_report import FinetuningReport
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.json_record import JsonRecord
from kerastricks.runs.rebalancing_report import RebalancingReport
from kerastricks.runs.reports import DistillationReport, EnsembleReport
from kerastricks.training.config import FIELDS, Config

if TYPE_CHECKING:
    import keras
    import numpy as np

_MEANS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True, kw_only=True)
class Scores(JsonRecord):
    """Scores of predictions on labelled images.

    Args:
        accuracy: share of the images whose most probable class is right.
        balanced_accuracy: mean recall of the classes with an image.
        macro_f1: mean F1 of the classes with an image; None in a summary of an early version.
        log_loss: in nats.
        images: how many.
        recall: by class; None for a class without an image.
        shots: accuracy of many-shot, medium-shot and few-shot classes (over 100, 20 to 100, below 20 training images);
            None where the numbers of training images are not known.
        confusion_matrix: as summary.json has it; `matrix` reads it.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float | None = None
    log_loss: float
    images: int
    recall: dict[str, float | None]
    shots: dict[str, float | None] | None = None
    confusion_matrix: list[list[int]] | dict[str, list[int]]

    def matrix(self) -> "np.ndarray":
        """The confusion matrix (K, K): images of the class of a row that were predicted as the class of a column."""
        from kerastricks.metrics.classification import confusion_matrix

        return confusion_matrix({"confusion_matrix": self.confusion_matrix})

    def images_by_class(self) -> list[int]:
        """How many images of each class there are, in the order of the classes."""
        from kerastricks.metrics.classification import images_by_class

        return images_by_class({"confusion_matrix": self.confusion_matrix})


@dataclass(frozen=True, kw_only=True)
class Evaluation(Scores):
    """Scores of a run on images that it was not trained on.

    Args:
        accuracy: share of the images whose most probable class is right.
        balanced_accuracy: mean recall of the classes with an image.
        macro_f1: mean F1 of the classes with an image; None in a summary of an early version.
        log_loss: in nats.
        images: how many.
        recall: by class; None for a class without an image.
        shots: accuracy of many-shot, medium-shot and few-shot classes (over 100, 20 to 100, below 20 training images);
            None where the numbers of training images are not known.
        confusion_matrix: as summary.json has it; `matrix` reads it.
        data: name of the data.
        split: which of their images, as words.
        skipped: how many files were left out.
        classes_left_out: how many classes of the data the run was not trained on.
        training_images: by class, of the run; None for a run of an early version.
    """

    data: str
    split: str
    skipped: int
    classes_left_out: int
    training_images: dict[str, int] | None = None

    def training_counts(self) -> list[int] | None:
        """The run's training images of each class, in the order of the classes; None where they are not known."""
        return None if self.training_images is None else list(self.training_images.values())

    def to_json(self) -> dict[str, Any]:
        """The record that `from_json` reads, of plain values."""
        record = super().to_json()
        first = ("data", "split", "skipped", "classes_left_out")
        return {name: record[name] for name in first} | record


@dataclass(frozen=True, kw_only=True)
class Summary(Scores):
    """The summary of a finished run: summary.json.

    Args:
        accuracy: share of the test images whose most probable class is right.
        balanced_accuracy: mean recall of the classes with a test image.
        macro_f1: mean F1 of the classes with an image; None in a summary of an early version.
        log_loss: in nats.
        images: how many test images.
        recall: by class; None for a class without an image.
        shots: accuracy of many-shot, medium-shot and few-shot classes (over 100, 20 to 100, below 20 training images);
            None where the numbers of training images are not known.
        confusion_matrix: as summary.json has it; `matrix` reads it.
        class_names: in the order of the probabilities.
        data: what the images were: name, fingerprint, numbers.
        model: name of the network.
        parameters: how many weights it has.
        epochs: trained.
        training_seconds: of the epochs.
        device: that trained it.
        saved_model: name of the SavedModel's folder.
        versions: of Python and the packages that decide the result.
        finetuning: report of a fine-tuning; None for none.
        distillation: report of a distillation; None for none.
        ensemble: report of an ensemble; None for none.
        rebalancing: report of a rebalanced run; None for none.
        members: models that were kept of the epochs; None where none were asked for.
        average: report of averaged weights; None for none.
        copies: files with the same bytes that are in several splits or classes; None for none.
    """

    class_names: list[str]
    data: dict[str, Any]
    model: str
    parameters: int
    epochs: int
    training_seconds: float
    device: str
    saved_model: str
    versions: dict[str, str]
    finetuning: FinetuningReport | None = None
    distillation: DistillationReport | None = None
    ensemble: EnsembleReport | None = None
    rebalancing: RebalancingReport | None = None
    members: list[dict[str, Any]] | None = None
    average: dict[str, Any] | None = None
    copies: list[dict[str, Any]] | None = None

    def training_counts(self) -> list[int] | None:
        """Training images of each class, in the order of the classes; None where they are not known."""
        return training_counts(self.data)


def training_counts(data: Any) -> list[int] | None:
    """Training images of each class in a record of data, in the order of the classes; None where it has none."""
    counts = data.get("class_counts") if isinstance(data, dict) else None
    found = counts.get("train") if isinstance(counts, dict) else None
    return list(found) if isinstance(found, list) and found else None


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Args:
        path: of its folder.
        config: all fields of its configuration, with what was decided.
        summary: what came out.
    """

    path: Path
    config: Config
    summary: Summary

    @classmethod
    def open(cls, path: "Path | str | RunFolder") -> "RunRecord":
        """Read the folder of a finished run.

        Raises:
            RunFolderError: for a folder that no run wrote, or whose run is not finished.
        """
        run = path if isinstance(path, RunFolder) else RunFolder.open(Path(path).expanduser())
        record = run.read(run.summary)
        try:
            summary = Summary.from_json(record)
        except RunFolderError as error:
            raise RunFolderError(f"{run.summary}: {error}") from None
        return cls.of(run, summary)

    @classmethod
    def of(cls, run: RunFolder, summary: Summary) -> "RunRecord":
        """The record of a run and of its summary."""
        fields = {name: value for name, value in run.read(run.config)["config"].items() if name in FIELDS}
        return cls(run.path, Config(**fields), summary)

    @property
    def folder(self) -> RunFolder:
        """Paths of its files."""
        return RunFolder(self.path)

    def load_model(self) -> "keras.Model":
        """Load the model: pixels 0-255 to probabilities.

        Raises:
            RunFolderError: where the file cannot be read.
        """
        from kerastricks.classifier_file import load_classifier

        return load_classifier(self.folder.model)


@dataclass(frozen=True)
class SeriesRecord:
    """A finished series: runs that differ in the seed.

    Args:
        path: their folders are PATH-sSEED.
        seeds: of the runs.
        runs: in the order of the seeds.
    """

    path: Path
    seeds: tuple[int, ...]
    runs: tuple[RunRecord, ...]

    @property
    def mean(self) -> dict[str, float]:
        """Mean accuracy, balanced accuracy, macro F1 and log-loss; without one that an early version did not write."""
        return {name: statistics.mean(values) for name, values in self._scores().items()}

    @property
    def standard_deviation(self) -> dict[str, float]:
        """Their standard deviations (of the sample)."""
        return {name: statistics.stdev(values) for name, values in self._scores().items()}

    def to_json(self) -> dict[str, Any]:
        """The scores of each run, their mean and standard deviation, of plain values."""
        names = (*self._scores(), "training_seconds")
        rows = [
            {"run": str(run.path), "seed": seed, **{name: getattr(run.summary, name) for name in names}}
            for run, seed in zip(self.runs, self.seeds, strict=True)
        ]
        return {
            "series": str(self.path),
            "runs": rows,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
        }

    def _scores(self) -> dict[str, list[float]]:
        found = {name: [getattr(run.summary, name) for run in self.runs] for name in _MEANS}
        return {name: values for name, values in found.items() if None not in values}
