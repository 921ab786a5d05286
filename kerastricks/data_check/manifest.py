"""Tables of cleaned data: which images a training should read, and which ones were taken out. No image is touched."""

import os
from pathlib import Path
from typing import Any

from kerastricks.data.sources.names import is_no_image
from kerastricks.data.sources.table import table_source
from kerastricks.data.sources.table_writing import image_path, names_files, write_rows
from kerastricks.data_check.checking import list_images
from kerastricks.data_check.data_report import DataReport
from kerastricks.data_check.pass_over_images import Listing
from kerastricks.errors import DataError
from kerastricks.files import begun_folder, check_new_folder, take_name, written

CLEAN, REMOVED = "clean.csv", "removed.csv"
# Splits whose copies are kept before those of others: scores stay comparable.
_KEPT_FIRST = ("test", "validation", "train")


def write_clean(
    folder: str | os.PathLike[str], report: DataReport, source: Any, *, list_removed: bool = False
) -> tuple[int, int]:
    """Write clean.csv into a new folder: path, label and split of the images that are left, as a table to load.

    Left out are unreadable images and those of one colour; of copies of one class all but one, where a copy in test is
    kept before one in validation, and that before one in train; and all copies with several labels. Dark, bright,
    blurred, tiny and odd-shaped images and suspected labels are to be looked at, and stay in.

    Args:
        folder: the folder to make.
        report: of `check_data`.
        source: that was checked: a folder or a table.
        list_removed: whether removed.csv lists what was left out, and why.

    Returns:
        How many images are left, and how many were left out.

    Raises:
        DataError: for a folder that is there, a source whose images are no files of their own, or where a class would
            lose its last training image.
        WriteError: where it cannot be written.
    """
    listing = list_images(source)
    if not names_files(listing.source):
        raise DataError(f"{report.name}: a table names files, and these are inside of one: unpack them first")
    path = Path(os.path.expanduser(folder))
    check_new_folder(path)
    removed = removals(report)
    kept = [index for index, name in enumerate(listing.names) if index not in removed and not is_no_image(name)]
    for label, class_name in enumerate(report.class_names):
        train = [i for i in kept if listing.labels[i] == label and listing.splits[listing.split_numbers[i]] == "train"]
        if not train:
            raise DataError(
                f"{report.name}: class {class_name!r} would have no training image left: mend or delete its files by "
                "hand, or leave the class out"
            )
    with written(path), begun_folder(path.absolute().parent) as begun:
        write_rows(begun / CLEAN, ("path", "label", "split"), (_row(listing, index) for index in kept))
        if list_removed:
            rows = ((*_row(listing, index), removed[index]) for index in sorted(removed))
            write_rows(begun / REMOVED, ("path", "label", "split", "reason"), rows)
        table_source(begun / CLEAN)  # a class whose name no table can hold is refused here
        take_name(begun, path)
    return len(kept), len(removed)


def removals(report: DataReport) -> dict[int, str]:
    """Indices of the images that a clean table leaves out, with the kind of finding that they are left out for."""
    removed: dict[int, str] = {}
    for one in report.findings:
        if one.kind in ("unreadable", "blank") or one.kind.endswith("_conflict"):
            removed |= {index: removed.get(index, one.kind) for index in one.indices}
    for one in report.findings:
        if not one.kind.endswith(("_duplicate", "_leak")):
            continue
        left = [
            (_KEPT_FIRST.index(split), index)
            for split, index in zip(one.splits, one.indices, strict=True)
            if index not in removed
        ]
        removed |= {index: one.kind for _, index in sorted(left)[1:]}
    return removed


def _row(listing: Listing, index: int) -> tuple[str, str, str]:
    """The absolute path, the class and the split."""
    examples, within = listing.find(index)
    split = listing.splits[listing.split_numbers[index]]
    return image_path(examples, within), listing.source.class_names[listing.labels[index]], split  # type: ignore[arg-type]  # a folder's
