"""Folders of features: for each split an array of each layer's outputs, the labels and the names of the files."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.errors import DataError, UnknownNameError
from kerastricks.files import read_json

RECORD = "features.json"
FORMAT = "kerastricks-features"
VERSION = 1
LABELS = "labels.npy"
FILES = "files.txt"


class Features:
    """Features of a folder that `compute` or `cached` wrote, mapped into memory.

    Row `i` of `of(split, layer)`, of `labels(split)` and of `files(split)` is the same image. The arrays stay readable
    when the folder is removed.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        record: contents of features.json: model, data, geometry of the images, versions.

    Raises:
        DataError: for a folder that holds no features, or damaged ones.

    Example:
        >>> import keras, kerastricks, numpy, os, tempfile
        >>> x, y = numpy.zeros((40, 8, 8, 3), "uint8"), numpy.arange(40) % 2
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "features")
        ...     _ = kerastricks.features.compute(model, ["conv"], kerastricks.data.load((x, y)), path)
        ...     features = kerastricks.features.Features.open(path)
        ...     print(features.layers, features.of("train", "conv").shape, len(features.labels("train")))
        ['conv'] (32, 5) 32
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.expanduser(path))
        self.record = _read(self.path)
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._labels: dict[str, np.ndarray] = {}
        self._files: dict[str, list[str]] = {}
        try:
            for split, count in self.record["splits"].items():
                folder = self.path / split
                for layer, shape in self.record["layers"].items():
                    self._arrays[split, layer] = _map(folder / f"{layer}.npy", (count, *shape), "float32")
                self._labels[split] = np.array(_map(folder / LABELS, (count,), "int32"))
                self._files[split] = _names(folder / FILES, count)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: damaged features ({error}): compute them again") from None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Features":
        """Open the features in a folder.

        Raises:
            DataError: for a folder that holds no features, or damaged ones.
        """
        return cls(path)

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in the order they were asked for."""
        return list(self.record["layers"])

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.record["splits"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; the label is the index."""
        return tuple(self.record["class_names"])

    def of(self, split: str, layer: str) -> np.ndarray:
        """Features of a layer: (N, D) float32, mapped; (N, ...) as the layer has it where maps were not averaged."""
        self._check_split(split)
        if layer not in self.record["layers"]:
            raise UnknownNameError(f"layer in {self.path}", layer, self.layers)
        return self._arrays[split, layer]

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split, (N,) int32."""
        self._check_split(split)
        return self._labels[split]

    def files(self, split: str) -> list[str]:
        """Names of the N files as in the source; row numbers, where the images came as arrays."""
        self._check_split(split)
        return list(self._files[split])

    def check_model(self, model: keras.Model) -> None:
        """Raise DataError where the features are not this model's."""
        from kerastricks.features.extractor import Extractor, weights_digest

        have = {layer.name for layer in model.layers}
        if (
            set(self.layers) <= have
            and weights_digest(Extractor(model, self.layers, self.record["pool"]).model)
            == self.record["model"]["weights"]
        ):
            return
        raise DataError(
            f"{self.path}: features of another model, {self.record['model']['name']}, or of other weights of "
            f"{model.name}: compute them again"
        )

    def _check_split(self, split: str) -> None:
        if split not in self.record["splits"]:
            raise UnknownNameError(f"split in {self.path}", split, self.splits)

    def __repr__(self) -> str:
        return f"Features({str(self.path)!r}, layers={self.layers}, images={self.record['splits']})"


def _read(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path / RECORD)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no features inside (no {RECORD}): `kerastricks features` writes them") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path / RECORD}: cannot be read ({error}): compute the features again") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path / RECORD}: was not written by `kerastricks features`")
    if record.get("version") != VERSION:
        raise DataError(
            f"{path / RECORD}: version {record.get('version')!r} of the format, and {VERSION} is known: compute the "
            f"features again"
        )
    return record


def _map(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.shape != tuple(shape) or found.dtype != dtype:
        raise ValueError(f"{path.parent.name}/{path.name} is {found.shape} {found.dtype}, not {tuple(shape)} {dtype}")
    return found


def _names(path: Path, count: int) -> list[str]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        names = file.read().split("\n")[:-1]
    if len(names) != count:
        raise ValueError(f"{path.parent.name}/{path.name} has {len(names)} names of {count}")
    return names
