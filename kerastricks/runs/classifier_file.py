"""A model's file, opened, or refused in a line."""

import zipfile
from pathlib import Path

import keras

from kerastricks import recipes
from kerastricks.errors import RunFolderError, UsageError


def load_classifier(path: Path) -> keras.Model:
    """Loads a model without its optimizer; layers of a recipe's own are those of the recipe in the run's folder.

    Raises:
        RunFolderError: naming the file where it cannot be read.
    """
    if path.suffix == ".keras" and path.is_file() and not zipfile.is_zipfile(path):
        raise RunFolderError(f"{path}: damaged, or no Keras model (it is no whole zip archive)")
    try:
        return recipes.load_model(path)
    except UsageError as error:  # of its recipe
        raise RunFolderError(str(error)) from None
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunFolderError(f"{path}: damaged, or no Keras model ({reason[:160]})") from None
