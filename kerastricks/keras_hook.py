"""Register the custom objects with Keras: now if Keras is imported, otherwise right after it is.

`keras.models.load_model` can only find classes that are registered, and importing Keras here would cost
every `import kerastricks` several seconds. wrapt's post-import hooks do the same but take 0.1 s to import.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from kerastricks.errors import ConfigError, UsageError, first_line

# What the code is written for. `~/.keras/keras.json` may say otherwise: irrelevant to a command and the processes it
# starts, which have this variable; in Python the settings are the user's, and `check_settings` refuses them.
SETTINGS = {"image_data_format": "channels_last", "floatx": "float32"}
COMMAND = "KERASTRICKS_COMMAND"  # set by `kerastricks.cli`

PACKAGES_WITH_CUSTOM_OBJECTS = (
    "kerastricks.activations",
    "kerastricks.augment",
    "kerastricks.layers",
    "kerastricks.initializers",
    "kerastricks.losses",
    "kerastricks.schedules",
)
# By itself, since the other modules of its package are used without Keras.
MODULES_WITH_CUSTOM_OBJECTS = ("kerastricks.metrics.class_metrics",)


def register_custom_objects() -> None:
    """Import every module that registers a class with Keras."""
    for package in PACKAGES_WITH_CUSTOM_OBJECTS:
        importlib.import_module(package).load_all()
    for module in MODULES_WITH_CUSTOM_OBJECTS:
        importlib.import_module(module)


def check_settings() -> None:
    """Raise ConfigError where Keras is set to a layout or precision that models are not written for."""
    for name, wanted in SETTINGS.items():
        found = getattr(sys.modules["keras"].config, name)()
        if found != wanted:
            raise ConfigError(
                f"{name} of Keras must be {wanted!r} (keras.config.set_{name}, ~/.keras/keras.json). "
                f"Received: {found!r}"
            )


def refusal(error: Exception) -> UsageError | None:
    """The error of a command where the user's settings keep Keras from being imported; None where there are none."""
    settings = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "keras.json"
    if COMMAND not in os.environ or not (settings.exists() or "KERAS_BACKEND" in os.environ):
        return None
    said = first_line(error) if str(error) else "a setting has an illegal value"
    return UsageError(f"Keras cannot be imported ({said}): see {settings} and KERAS_BACKEND")


class _RegisteringLoader(Loader):
    """Run Keras's own loader, then registers."""

    def __init__(self, loader: Loader, finder: "_KerasFinder") -> None:
        self.loader = loader
        self.finder = finder

    def __getattr__(self, name: str) -> Any:  # whoever only inspects the spec sees Keras's loader
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        try:
            self.loader.exec_module(module)
        except Exception as error:  # whatever Keras meets in a file that it takes for a dictionary of its settings
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from error
        # Only now: an import that failed (a backend that is missing) may be tried again.
        sys.meta_path.remove(self.finder)
        if COMMAND in os.environ:
            for name, wanted in SETTINGS.items():
                getattr(module.config, f"set_{name}")(wanted)
        register_custom_objects()


class _KerasFinder(MetaPathFinder):
    searching = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras" or self.searching:
            return None
        self.searching = True  # the look-up below comes through here again
        try:
            spec = find_spec(name)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)
        return spec


def install() -> None:
    """Registers now or on the import of Keras; calling it again changes nothing."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        register_custom_objects()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())
