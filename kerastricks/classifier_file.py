"""Load a model from its file; errors say in one line why it was refused."""

import re
import zipfile
from pathlib import Path
from typing import Any

from kerastricks import recipes
from kerastricks.errors import KerasTricksError, ModelFileError, UsageError, first_line

_UNKNOWN = re.compile(r"Could not locate (?:class|function) '([^']+)'")
_LONGEST_REASON = 160
# Classes that `.keras` files of earlier versions may hold, and what serves instead.
REMOVED_CLASSES = {"BatchedMembers": "make the ensemble again from its members with kerastricks.ensemble.combine"}


def load_classifier(path: Path) -> Any:
    """Load a classifier without its optimizer; see `load_model_file` for its layers.

    Args:
        path: a `.keras` file.

    Returns:
        The `keras.Model`, from images (batch, height, width, channels) to (batch, classes).

    Raises:
        ModelFileError: see `load_model_file`; also for a model that does not take images or give classes.
    """
    model = load_model_file(path)
    inputs, outputs = (
        [tuple(tensor.shape) for tensor in getattr(model, which, None) or ()] for which in ("inputs", "outputs")
    )
    if [len(shape) for shape in inputs] != [4] or [len(shape) for shape in outputs] != [2]:
        raise ModelFileError(
            f"{path}: must be a classifier, from images (batch, height, width, channels) to (batch, classes). "
            f"Received: {_shapes(inputs)} to {_shapes(outputs)}: give the model.keras of a run"
        )
    return model


def load_model_file(path: Path) -> Any:
    """Load a model without its optimizer.

    A model with layers that no package registers is loaded again after the recipes in its run folder were run, which
    register them. As any recipe, they are Python: loading such a run from a stranger runs their code.

    Args:
        path: a `.keras` file.

    Returns:
        The `keras.Model`.

    Raises:
        ModelFileError: for a file that is missing, damaged or not of Keras, or with a layer that is not registered.
    """
    check_model_file(path)
    try:
        return _load(path)
    except (KerasTricksError, MemoryError):
        raise
    except Exception as error:  # whatever the layers of a file raise
        raise ModelFileError(f"{path}: {_said(error)}") from error


def check_model_file(path: Path) -> None:
    """Raise ModelFileError for a file that is no model, as far as that is seen without importing Keras.

    Args:
        path: a `.keras` file.
    """
    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder: give a .keras file, such as the model.keras inside a run folder")
    if path.exists() and not path.is_file():
        raise ModelFileError(f"{path}: is no file: give a .keras file")  # a pipe would be waited for
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file: give the model.keras of a run, or another .keras file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None
    if not start:
        raise ModelFileError(f"{path}: is damaged (empty): copy or train it again")
    if path.suffix != ".keras":
        return  # an older format, of which Keras says whether it is one
    if start[:2] != b"PK":
        raise ModelFileError(f"{path}: is not a Keras model (not a zip archive): give a .keras file")
    if not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path}: is damaged (the zip archive is cut off): copy or train it again")
    with zipfile.ZipFile(path) as archive:
        missing = {"config.json", "model.weights.h5"} - set(archive.namelist())
    if missing:
        raise ModelFileError(f"{path}: is not a Keras model (no {min(missing)} inside): give a .keras file")


def _load(path: Path) -> Any:
    import keras

    found: list[Path] = []
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, TypeError) as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is None:
            raise
        if unknown[1] in REMOVED_CLASSES:
            raise ModelFileError(
                f"{path}: holds {unknown[1]!r}, which was removed: {REMOVED_CLASSES[unknown[1]]}"
            ) from None
        found = recipes.beside(path)
        if not found:
            raise ModelFileError(
                f"{path}: holds {unknown[1]!r}, which is no class or function of Keras or kerastricks: keep the file "
                "in its run folder, beside the recipe.py that registers it"
            ) from error
    try:
        for recipe in found:
            recipes.load(recipe)
    except UsageError as error:
        raise ModelFileError(str(error)) from error
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, TypeError) as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is None:
            raise
        raise ModelFileError(
            f"{path}: holds {unknown[1]!r}, which {', '.join(recipe.name for recipe in found)} beside it does not "
            "register: decorate its class or function with @keras.saving.register_keras_serializable()"
        ) from error


def _said(error: Exception) -> str:
    """Reason of an error: Keras puts the configuration of the whole model before it, and that of the layer after it."""
    text = str(error)
    if "safe_mode" in text and "ambda" in text:
        return "holds a Lambda, which is Python code that is not run: write a keras.layers.Layer instead"
    text = text.rpartition("Exception encountered: ")[2].partition(" Full object config:")[0]
    reason = first_line(text) or type(error).__name__
    return f"is damaged, or not a Keras model ({reason[:_LONGEST_REASON]}): copy or train it again"


def _shapes(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes)) or "no fixed shape"
