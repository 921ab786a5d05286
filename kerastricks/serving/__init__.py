"""Export to SavedModel, and use of what was exported."""

from kerastricks.lazy import attach

__all__ = ["ServedModel", "export_saved_model", "fold_batch_norm", "verify_export"]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "ServedModel": "served_model",
        "export_saved_model": "export",
        "fold_batch_norm": "batch_norm_folding",
        "verify_export": "verify",
    },
)
