"""The report of a check of images: what they are, what was found, as text, JSON and CSV."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import numpy as np

from kerastricks.data_check.class_balance import ClassBalance, balance_advice
from kerastricks.data_check.findings import KINDS, DataFinding, not_images
from kerastricks.data_check.measures import COLOURS, FORMATS, GOOD
from kerastricks.data_check.pass_over_images import Listing, Measured

SHOWN = 3  # findings of a kind in a text
_SHOWN_FILES = 4  # of a group of copies
_SHOWN_CLASSES = 12


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of images in pixels, as seen upright.

    Args:
        smallest: (width, height) of the one with the fewest pixels.
        median: medians of width and of height.
        largest: (width, height) of the one with the most pixels.
        different: how many sizes there are.
        aspect_ratios: smallest, median and largest width / height.
    """

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    different: int
    aspect_ratios: tuple[float, float, float]


@dataclass(frozen=True)
class DataReport:
    """A check of images before the first training.

    Args:
        name: of the data.
        images: how many files or arrays were looked at.
        class_names: of the classes.
        class_counts: readable images per class of each split, in the order of the classes.
        sizes: of the readable images; None where there is none.
        formats: how many images there are of each format.
        colours: how many are grey, in colour, ...
        rotated: how many EXIF turns.
        not_images: how many other files stand beside the images, by their names: annotations, notes.
        findings: by kind, the gravest first.
        notes: what was not checked, and why.
    """

    name: str
    images: int
    class_names: tuple[str, ...]
    class_counts: dict[str, list[int]]
    sizes: ImageSizes | None
    formats: dict[str, int]
    colours: dict[str, int]
    rotated: int
    not_images: int
    findings: tuple[DataFinding, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind that was found."""
        found = Counter(one.kind for one in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def imbalance(self) -> float:
        """Images of the largest class over those of the smallest one, over all splits; infinity for an empty class."""
        totals = self._totals()
        return float(totals.max() / totals.min()) if totals.min() else float("inf")

    @property
    def balance(self) -> "ClassBalance":
        """Balance of the classes, by their training images."""
        return ClassBalance.of(self.class_names, self.class_counts.get("train", self._totals().tolist()))

    def of(self, kind: str) -> list[DataFinding]:
        """The findings of a kind."""
        return [one for one in self.findings if one.kind == kind]

    def facts(self) -> dict[str, str]:
        """Facts about the images, as names and values."""
        totals = self._totals()
        order = np.argsort(-totals, kind="stable")
        large, small = (f"{self.class_names[i]} {totals[i]:,}" for i in (order[0], order[-1]))
        splits = ", ".join(f"{name} {sum(counts):,}" for name, counts in self.class_counts.items())
        found = {
            "images": f"{splits}; {len(self.class_names)} classes",
            "classes": f"{large} to {small} (imbalance {self.imbalance:.3g})",
            **self.balance.facts(),
        }
        advice = balance_advice(self.balance.counts)
        if advice:
            found["imbalance"] = "; ".join(advice)
        if self.sizes is not None:
            size = self.sizes
            smallest, median, largest = (f"{w} x {h}" for w, h in (size.smallest, size.median, size.largest))
            found["pixels"] = f"all {median}" if size.different == 1 else f"{smallest} to {largest}, median {median}"
            low, middle, high = size.aspect_ratios
            found["width / height"] = (
                f"{middle:.2f}" if low == high else f"{low:.2f} to {high:.2f}, median {middle:.2f}"
            )
        found["formats"] = _listed(self.formats)
        found["colours"] = _listed(self.colours)
        if self.rotated:
            found["turned by EXIF"] = f"{self.rotated:,}, read upright"
        if self.not_images:
            found["not images"] = f"{self.not_images:,} files, left out"
        return found

    def to_text(self, limit: int | None = SHOWN) -> str:
        """Formats what the images are, and the first files of each kind of finding.

        Args:
            limit: the most findings of a kind; None for all.
        """
        lines = [f"{self.name}: {self.images:,} files looked at"]
        facts = self.facts()
        width = max(map(len, facts))
        lines += [f"  {name:{width}}  {value}" for name, value in facts.items()]
        for kind, count in self.counts.items():
            title, advice = KINDS[kind]
            lines += ["", f"{title}: {count:,} ({advice})"]
            found = self.of(kind)
            for one in found[:limit]:
                lines.append(f"  {describe_finding(one)}")
            if limit is not None and count > limit:
                lines.append(f"  ... and {count - limit:,} more")
        if not self.findings:
            lines += ["", "nothing was found: train on them"]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, with all findings."""
        record = asdict(self)
        record["imbalance"] = self.imbalance if np.isfinite(self.imbalance) else None
        record["balance"] = self.balance.to_json()
        record["counts"] = self.counts
        for one in record["findings"]:
            del one["indices"]
        return record

    def write_csv(self, file: TextIO) -> None:
        """Writes all findings as CSV: kind, group, file, split, class, detail; a row for each file."""
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "group", "file", "split", "class", "detail"))
        for group, one in enumerate(self.findings, start=1):
            for name, split, class_name in zip(one.files, one.splits, one.classes, strict=True):
                writer.writerow((one.kind, group, name, split, class_name, one.detail))

    def _totals(self) -> np.ndarray:
        return np.sum(list(self.class_counts.values()), axis=0)


