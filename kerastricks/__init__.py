"""The must-know tricks for training deep image classifiers, on Keras 3 and TensorFlow.

Importing this package loads neither Keras nor TensorFlow nor NumPy: public names load on first use. What it
adds to Keras (layers, initializers, losses, schedules) is registered with Keras's serialization at once
where Keras is already imported, and otherwise the moment it is; the order of the two imports is free.
"""

import importlib
from typing import Any

from kerastricks import keras_hook
from kerastricks.errors import KerasTricksError

__version__ = "0.1.0"

__all__ = [
    "KerasTricksError",
    "__version__",
    "activations",
    "augment",
    "callbacks",
    "checks",
    "comparison",
    "data",
    "ensemble",
    "errors",
    "features",
    "finetuning",
    "initializers",
    "layers",
    "losses",
    "models",
    "range_test",
    "recipes",
    "regularizers",
    "runs",
    "schedules",
    "search",
    "serving",
    "training",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"kerastricks.{name}")
    raise AttributeError(f"module 'kerastricks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


keras_hook.install()
