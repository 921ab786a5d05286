"""Trained weights: found where pip put them, read without PyTorch, converted once."""

from kerastricks.lazy import attach

__all__ = ["PRETRAINED", "find", "load_weights", "read_torch_file"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {"PRETRAINED": "catalog", "find": "files", "load_weights": "loading", "read_torch_file": "torch_file"},
)
