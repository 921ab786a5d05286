"""The check of images as a job: one pass over them, then copies, quality and, where asked for, labels."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.headers import MAX_PIXELS
from kerastricks.data.sources.reading import find_source
from kerastricks.data_check.data_report import DataReport, make_report
from kerastricks.data_check.findings import (
    DataFinding,
    copy_findings,
    exact_groups,
    linked_groups,
    lonely_classes,
    quality_findings,
)
from kerastricks.data_check.measures import GOOD
from kerastricks.data_check.near_pairs import near_pairs
from kerastricks.data_check.pass_over_images import Listing, Measured, measure_images
from kerastricks.errors import DataError
from kerastricks.progress import Progress, silent

_LEAST_SPREAD = 12  # levels of luma of an image that others may be near duplicates of


def check_data(
    source: Any,
    *,
    labels: bool = False,
    state: str | os.PathLike[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    interrupted: Callable[[Listing, Measured], None] | None = None,
    progress: Progress = silent,
) -> DataReport:
    """Check images before the first training: what they are, and what is wrong with them.

    Every image is read and decoded once, two at a time on two cores; 1.1 kB of each are kept: its measures and hash.
    Found are files that cannot be read, exact and near duplicates (recompressed, resized, brightened, cropped by up to
    a tenth) within a class, between classes and between splits, images of one colour, very dark, very bright, blurred,
    tiny or odd-shaped ones, classes with one image and, where asked for, labels that are probably wrong. Nothing is
    written but the state file.

    Args:
        source: see `kerastricks.data.load`; what that refuses is refused.
        labels: whether to look for wrong labels as well, by confident learning over a linear probe on features of
            EfficientNet-Lite; needs the extras `weights` and `labels`, and takes longer than all the rest.
        state: file of the measures so far: read where it is there, written each minute and on Ctrl-C.
        max_pixels: an image of more is left out as a decompression bomb.
        seed: of the search for near duplicates and of the folds of the probe.
        interrupted: gets the listing and the measures so far on Ctrl-C.
        progress: shows how far it is.

    Returns:
        A `DataReport`: `findings`, `to_text()`, `to_json()`, `write_csv(file)`.

    Raises:
        DataError: for a source that holds no images, one class only, or a state file of other data.
        UnknownNameError: for a source that is neither there nor known.
        MissingExtraError: for `labels` without their extras.

    Example:
        >>> import numpy
        >>> from kerastricks.data_check import check_data
        >>> x = numpy.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), "uint8")
        >>> x[7] = x[3]
        >>> report = check_data((x, numpy.arange(40) % 2))
        >>> [(one.kind, one.files) for one in report.findings]
        [('exact_duplicate', ('3', '7'))]
    """
    listing = list_images(source)
    if labels:
        from kerastricks.data_check.suspects import check_extras

        check_extras()
    measured = measure_images(
        listing,
        max_pixels=max_pixels,
        state=None if state is None else Path(os.path.expanduser(state)),
        keep=None if interrupted is None else lambda measured: interrupted(listing, measured),
        progress=progress,
    )
    findings = [*quality_findings(listing, measured), *lonely_classes(listing, measured)]
    findings += find_copies(listing, measured, progress, seed)
    notes = []
    if labels:
        from kerastricks.data_check.suspects import suspect_labels

        found, note = suspect_labels(listing, measured, progress, seed)
        findings += found
        notes.append(note)
    else:
        notes.append("labels were not checked: --labels looks for wrong ones")
    return make_report(listing, measured, findings, notes)


def list_images(source: Any) -> Listing:
    """The files of a source, as training reads them.

    Raises:
        DataError: for a source without images, or with one class.
    """
    found = find_source(source)
    if len(found.class_names) < 2:
        have = f"only one class, {found.class_names[0]!r}" if found.class_names else "no images"
        raise DataError(f"{found.name}: {have}: a classifier needs two or more classes")
    if not any(len(examples) for examples in found.splits.values()):
        raise DataError(f"{found.name}: no images: name a folder with one folder per class")
    return Listing.of(found)


def find_copies(listing: Listing, measured: Measured, progress: Progress = silent, seed: int = 0) -> list[DataFinding]:
    """Exact and near duplicates: within a class, between classes (a conflict) and between splits (a leak)."""
    exact = exact_groups(measured)
    findings = copy_findings(listing, exact, ["same bytes"] * len(exact), exact=True)
    rows = measured.rows
    eligible = (rows["state"] == GOOD) & (rows["brightest"] - rows["darkest"] >= _LEAST_SPREAD)
    copies = {group[0]: group for group in exact}
    for group in exact:
        eligible[group[1:]] = False  # one of each group stands for all
    chosen = np.flatnonzero(eligible)
    sides = np.minimum(rows["height"], rows["width"])[chosen]
    pairs, correlations = near_pairs(measured.hashes[chosen], sides, progress, seed)
    for group, least in linked_groups(chosen[pairs], correlations):
        members = sorted({index for one in group for index in copies.get(one, [one])})
        findings += copy_findings(listing, [members], [f"correlation {least:.3f}"], exact=False)
    return findings
