"""The whole state of a training in one file, written atomically.

A `.keras` file has no place for dropout's seed generators, callbacks or the position in the data, and Keras's
`BackupAndRestore` saves weights and epoch only.
"""

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.errors import CheckpointError, first_line
from kerastricks.files import replacing, says_full
from kerastricks.keras_graph import all_layers
from kerastricks.training.device import DevicePixels
from kerastricks.training.distillation import Teacher

FILE_NAME = "checkpoint.npz"
_GROUPS = ("model", "optimizer", "metrics")


@dataclass(frozen=True)
class Position:
    """Progress of a training.

    Args:
        step: optimizer steps in all.
        stopped: a callback ended the training; only the callbacks' own end is left.
        finished: nothing is left.
    """

    step: int = 0
    stopped: bool = False
    finished: bool = False


def save(path: Path, model: keras.Model, callbacks: Iterable[keras.callbacks.Callback], position: Position) -> None:
    """Writes weights, optimizer, metrics, random state, callbacks and position.

    Raises:
        CheckpointError: where the disk does not take it; the file that was there before is still there.
    """
    arrays: dict[str, np.ndarray] = {}
    for group, variables in _variables(model).items():
        for index, variable in enumerate(variables):
            arrays[f"{group}/{index:04d}"] = keras.ops.convert_to_numpy(variable.value)
    states = [_callback_state(callback, f"callback/{i}", arrays) for i, callback in enumerate(callbacks)]
    record = {"position": asdict(position), "callbacks": states}
    arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    write_whole(path, arrays)


def write_whole(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays atomically, and forces them to disk."""
    try:
        with replacing(path, durable=True) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        reason = says_full(error) or error.strerror or first_line(error)
        kept = "the last good checkpoint is still there" if path.exists() else "there is no earlier one"
        raise CheckpointError(f"{path}: checkpoint not written, {reason}; {kept}: make room and use --resume") from None


def read_position(path: Path) -> Position:
    """The position of a checkpoint's run; the beginning without one."""
    if not path.exists():
        return Position()
    with _open(path) as file:
        record = json.loads(file["record"].tobytes())
    return Position(**record["position"])


def restore(path: Path, model: keras.Model, callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Restores all but the running metrics into a model that is built and compiled alike.

    Raises:
        CheckpointError: for a file that does not belong to this model.
    """
    with _open(path) as file:
        record = json.loads(file["record"].tobytes())
        for group, variables in _variables(model).items():
            _assign(path, group, variables, file)
        for callback, state in zip(callbacks, record["callbacks"], strict=True):
            for name, value in state.items():
                setattr(callback, name, _unpack(value, file))


def restore_metrics(path: Path, model: keras.Model) -> None:
    """Restores the running metrics of an unfinished epoch; Keras resets them at the start of each epoch."""
    with _open(path) as file:
        _assign(path, "metrics", model.metrics_variables, file)


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    # model.variables holds the metrics' too, those of dropout's seed generators, the training images, a teacher.
    other = {id(variable) for variable in model.metrics_variables}
    for layer in all_layers(model):
        if isinstance(layer, DevicePixels | Teacher):
            other |= {id(variable) for variable in layer.variables}
    own = [variable for variable in model.variables if id(variable) not in other]
    return dict(zip(_GROUPS, (own, model.optimizer.variables, model.metrics_variables), strict=True))


def _assign(path: Path, group: str, variables: list[Any], file: Any) -> None:
    names = [name for name in file.files if name.startswith(f"{group}/")]
    if len(names) != len(variables):
        raise CheckpointError(
            f"{path}: holds {len(names)} {group} variables where this model has {len(variables)}: it is another's"
        )
    for name, variable in zip(sorted(names), variables, strict=True):
        value = file[name]
        if value.shape != tuple(variable.shape):
            raise CheckpointError(f"{path}: {name} has shape {value.shape}, expected {tuple(variable.shape)}")
        variable.assign(value)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except CheckpointError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{path}: damaged ({reason}): delete it to start the run again") from None


def _callback_state(callback: keras.callbacks.Callback, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The plain attributes of a callback: numbers, strings, arrays, and lists and dictionaries of them."""
    state = {}
    for name, value in vars(callback).items():
        if name in ("_model", "model", "params", "validation_data"):
            continue
        try:
            state[name] = _pack(value, f"{prefix}/{name}", arrays)
        except TypeError:
            continue  # a function, a file: recreated with the callback
    return state


def _pack(value: Any, key: str, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if np.asarray(value).dtype == object:
            raise TypeError
        arrays[key] = np.asarray(value)
        return {"array": key}
    if isinstance(value, list | tuple):
        return {"list": [_pack(item, f"{key}/{i}", arrays) for i, item in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: _pack(item, f"{key}/{name}", arrays) for name, item in value.items()}}
    raise TypeError


def _unpack(value: Any, file: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return file[value["array"]]
    if "list" in value:
        return [_unpack(item, file) for item in value["list"]]
    return {name: _unpack(item, file) for name, item in value["dict"].items()}
