"""The zoo: classifiers by name, `create("resnet_20", input_shape=(32, 32, 3), classes=10)`."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["CATALOG", "MODELS", "create"]

if TYPE_CHECKING:
    from kerastricks.models.catalog import CATALOG, MODELS
    from kerastricks.models.creation import create
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"CATALOG": "catalog", "MODELS": "catalog", "create": "creation"},
    )
