"""Labels that are probably wrong: confident learning over out-of-fold predictions."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kerastricks.checks.reporting import format_table, plot_counts
from kerastricks.errors import MissingExtraError, UsageError

SHOWN = 20  # suspects that a text lists
_ROW_TOLERANCE = 1e-3  # of a row's sum: float32 and bfloat16 softmaxes are that close to 1
_SHOWN_PAIRS = 10
_PLOTTED_PAIRS = 25


@dataclass(frozen=True)
class LabelSuspect:
    """An image whose label is probably wrong.

    Args:
        index: of the image, in the order of the labels.
        name: of its file; the index where there are no names.
        given: class of its label.
        likely: class that it looks like: the most probable one.
        self_confidence: out-of-fold probability of the given class.
        likely_probability: out-of-fold probability of the class that it looks like.
    """

    index: int
    name: str
    given: str
    likely: str
    self_confidence: float
    likely_probability: float


@dataclass(frozen=True)
class LabelPair:
    """Suspects of one class that look like the same other one.

    Args:
        given: class of their labels.
        likely: class that they look like.
        images: how many.
    """

    given: str
    likely: str
    images: int


@dataclass(frozen=True)
class LabelsReport:
    """Labels that are probably wrong, and how many there are.

    Args:
        images: how many labels were checked.
        class_names: of the classes.
        accuracy: share of the images whose most probable class is the given one; it bounds what suspects are worth.
        estimated_share: of wrong labels, by the joint distribution of given and true classes. It counts images, and
            does not say which; the suspects may be fewer.
        suspects: the lowest self-confidence first.
    """

    images: int
    class_names: tuple[str, ...]
    accuracy: float
    estimated_share: float
    suspects: tuple[LabelSuspect, ...]

    @property
    def pairs(self) -> tuple[LabelPair, ...]:
        """Suspects counted by given class and class that they look like, the most frequent first."""
        counts = Counter((one.given, one.likely) for one in self.suspects)
        order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(LabelPair(given, likely, count) for (given, likely), count in order)

    @property
    def next_step(self) -> str:
        """A line on what to do."""
        if not self.suspects:
            return "no label is suspect: nothing to do"
        return (
            "next: look at each of them; move those that are wrong to their class, leave out what is neither, and "
            "check again"
        )

    def to_text(self, limit: int | None = SHOWN) -> str:
        """Formats the suspects, their numbers by pair of classes, and the next step.

        Args:
            limit: the most suspects; None for all.
        """
        lines = [
            f"{self.images:,} labels of {len(self.class_names)} classes; out-of-fold accuracy {self.accuracy:.2%}",
            f"{len(self.suspects):,} suspect{'' if len(self.suspects) == 1 else 's'} "
            f"({len(self.suspects) / self.images:.2%}); estimated share of wrong labels {self.estimated_share:.2%}",
        ]
        shown = self.suspects[:limit]
        if shown:
            header = ("file", "given", "looks like", "p(given)", "p(looks like)")
            rows = [
                (one.name, one.given, one.likely, f"{one.self_confidence:.4f}", f"{one.likely_probability:.4f}")
                for one in shown
            ]
            lines += ["", format_table(header, rows, left=3)]
            if len(shown) < len(self.suspects):
                lines.append(f"... and {len(self.suspects) - len(shown):,} more")
            pairs = self.pairs
            pair_rows = [(pair.given, pair.likely, f"{pair.images:,}") for pair in pairs[:_SHOWN_PAIRS]]
            lines += ["", format_table(("given", "looks like", "suspects"), pair_rows, left=2)]
            if len(pairs) > _SHOWN_PAIRS:
                lines.append(f"... and {len(pairs) - _SHOWN_PAIRS:,} more pairs")
        return "\n".join([*lines, "", self.next_step])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, with all suspects."""
        return {
            "images": self.images,
            "class_names": list(self.class_names),
            "accuracy": self.accuracy,
            "estimated_share": self.estimated_share,
            "suspects": [asdict(one) for one in self.suspects],
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    def write_csv(self, file: TextIO) -> None:
        """Writes all suspects as CSV: file, given, looks_like and both probabilities."""
        header = ("file", "given", "looks_like", "given_probability", "looks_like_probability")
        rows = [
            (one.name, one.given, one.likely, f"{one.self_confidence:.6f}", f"{one.likely_probability:.6f}")
            for one in self.suspects
        ]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])

    def plot(self, path: Path | str) -> None:
        """Plots the number of suspects by pair of classes, as a PNG."""
        pairs = self.pairs[:_PLOTTED_PAIRS]
        title = f"{len(self.suspects):,} suspects in {self.images:,} labels"
        names = [f"{pair.given}, looks like {pair.likely}" for pair in pairs]
        plot_counts(title, names, [pair.images for pair in pairs], "suspects", Path(path))


