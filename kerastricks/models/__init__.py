"""The zoo: classifiers by name, `create("resnet_20", input_shape=(32, 32, 3), classes=10)`."""

from kerastricks.lazy import attach

__all__ = ["CATALOG", "MODELS", "create"]

__getattr__, __dir__, load_all = attach(__name__, {"CATALOG": "catalog", "MODELS": "catalog", "create": "creation"})
