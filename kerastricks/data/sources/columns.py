"""Columns of Arrow tables: which holds the images, which the labels, and of what type they are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.errors import DataError

IMAGE_COLUMNS = ("image", "img", "image_bytes", "jpg", "path", "file", "file_name", "filename", "image_path")
LABEL_COLUMNS = ("label", "labels", "class", "fine_label", "target", "category")
SPLIT_COLUMNS = ("split", "subset")


@dataclass(frozen=True)
class Columns:
    """Columns of a file.

    Args:
        image: name of the column.
        kind: "bytes", "struct" of bytes and a path, or "path".
        label: name of the column.
        split: name of the column; "" for none.
        class_names: from the schema's ClassLabel; None where it has none.
    """

    image: str
    kind: str
    label: str
    split: str
    class_names: tuple[str, ...] | None

    @property
    def read(self) -> str:
        """Path of the column of bytes."""
        return f"{self.image}.bytes" if self.kind == "struct" else self.image


def find_columns(source: Path | str, schema: Any, named: Mapping[str, str]) -> Columns:
    """Find the columns of images, labels and splits: those that the user named, else by features, else by usual names.

    Args:
        source: file or data set, for messages.
        schema: its Arrow schema, with Hugging Face's features where it has them.
        named: columns the user named.

    Raises:
        DataError: for a column that is missing or of another type, with the columns there are.
    """
    features = _features(schema)
    images = [name for name, feature in features.items() if _type(feature) == "Image"]
    image = _find(source, schema, named, "image", IMAGE_COLUMNS, images)
    labels = [name for name, feature in features.items() if _type(feature) == "ClassLabel"]
    label = _find(source, schema, named, "label", LABEL_COLUMNS, labels)
    split = _find(source, schema, named, "split", SPLIT_COLUMNS, [])
    _check_label_type(source, schema, label)
    names = features.get(label, {}).get("names") if _type(features.get(label)) == "ClassLabel" else None
    classes = None if names is None else tuple(str(name) for name in names)
    return Columns(image, _kind(source, schema, image), label, split, classes)


def _find(
    file: Path | str, schema: Any, named: Mapping[str, str], role: str, usual: Sequence[str], features: Sequence[str]
) -> str:
    have = ", ".join(schema.names)
    if role in named:
        if named[role] not in schema.names:
            raise DataError(f"{file}: no column {named[role]!r}, which ?{role}= names: its columns are {have}")
        return named[role]
    if len(features) == 1 and features[0] in schema.names:
        return features[0]
    lower = {name.lower(): name for name in reversed(schema.names)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is not None:
        return found
    if role == "split":
        return ""
    raise DataError(f"{file}: no column of {role}s called {' or '.join(usual[:3])}: {_name_it(file, schema, role)}")


def _features(schema: Any) -> dict[str, Any]:
    """Features of the columns as Hugging Face's datasets writes them into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return features if isinstance(features, dict) else {}
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}


def _type(feature: Any) -> Any:
    return feature.get("_type") if isinstance(feature, dict) else None


def _name_it(file: Path | str, schema: Any, role: str) -> str:
    name = file.name if isinstance(file, Path) else file
    return f"its columns are {', '.join(schema.names)}: name one, {name}?{role}=COLUMN"


def _kind(file: Path | str, schema: Any, image: str) -> str:
    import pyarrow as pa

    kind = schema.field(image).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "path"
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        inner = kind.field("bytes").type
        if pa.types.is_binary(inner) or pa.types.is_large_binary(inner):
            return "struct"
    raise DataError(
        f"{file}: column {image!r} is {kind}, and images are binary, a struct of bytes and path, or paths: "
        f"{_name_it(file, schema, 'image')}"
    )


def _check_label_type(file: Path | str, schema: Any, label: str) -> None:
    import pyarrow as pa

    kind = schema.field(label).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    if types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind):
        return
    if types.is_floating(kind) or types.is_decimal(kind):
        why = "regression targets are not supported"
    elif types.is_nested(kind):
        why = "multi-label targets are not supported, one class for each image is all there is"
    else:
        why = "a label is a name or a whole number"
    raise DataError(f"{file}: column {label!r} is {kind}: {why}: {_name_it(file, schema, 'label')}")


def label_codes(source: Path | str, column: Any, label: str, values: dict[Any, int], start: int = 0) -> np.ndarray:
    """Numbers of labels.

    Args:
        source: file or data set, for messages.
        column: Arrow array of labels.
        label: name of the column.
        values: number of each label so far; new ones are added.
        start: number of the first row, for messages.

    Raises:
        DataError: for a row without a label.
    """
    if column.null_count:
        row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(f"{source}, row {row}: no label in column {label!r}: fill it in or leave the row out")
    encoded = leaf(column).dictionary_encode()
    found = encoded.dictionary.to_pylist()
    table = np.array([values.setdefault(value, len(values)) for value in found], np.int64)
    return table[encoded.indices.to_numpy()] if len(found) else np.zeros(0, np.int64)


def leaf(column: Any) -> Any:
    """The values of a column: of the first field of a struct, without a dictionary."""
    import pyarrow as pa

    while pa.types.is_struct(column.type):
        column = column.field(0)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