def describe_finding(finding: DataFinding) -> str:
    """A line with the files of a finding; of copies also what differs: splits, classes."""
    several_splits = len(set(finding.splits)) > 1
    several_classes = len(set(finding.classes)) > 1
    shown = []
    for name, split, class_name in list(zip(finding.files, finding.splits, finding.classes, strict=True))[
        :_SHOWN_FILES
    ]:
        known = [split] if several_splits and not name.startswith(f"{split}/") else []
        known += [class_name] if several_classes and class_name not in name.split("/")[:-1] else []
        shown.append(f"{name} [{', '.join(known)}]" if known else name)
    more = len(finding.files) - _SHOWN_FILES
    text = " = ".join(shown) if finding.kind.startswith("exact") else " ~ ".join(shown)
    text += f" and {more} more" if more > 0 else ""
    return f"{text} ({finding.detail})" if finding.detail else text


def make_report(
    listing: Listing, measured: Measured, findings: Sequence[DataFinding], notes: Sequence[str] = ()
) -> DataReport:
    """Make the report of what was measured and found."""
    rows = measured.rows
    good = rows["state"] == GOOD
    classes = len(listing.source.class_names)
    counts = {
        split: np.bincount(listing.labels[good & (listing.split_numbers == number)], minlength=classes).tolist()
        for number, split in enumerate(listing.splits)
    }
    order = list(KINDS)
    return DataReport(
        name=listing.source.name,
        images=len(listing),
        class_names=listing.source.class_names,
        class_counts=counts,
        sizes=_sizes(rows[good]) if good.any() else None,
        formats=_named_counts(rows["format"][good], FORMATS),
        colours=_named_counts(rows["colour"][good], COLOURS),
        rotated=int(np.count_nonzero(rows["orientation"][good] > 1)),
        not_images=len(not_images(listing, measured)),
        findings=tuple(sorted(findings, key=lambda one: order.index(one.kind))),
        notes=tuple(notes),
    )


def _sizes(rows: np.ndarray) -> ImageSizes:
    sizes = np.stack([rows["width"], rows["height"]], axis=1).astype(np.int64)
    area = sizes.prod(axis=1)
    ratio = sizes[:, 0] / sizes[:, 1]

    def size(index: int) -> tuple[int, int]:
        return int(sizes[index, 0]), int(sizes[index, 1])

    median = np.median(sizes, axis=0)
    return ImageSizes(
        smallest=size(int(area.argmin())),
        median=(round(median[0]), round(median[1])),
        largest=size(int(area.argmax())),
        different=len(np.unique(sizes, axis=0)),
        aspect_ratios=(float(ratio.min()), float(np.median(ratio)), float(ratio.max())),
    )


def _named_counts(numbers: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(numbers, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
