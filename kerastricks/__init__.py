"""The must-know tricks for training deep image classifiers, on Keras 3 and TensorFlow.

Importing this package loads neither Keras nor TensorFlow nor NumPy: public names load on first use. What it
adds to Keras (layers, initializers, losses, schedules) is registered with Keras's serialization at once
where Keras is already imported, and otherwise the moment it is; the order of the two imports is free.
"""

import importlib
from typing import TYPE_CHECKING, Any

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
    "data_check",
    "doctor",
    "ensemble",
    "errors",
    "features",
    "finetuning",
    "imbalance",
    "initializers",
    "interop",
    "layers",
    "losses",
    "metrics",
    "models",
    "probes",
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

if TYPE_CHECKING:
    from kerastricks import activations as activations
    from kerastricks import augment as augment
    from kerastricks import callbacks as callbacks
    from kerastricks import checks as checks
    from kerastricks import comparison as comparison
    from kerastricks import data as data
    from kerastricks import data_check as data_check
    from kerastricks import doctor as doctor
    from kerastricks import ensemble as ensemble
    from kerastricks import features as features
    from kerastricks import finetuning as finetuning
    from kerastricks import imbalance as imbalance
    from kerastricks import initializers as initializers
    from kerastricks import interop as interop
    from kerastricks import layers as layers
    from kerastricks import losses as losses
    from kerastricks import metrics as metrics
    from kerastricks import models as models
    from kerastricks import probes as probes
    from kerastricks import range_test as range_test
    from kerastricks import recipes as recipes
    from kerastricks import regularizers as regularizers
    from kerastricks import runs as runs
    from kerastricks import schedules as schedules
    from kerastricks import search as search
    from kerastricks import serving as serving
    from kerastricks import training as training
    from kerastricks import weights as weights


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"kerastricks.{name}")
    raise AttributeError(f"module 'kerastricks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


keras_hook.install()
