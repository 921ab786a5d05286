"""The figures of a run's report as types, with their JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerastricks.doctor.finding import Finding
from kerastricks.metrics.calibration import CalibrationCurve
from kerastricks.metrics.classification import images_by_class
from kerastricks.metrics.confusions import ConfusedPair, confused_pairs, confusion_entries

MOST_PAIRS = 15  # that are listed
_CALIBRATION = "calibration_error"


@dataclass(frozen=True)
class Picture:
    """A test image that is worth looking at.

    Args:
        file: its name, or "image 12" of data without names.
        true: its class.
        predicted: the class with the largest probability.
        probability: of that class.
        true_probability: of its own class.
        image: data URI of it.
        heat: data URI of it under the map of what speaks for the predicted class; None without one.
    """

    file: str
    true: str
    predicted: str
    probability: float
    true_probability: float
    image: str
    heat: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the pictures."""
        return {name: value for name, value in asdict(self).items() if name not in ("image", "heat")}


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The figures of one run, whose parts may be missing.

    Args:
        name: of the run.
        scores: name to value: those of summary.json on the test images, parameters, epochs, training seconds.
        confusion_matrix: as summary.json has it.
        class_names: in the order of the classes.
        recall: of each class; None for a class without an image.
        training_images: of each class; None where they are not known.
        shots: accuracy of "many"-shot, "medium"-shot and "few"-shot classes; None where it is not known.
        epochs: lines of metrics.jsonl.
        batch_loss: (steps,) loss of each batch.
        calibration: of the test predictions; None where the images were not to be had.
        mistakes: wrong predictions, the most confident first.
        doubtful: right predictions, the least confident first.
        config: fields of the configuration that are shown.
        facts: name to text: data, device, versions.
        notes: what is missing, and why.
        picture_note: why the pictures have no maps; "" where they have.
        findings: of the diagnosis of its logs.
    """

    name: str
    scores: Mapping[str, float | int]
    confusion_matrix: list[list[int]] | Mapping[str, list[int]]
    class_names: Sequence[str]
    recall: Sequence[float | None]
    training_images: Sequence[int] | None = None
    shots: Mapping[str, float | None] | None = None
    epochs: Sequence[Mapping[str, Any]]
    batch_loss: np.ndarray
    calibration: CalibrationCurve | None = None
    mistakes: tuple[Picture, ...] = ()
    doubtful: tuple[Picture, ...] = ()
    config: Mapping[str, Any]
    facts: Mapping[str, str]
    notes: tuple[str, ...] = ()
    picture_note: str = ""
    findings: Sequence[Finding] = ()

    def score(self, name: str) -> float | None:
        """A score by its name, the calibration error among them; None where it is not known."""
        if name == _CALIBRATION:
            return None if self.calibration is None else self.calibration.error
        return self.scores.get(name)

    def pairs(self, limit: int | None = None) -> list[ConfusedPair]:
        """The most confused pairs of classes."""
        return confused_pairs({"confusion_matrix": self.confusion_matrix}, limit)

    def images(self) -> list[int]:
        """How many test images of each class there are."""
        return images_by_class({"confusion_matrix": self.confusion_matrix})

    def counts(self, classes: Sequence[int]) -> np.ndarray:
        """The confusion matrix of some classes, in their order."""
        place = np.full(len(self.class_names), -1)
        place[list(classes)] = np.arange(len(classes))
        rows, columns, counts = confusion_entries({"confusion_matrix": self.confusion_matrix})
        found = np.zeros((len(classes), len(classes)), dtype="int64")
        inside = (place[rows] >= 0) & (place[columns] >= 0)
        found[place[rows[inside]], place[columns[inside]]] = counts[inside]
        return found

    def to_json(self) -> dict[str, Any]:
        """Scores, findings, calibration, confusions and pictures by name, of plain values."""
        names = list(self.class_names)
        return {
            "run": self.name,
            "scores": {**self.scores, _CALIBRATION: self.score(_CALIBRATION)},
            "findings": [one.to_json() for one in self.findings],
            "recall": dict(zip(names, self.recall, strict=True)),
            "images": dict(zip(names, self.images(), strict=True)),
            "training_images": (
                None if self.training_images is None else dict(zip(names, self.training_images, strict=True))
            ),
            "shots": None if self.shots is None else dict(self.shots),
            "confusions": [
                {**asdict(pair), "true": names[pair.true], "predicted": names[pair.predicted]}
                for pair in self.pairs(MOST_PAIRS)
            ],
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "mistakes": [picture.to_json() for picture in self.mistakes],
            "doubtful": [picture.to_json() for picture in self.doubtful],
            "notes": list(self.notes),
        }
