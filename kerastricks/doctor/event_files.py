"""Scalars of TensorBoard's event files, read without TensorFlow."""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.doctor.columns import plain
from kerastricks.errors import UsageError

_LONGEST = 1 << 26


def is_event_file(path: Path) -> bool:
    """Whether the name is one that TensorBoard looks for."""
    return "tfevents" in path.name


def event_files(folder: Path) -> list[Path]:
    """Event files in a folder and its folders, in order."""
    return sorted(path for path in folder.rglob("*tfevents*") if path.is_file())


def read_scalars(paths: list[Path]) -> tuple[dict[str, list[tuple[int, float]]], tuple[str, ...]]:
    """Scalars of event files: by tag, steps and values; and notes on truncated files.

    Keras writes training and validation into the folders "train" and "validation" under one tag: values of a folder
    "validation", "val", "valid" or "eval" have the tag with "val_" before it.

    Raises:
        UsageError: for files in which no scalar is found.
    """
    scalars: dict[str, list[tuple[int, float]]] = {}
    notes = []
    for path in paths:
        validation = path.parent.name.lower() in ("validation", "val", "valid", "eval")
        kept = 0
        try:
            for tag, step, value in _scalars(path):
                scalars.setdefault(f"val_{plain(tag)}" if validation else tag, []).append((step, value))
                kept += 1
        except EOFError as error:
            notes.append(f"{path.name}: truncated ({error}): {kept:,} values before it were read")
    if not scalars:
        where = paths[0] if len(paths) == 1 else f"{len(paths)} event files"
        raise UsageError(f"{where}: no scalars" + (f" ({notes[0]})" if notes else ""))
    return scalars, tuple(notes)


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar; EOFError where the file is cut."""
    from tensorboard.compat.proto.event_pb2 import Event

    with path.open("rb") as file:
        while header := file.read(12):
            # A TFRecord: length, its checksum, data, its checksum.
            if len(header) < 12:
                raise EOFError("inside a length")
            (length,) = struct.unpack("<Q", header[:8])
            if length > _LONGEST:
                raise EOFError(f"a record of {length:,} bytes")
            data = file.read(length + 4)
            if len(data) < length + 4:
                raise EOFError("inside a record")
            try:
                event = Event.FromString(data[:length])
            except Exception:
                raise EOFError("a record that does not parse") from None
            for value in event.summary.value:
                found = _value(value)
                if found is not None:
                    yield value.tag, event.step, found


def _value(value: Any) -> float | None:
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or len(value.tensor.tensor_shape.dim):
        return None
    tensor = value.tensor
    if tensor.float_val:
        return float(tensor.float_val[0])
    if tensor.double_val:
        return float(tensor.double_val[0])
    kinds = {1: "<f4", 2: "<f8"}
    if tensor.dtype in kinds and tensor.tensor_content:
        return float(np.frombuffer(tensor.tensor_content, kinds[tensor.dtype])[0])
    return None


def as_records(scalars: dict[str, list[tuple[int, float]]]) -> list[dict[str, float]]:
    """A record of each step, or of each epoch for Keras's "epoch_" tags, with the values that were written at it."""
    records: dict[tuple[str, int], dict[str, float]] = {}
    for tag, points in scalars.items():
        name = plain(tag)
        of_epoch = name.removeprefix("val_").startswith("epoch_")
        for step, value in points:
            record = records.setdefault(("epoch" if of_epoch else "step", step), {})
            record["epoch" if of_epoch else "step"] = step
            record[name.replace("epoch_", "", 1) if of_epoch else tag] = value if math.isfinite(value) else math.inf
    return [records[key] for key in sorted(records)]
