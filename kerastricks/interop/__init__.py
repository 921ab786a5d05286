"""Model files of other Keras versions and of anybody: what is in them, and whether they are safe to import."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["FileFinding", "Inspection", "LayerSummary", "inspect"]

if TYPE_CHECKING:
    from kerastricks.interop.inspection import inspect
    from kerastricks.interop.report import FileFinding, Inspection, LayerSummary
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "FileFinding": "report",
            "Inspection": "report",
            "LayerSummary": "report",
            "inspect": "inspection",
        },
    )
