"""Recipes: files in pipelines/ that a user reads, copies and runs.

A recipe is a Python file whose docstring opens with the command, the score and the wall time, with a dictionary
`CONFIG` of fields of `kerastricks.training.Config`, and, if it wants its own network, a function
`create_model(data, config) -> keras.Model`.
"""

import ast
import os
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerastricks.bounds import shown
from kerastricks.errors import UnknownNameError, UsageError
from kerastricks.files import replacing

_PACKAGE = Path(__file__).parent
# In a wheel beside the package, in an editable install and a checkout beside its parent.
FOLDERS = (_PACKAGE / "_recipes", _PACKAGE.parent / "pipelines")


@dataclass(frozen=True)
class Recipe:
    """A recipe file, loaded.

    Args:
        name: the file's name without .py.
        path: the file.
        summary: the first line of its docstring.
        config: fields of `Config`.
        create_model: its own network, or None for the one that `config` names.
    """

    name: str
    path: Path
    summary: str
    config: dict[str, Any] = field(default_factory=dict)
    create_model: Callable[..., Any] | None = None

    @property
    def data(self) -> Any:
        """Source of images that the recipe names."""
        if "data" not in self.config:
            raise UsageError(f"{self.path}: CONFIG names no data: give it on the command line, --set data=PATH")
        return self.config["data"]


def names() -> list[str]:
    """Names of the recipes that come with kerastricks."""
    return sorted(path.stem for path in _folder().glob("*.py"))


def find(name: str | Path) -> Path:
    """Find the file of a recipe by its name, or by its path.

    Raises:
        UnknownNameError: for neither.
    """
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"{path}: no such recipe file")
        return path
    if str(name) not in names():
        raise UnknownNameError("recipe", str(name), names(), "kerastricks recipe list")
    return _folder() / f"{name}.py"


def text_of(name: str | Path) -> str:
    """Read a recipe's text.

    Raises:
        UnknownNameError: for a name that is neither a recipe nor a file.
        UsageError: for a file that is not valid UTF-8.
    """
    path = find(name)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None


def summary(name: str | Path) -> str:
    """Read the first line of a recipe's docstring, without running it."""
    text = ast.get_docstring(ast.parse(text_of(name))) or ""
    return text.split("\n")[0]


def load(name: str | Path) -> Recipe:
    """Run a recipe file and take its `CONFIG` and `create_model`.

    Raises:
        UnknownNameError: for a name that is neither a recipe nor a file.
        UsageError: for a file that fails or has no CONFIG.
    """
    path = find(name)
    text_of(path)
    try:
        with contained():
            found = runpy.run_path(str(path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file does
        where = _line_of(error, path)
        raise UsageError(f"{path}{where}: {type(error).__name__}: {error}") from error
    config, create_model = found.get("CONFIG"), found.get("create_model")
    if not isinstance(config, dict):
        raise UsageError(f"{path}: no dictionary CONFIG: start from `kerastricks recipe copy folder .`")
    config = dict(config)
    unnamed = next((name for name in config if not isinstance(name, str)), None)
    if unnamed is not None:
        raise UsageError(f"{path}: names in CONFIG must be text. Received: {shown(unnamed)}")
    if create_model is not None and not callable(create_model):
        raise UsageError(f"{path}: create_model must be a function. Received: {shown(create_model)}")
    return Recipe(path.stem, path, summary(path), config, create_model)


def of_source(source: str | Path) -> Recipe | None:
    """The recipe that a source of images stands for; None for data. A file or folder wins over a recipe's name.

    Raises:
        UsageError: for a recipe file that fails or has no CONFIG.
    """
    if Path(source).suffix == ".py" or (not os.path.exists(source) and str(source) in names()):
        return load(source)
    return None


@contextmanager
def contained() -> Iterator[None]:
    """Contain a user's code: redirect its output to standard error, and restore Keras's global settings.

    The precision of a training is the configuration's `precision`.
    """
    before = _keras_settings()
    with redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            if "keras" in sys.modules:
                import keras

                # One that was imported inside began with the settings of keras.json.
                policy, floatx, data_format = before or (None, "float32", None)
                keras.config.set_floatx(floatx)
                keras.config.set_dtype_policy(policy or floatx)
                keras.config.set_image_data_format(data_format or "channels_last")


def _keras_settings() -> tuple[Any, str, str] | None:
    if "keras" not in sys.modules:
        return None
    import keras

    return keras.config.dtype_policy(), keras.config.floatx(), keras.config.image_data_format()


def beside(model: Path) -> list[Path]:
    """Find the recipes in the run folder of a model, which may register its layers.

    Args:
        model: path `RUN/model.keras`, or a file in `RUN/members`.
    """
    folder = model.resolve().parent
    run = folder.parent if folder.name == "members" else folder
    return sorted(path for path in run.glob("recipe*.py") if re.fullmatch(r"recipe(-[0-9]+)?\.py", path.name))


def copy(name: str, folder: Path) -> Path:
    """Copy a recipe into a folder, to edit it; an existing file is not overwritten.

    Raises:
        UnknownNameError: for a name that is no recipe.
        UsageError: where the file exists already, or cannot be written.
    """
    target = folder / f"{Path(name).stem}.py"
    if target.exists():
        raise UsageError(f"{target} exists already: delete it or copy to another folder")
    source = find(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(target, exclusive=True) as temporary:  # a full disk leaves no part of it
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}): copy to another folder") from None
    return target


def __getattr__(name: str) -> Any:
    if name == "load_model":
        raise AttributeError("kerastricks.recipes.load_model: write kerastricks.classifier_file.load_classifier")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _folder() -> Path:
    return next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[-1])


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    trace = error.__traceback__
    line = ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line
