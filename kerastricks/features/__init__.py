"""Feature extraction: layer outputs of a network, computed once, as memory-mapped arrays."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["Features", "cached", "compute"]

if TYPE_CHECKING:
    from kerastricks.features.caching import cached
    from kerastricks.features.extraction import compute
    from kerastricks.features.folder import Features
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {"Features": "folder", "cached": "caching", "compute": "extraction"},
    )
