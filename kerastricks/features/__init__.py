"""What a network makes of images, computed once: outputs of its layers in memory-mapped arrays."""

from kerastricks.lazy import attach

__all__ = ["Features", "cached", "compute"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {"Features": "folder", "cached": "caching", "compute": "extraction"},
)
