"""Hugging Face data sets: "hf:OWNER/NAME", also "hf:OWNER/NAME:CONFIG", and folders that `save_to_disk` wrote."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.sources.columns import find_columns, label_codes
from kerastricks.data.sources.extents import ExtentReader
from kerastricks.data.sources.layout import split_of
from kerastricks.data.sources.names import HF_PREFIX
from kerastricks.data.sources.sorting import Rows, files_of_splits, sorted_rows
from kerastricks.data.sources.source import SPLITS, Source
from kerastricks.errors import DataError, MissingExtraError

_ROWS_AT_ONCE = 1000  # slices of memory-mapped tables: no image is copied


class DatasetReader(ExtentReader):
    """Reader of images in data sets of the package `datasets`.

    Args:
        path: the folder or name.
        datasets: the data sets; the index's `file` is one of them.
        column: name of the column of images.
        index: columns of the index.
    """

    def __init__(self, path: Path, datasets: list[Any], column: str, index: Mapping[str, np.ndarray]) -> None:
        super().__init__(path, (), (), index)
        # As Arrow, images come as the bytes that were saved: nobody else decodes them.
        self.datasets = [dataset.select_columns([column]).with_format("arrow") for dataset in datasets]

    def read_row(self, row: int) -> bytes:
        """Read one image; no bytes for a row that has none."""
        dataset = self.datasets[int(self.index["file"][row])]
        value = dataset[int(self.index["row"][row])].column(0)[0].as_py()
        if isinstance(value, dict):
            contents, path = value.get("bytes"), value.get("path")
            return Path(path).read_bytes() if contents is None and path else contents or b""
        return value or b""


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder is one that `save_to_disk` of the package `datasets` wrote."""
    return (path / "dataset_dict.json").is_file() or (
        (path / "state.json").is_file() and (path / "dataset_info.json").is_file()
    )


def hugging_face_source(source: str, columns: Mapping[str, str]) -> Source:
    """Find the images of "hf:OWNER/NAME", also with ":CONFIG", or of a folder that `save_to_disk` wrote.

    A name is downloaded where there is a network, and else taken from the cache of `datasets`.

    Args:
        source: the name with its prefix, or the folder.
        columns: names of the columns `image` and `label`, where the user named them.

    Raises:
        MissingExtraError: without the package `datasets`.
        DataError: for a data set that is not there, or does not give one class to each image.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtraError("datasets", "hf")
    if "split" in columns:
        raise DataError(f"{source}: ?split= is for Parquet files: the splits of a data set are its own")
    found = _splits(source, _load(source))
    datasets = [dataset for _, dataset in found]
    schemas = [dataset.features.arrow_schema for dataset in datasets]
    first = find_columns(source, schemas[0], columns)
    for (split, _), schema in zip(found, schemas, strict=True):
        if find_columns(source, schema, columns) != first:
            raise DataError(f"{source}: {split} has other columns or classes than {found[0][0]}: save it again")
    if first.kind == "path":
        raise DataError(f"{source}: column {first.image!r} has paths: cast it to datasets.Image() and save it")
    rows = _rows(source, found, first.image, first.label, first.class_names)
    path = Path(os.path.expanduser(source))
    class_names, index, spans = sorted_rows(path, rows, [split for split, _ in found])
    reader = DatasetReader(path, datasets, first.image, index)
    splits = files_of_splits(index, spans, reader)
    name = source.removeprefix(HF_PREFIX).partition(":")[0].rstrip("/").rpartition("/")[2]
    return Source(name, class_names, splits)


def _load(source: str) -> Any:
    with contextlib.redirect_stdout(sys.stderr):
        import datasets

        try:
            if not source.startswith(HF_PREFIX) or os.path.isdir(source):
                return datasets.load_from_disk(os.path.expanduser(source))
            name, _, config = source.removeprefix(HF_PREFIX).partition(":")
            return datasets.load_dataset(name, config or None)
        except Exception as error:  # whatever a download, a builder or Arrow raises
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")
    if os.path.isdir(os.path.expanduser(source)):
        raise DataError(f"{source}: cannot be read ({reason}): save it again with save_to_disk")
    raise DataError(
        f"{source}: {reason}: names are those of https://huggingface.co/datasets; without a network only what was "
        f"downloaded before can be read"
    )


def _splits(source: str, loaded: Any) -> list[tuple[str, Any]]:
    """Data sets by their splits; one that is no split is left out."""
    if not isinstance(loaded, dict):
        return [("train", loaded)]
    found: dict[str, tuple[str, Any]] = {}
    for name, dataset in loaded.items():
        split = split_of(str(name))
        if split is None:
            continue  # "unsupervised" and others that are neither trained nor tested on
        if split in found:
            raise DataError(f"{source}: {split} is there twice, as {found[split][0]} and as {name}: save one of them")
        found[split] = (str(name), dataset)
    if "train" not in found:
        raise DataError(f"{source}: has no split train, only {', '.join(map(str, loaded))}: save it as a train split")
    return [(split, dataset) for split, (_, dataset) in found.items()]


def _rows(
    source: str, found: list[tuple[str, Any]], image: str, label: str, class_names: tuple[str, ...] | None
) -> Rows:
    values: dict[Any, int] = {}
    codes, splits, files, numbers = [], [], [], []
    names: list[str | None] = []
    for number, (split, dataset) in enumerate(found):
        for start, table in _tables(dataset, [label]):
            codes.append(label_codes(source, table.column(label).combine_chunks(), label, values, start))
        for _, table in _tables(dataset, [image]):
            column = table.column(image).combine_chunks()
            kind = column.type
            has_paths = hasattr(kind, "get_field_index") and kind.get_field_index("path") >= 0
            names += column.field("path").to_pylist() if has_paths else [None] * len(column)
        splits.append(np.full(len(dataset), SPLITS.index(split)))
        files.append(np.full(len(dataset), number))
        numbers.append(np.arange(len(dataset)))
    are_numbers = bool(values) and isinstance(next(iter(values)), int)
    own = [os.path.basename(name) if os.path.isabs(name) else name for name in names if name]
    return Rows(
        own if len(own) == len(names) else None,
        np.concatenate(codes) if codes else np.zeros(0, np.int64),
        [int(value) for value in values] if are_numbers else list(values),
        np.concatenate(splits),
        {"file": np.concatenate(files), "row": np.concatenate(numbers)},
        class_names if are_numbers or not values else None,
    )


def _tables(dataset: Any, columns: list[str]) -> Iterator[tuple[int, Any]]:
    """First row and contents of slices of some columns, as Arrow."""
    for number, table in enumerate(dataset.select_columns(columns).with_format("arrow").iter(_ROWS_AT_ONCE)):
        yield number * _ROWS_AT_ONCE, table
