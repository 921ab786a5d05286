"""Activations by name, as layers, with the gain that belongs to each."""

from kerastricks.lazy import attach

__all__ = ["ACTIVATIONS", "KerasFunction", "gain", "get"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {"ACTIVATIONS": "catalog", "KerasFunction": "keras_function", "gain": "gains", "get": "lookup"},
)
