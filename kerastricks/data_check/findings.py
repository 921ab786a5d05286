"""Findings of a check of images: their kinds, rules over the measures, and groups of copies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastricks.data.sources.names import is_no_image
from kerastricks.data_check.measures import GOOD
from kerastricks.data_check.pass_over_images import Listing, Measured

# Kind of a finding, what it is called, and what to do about it; the gravest first.
KINDS = {
    "unreadable": ("unreadable or truncated files", "mend or delete them: training leaves them out"),
    "exact_leak": ("the same file in several splits", "delete the training copies: the test accuracy is wrong"),
    "near_leak": ("near duplicates in several splits", "delete the training copies: the test accuracy is too good"),
    "exact_conflict": ("the same file in several classes", "keep the right one: one label of two is wrong"),
    "near_conflict": ("near duplicates in several classes", "look at them: one label of two is probably wrong"),
    "exact_duplicate": ("the same file several times", "keep one: the others count twice"),
    "near_duplicate": ("near duplicates", "keep one, unless they are meant"),
    "lonely_class": ("classes with one image", "add images, or leave the class out"),
    "blank": ("images of one colour", "delete them: there is nothing to see"),
    "dark": ("very dark images", "look at them"),
    "bright": ("very bright images", "look at them"),
    "blurred": ("blurred images", "look at them"),
    "tiny": ("tiny images", "find larger ones: they are enlarged for training"),
    "odd_shape": ("images of an odd shape", "look at them: training cuts out their centre"),
    "suspect_label": ("labels that are probably wrong", "look at them"),
}
COPIES = ("exact_leak", "near_leak", "exact_conflict", "near_conflict", "exact_duplicate", "near_duplicate")
# Levels of luma between the 1st and the 99th percentile of an image that is blank, and of those percentiles.
BLANK_SPREAD = 6
DARK_BRIGHTEST = 64
BRIGHT_DARKEST = 225
BLURRED_SHARPNESS = 0.2
TINY_SIDE = 8  # pixels; also a sixteenth of the median's area
TINY_AREA = 1 / 16
ODD_RATIO = 3.0  # of the longer side to the shorter, and twice as far from the median's


@dataclass(frozen=True)
class DataFinding:
    """A finding about one image, or a group of copies.

    Args:
        kind: key of `KINDS`.
        files: their names.
        splits: of each file.
        classes: of each file.
        indices: of each file, in the order of the splits.
        detail: one line of evidence.
    """

    kind: str
    files: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    indices: tuple[int, ...]
    detail: str = ""


def make_finding(listing: Listing, kind: str, indices: Sequence[int], detail: str = "") -> DataFinding:
    """The finding about some images of a listing."""
    return DataFinding(
        kind,
        tuple(listing.names[i] for i in indices),
        tuple(listing.splits[listing.split_numbers[i]] for i in indices),
        tuple(listing.source.class_names[listing.labels[i]] for i in indices),
        tuple(int(i) for i in indices),
        detail,
    )


def quality_findings(listing: Listing, measured: Measured) -> list[DataFinding]:
    """Findings about single images: unreadable, blank, dark, bright, blurred, tiny, of an odd shape."""
    others = not_images(listing, measured)
    found = [
        make_finding(listing, "unreadable", [index], reason)
        for index, reason in sorted(measured.reasons.items())
        if index not in others
    ]
    rows = measured.rows
    good = rows["state"] == GOOD
    if not good.any():
        return found
    spread = rows["brightest"] - rows["darkest"]
    blank = good & (spread < BLANK_SPREAD)
    dark = good & ~blank & (rows["brightest"] < DARK_BRIGHTEST)
    bright = good & ~blank & (rows["darkest"] > BRIGHT_DARKEST)
    blurred = good & ~blank & (rows["sharpness"] < BLURRED_SHARPNESS)
    height, width = rows["height"].astype(float), rows["width"].astype(float)
    area = height * width
    tiny = good & ((np.minimum(height, width) < TINY_SIDE) | (area < TINY_AREA * np.median(area[good])))
    small = np.median(np.minimum(height, width)[good]) < TINY_SIDE  # all are, on purpose
    tiny &= ~small
    shape = np.log(np.maximum(width, 1) / np.maximum(height, 1))
    odd = good & (np.abs(shape) > np.log(ODD_RATIO))
    odd &= np.abs(shape - np.median(shape[good])) > np.log(2.0)
    for kind, chosen, detail in (
        ("blank", blank, lambda row: f"luma {row['darkest']:.0f} to {row['brightest']:.0f}"),
        ("dark", dark, lambda row: f"99 % of the pixels below {row['brightest'] + 1:.0f} of 255"),
        ("bright", bright, lambda row: f"99 % of the pixels above {row['darkest'] - 1:.0f} of 255"),
        ("blurred", blurred, lambda row: f"sharpness {row['sharpness']:.2f}"),
        ("tiny", tiny, lambda row: f"{row['width']} x {row['height']} pixels"),
        ("odd_shape", odd, lambda row: f"{row['width']} x {row['height']} pixels"),
    ):
        found += [make_finding(listing, kind, [i], detail(rows[i])) for i in np.flatnonzero(chosen).tolist()]
    return found


def not_images(listing: Listing, measured: Measured) -> set[int]:
    """Indices of files that are no images, as their names say: nothing is missing."""
    return {index for index in measured.reasons if is_no_image(listing.names[index])}


def lonely_classes(listing: Listing, measured: Measured) -> list[DataFinding]:
    """Classes with one readable image."""
    good = np.flatnonzero(measured.rows["state"] == GOOD)
    counts = np.bincount(listing.labels[good], minlength=len(listing.source.class_names))
    return [
        make_finding(listing, "lonely_class", [index], "the only image of its class")
        for index in good[counts[listing.labels[good]] == 1].tolist()
    ]


def copy_findings(
    listing: Listing, groups: Sequence[Sequence[int]], details: Sequence[str], exact: bool
) -> list[DataFinding]:
    """Findings about groups of copies: a leak, a conflict, both, or neither."""
    found = []
    prefix = "exact" if exact else "near"
    for group, detail in zip(groups, details, strict=True):
        kinds = []
        if len(set(listing.split_numbers[list(group)].tolist())) > 1:
            kinds.append(f"{prefix}_leak")
        if len(set(listing.labels[list(group)].tolist())) > 1:
            kinds.append(f"{prefix}_conflict")
        found += [make_finding(listing, kind, group, detail) for kind in kinds or [f"{prefix}_duplicate"]]
    return found


def exact_groups(measured: Measured) -> list[list[int]]:
    """Groups of two or more images with the same bytes."""
    groups: dict[bytes, list[int]] = {}
    for index in np.flatnonzero(measured.rows["state"] == GOOD).tolist():
        groups.setdefault(measured.rows["digest"][index].tobytes(), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def linked_groups(pairs: np.ndarray, weights: np.ndarray) -> list[tuple[list[int], float]]:
    """Groups of images that are connected by pairs, and the least weight of the pairs of each."""
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in pairs.tolist():
        parent[root(second)] = root(first)
    members: dict[int, list[int]] = {}
    for index in sorted(parent):
        members.setdefault(root(index), []).append(index)
    least: dict[int, float] = {}
    for (first, _), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        least[root(first)] = min(weight, least.get(root(first), 1.0))
    return [(group, least[top]) for top, group in sorted(members.items(), key=lambda item: item[1])]
