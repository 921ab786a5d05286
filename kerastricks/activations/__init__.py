"""Activations by name, as layers, with the gain that belongs to each."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["ACTIVATIONS", "KerasFunction", "gain", "get"]

if TYPE_CHECKING:
    from kerastricks.activations.catalog import ACTIVATIONS
    from kerastricks.activations.gains import gain
    from kerastricks.activations.lookup import KerasFunction, get
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"ACTIVATIONS": "catalog", "KerasFunction": "lookup", "gain": "gains", "get": "lookup"},
    )
