"""Model files that must be refused: `build(folder)` makes all of them; their payloads are harmless.

Each is the smallest valid model with one thing changed, and the code of the finding that refuses it.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

METADATA = b'{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}'
CASES: dict[str, tuple[str, Callable[[Path], Path]]] = {}


def case(code, *, suffix=".keras"):
    """Register a builder: it gets the path to write, and may return another."""

    def register(build):
        def made(folder):
            path = folder / f"{build.__name__}{suffix}"
            return build(path) or path

        CASES[build.__name__] = (code, made)
        return build

    return register


def layer(kind="Dense", module="keras.layers", registered=None, /, **config):
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered}


def config_of(*layers, **more):
    input_layer = layer("InputLayer", batch_shape=[None, 3], dtype="float32", name="input")
    layers = [input_layer, *(layers or [layer("Dense", units=2, activation="relu")])]
    return {**layer("Sequential", "keras", name="model", layers=layers), **more}


def weights(change=None):
    """A file of weights in bytes, after `change(file)`."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.zeros((3, 2), "float32")
        group["1"] = np.zeros(2, "float32")
        if change is not None:
            change(file)
    return stream.getvalue()


def archive(path, config=None, raw=None, data=None, compression=zipfile.ZIP_STORED):
    text = raw if raw is not None else json.dumps(config or config_of()).encode()
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("metadata.json", METADATA)
        file.writestr("config.json", text)
        file.writestr("model.weights.h5", data or weights())


def old(path, config=None, raw=None, change=None):
    """A whole model in HDF5, as Keras 2 writes it."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = raw if raw is not None else json.dumps(config or old_config())
        file.create_group("model_weights/dense/dense")["kernel:0"] = np.zeros((3, 2), "float32")
        if change is not None:
            change(file)


def old_config(kind="Dense", /, **config):
    layers = [{"class_name": kind, "config": {"name": "dense", "units": 2, **config}}]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}


def build(folder: Path) -> dict[str, tuple[str, Path]]:
    """Make all cases in a folder: name to code and path."""
    return {name: (code, make(folder)) for name, (code, make) in CASES.items()}