def check_labels(
    labels: Any,
    probabilities: Any,
    class_names: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> LabelsReport:
    """Finds labels that are probably wrong, by confident learning.

    An image counts for class j when its probability of j is at least the mean that the images labelled j have: a
    threshold of each class, so that one the network is rarely confident of is not suspected as a whole. Counts of given
    and counted class estimate how many labels of each class belong to each other one; so many images are suspects,
    those with the largest margin between both probabilities. Suspects are candidates: the network is wrong about some
    of them, the more the lower its accuracy.

    The probabilities must come from networks that were not trained on the image: one that was has learned its wrong
    label. `kerastricks.runs.find_wrong_labels` makes them by cross-validation.

    Args:
        labels: (N,) class indices. Every class has an image.
        probabilities: (N, K) out-of-fold probabilities, two classes or more; each row sums to 1.
        class_names: K names; None for the indices.
        names: N names, of the files; None for the indices.

    Returns:
        A `LabelsReport`: `suspects`, `pairs`, `to_text()`, `to_json()`, `write_csv(file)`, `plot(path)`.

    Raises:
        UsageError: for labels, probabilities or names that do not fit each other.
        MissingExtraError: without cleanlab.

    Example:
        >>> import numpy as np
        >>> from kerastricks.checks import check_labels
        >>> probabilities = np.where(np.eye(2)[[0] * 10 + [1] * 10] > 0, 0.9, 0.1)
        >>> report = check_labels([0] * 9 + [1] * 11, probabilities, class_names=("cat", "dog"))
        >>> [(one.index, one.given, one.likely) for one in report.suspects]
        [(9, 'dog', 'cat')]

    Reference:
        Northcutt, Jiang, Chuang: Confident Learning, JAIR 70, 2021 (arXiv 1911.00068): confident joint and thresholds,
        equations 1 and 2; the calibrated joint, equation 3; "prune by noise rate", section 3.2. cleanlab computes them;
        it leaves out suspects whose given class is the most probable one, and keeps an image of each class. Suspects
        are ranked by self-confidence.
    """
    given = _as_classes(labels)
    found = _as_probabilities(probabilities, len(given))
    classes = found.shape[1]
    _check_classes(given, classes)
    own_names = _as_names("class_names", class_names, classes, "class")
    own_files = _as_names("names", names, len(given), "label")
    count, filtering = import_cleanlab()
    joint = count.estimate_joint(given, found)
    # One process: they would be forked beside TensorFlow's threads.
    suspect = filtering.find_label_issues(given, found, filter_by="prune_by_noise_rate", n_jobs=1)
    confidence = found[np.arange(len(given)), given]
    likely = found.argmax(axis=1)
    indices = np.flatnonzero(suspect)
    indices = indices[np.lexsort((-found.max(axis=1)[indices], confidence[indices]))]
    return LabelsReport(
        images=len(given),
        class_names=own_names,
        accuracy=float(np.mean(likely == given)),
        estimated_share=float(1 - np.trace(joint)),
        suspects=tuple(
            LabelSuspect(
                index=index,
                name=own_files[index],
                given=own_names[given[index]],
                likely=own_names[likely[index]],
                self_confidence=float(confidence[index]),
                likely_probability=float(found[index, likely[index]]),
            )
            for index in indices.tolist()
        ),
    )


def import_cleanlab() -> tuple[Any, Any]:
    """cleanlab's modules `count` and `filter`.

    Raises:
        MissingExtraError: where it is not installed.
    """
    try:
        from cleanlab import count
        from cleanlab import filter as filtering
    except ModuleNotFoundError as error:
        if error.name != "cleanlab":
            raise
        raise MissingExtraError("cleanlab", "labels") from None
    return count, filtering


def _as_classes(labels: Any) -> np.ndarray:
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
        raise UsageError(
            f"labels must be (N,) class indices, one per image. Received: shape {found.shape}, {found.dtype}"
        )
    return found.astype("int64")


def _as_probabilities(probabilities: Any, images: int) -> np.ndarray:
    try:
        found = np.asarray(probabilities, "float64")
    except (TypeError, ValueError):
        found = np.empty(())
    if found.ndim != 2 or len(found) != images or found.shape[1] < 2:
        raise UsageError(
            f"probabilities must be ({images}, K), a row per label, with K of two classes or more. Received: shape "
            f"{found.shape}"
        )
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise UsageError(
            f"probabilities must be finite: {np.count_nonzero(~finite)} rows have NaN or infinity, the first is row "
            f"{int(np.argmin(finite))}: the network diverged"
        )
    sums = found.sum(axis=1)
    wrong = (np.abs(sums - 1) > _ROW_TOLERANCE) | (found < 0).any(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UsageError(
            f"probabilities must be 0 or more and sum to 1 in each row: take a softmax of logits. Received: row "
            f"{first} from {found[first].min():.4g} to {found[first].max():.4g}, with sum {sums[first]:.4g}"
        )
    return found / sums[:, None]


def _check_classes(labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(
            f"labels must be in 0-{classes - 1}, the columns of probabilities. Received: {labels.min()} to "
            f"{labels.max()}"
        )
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(missing):
        raise UsageError(
            f"labels must have an image of each class: there is none of class {missing[0]}: leave out its column of "
            "probabilities, and make each row sum to 1 again"
        )


def _as_names(argument: str, names: Sequence[str] | None, count: int, per: str) -> tuple[str, ...]:
    if names is None:
        return tuple(str(index) for index in range(count))
    if isinstance(names, str) or len(names) != count:
        raise UsageError(f"{argument} must be {count}, one per {per}. Received: {len(names)}")
    return tuple(str(name) for name in names)
