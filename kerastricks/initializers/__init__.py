"""Initializers: one per file."""

from kerastricks.lazy import attach

__all__ = ["PatchWhitening", "whiten_patches"]

__getattr__, __dir__, load_all = attach(
    __name__, {"PatchWhitening": "patch_whitening", "whiten_patches": "patch_whitening"}
)
