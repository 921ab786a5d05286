"""Export of classifiers to SavedModel, ONNX and LiteRT, and their use from Python, here or on a model server."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "RemoteModel",
    "ServedModel",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "fold_batch_norm",
    "verify_export",
]

if TYPE_CHECKING:
    from kerastricks.serving.batch_norm_folding import fold_batch_norm
    from kerastricks.serving.client import RemoteModel
    from kerastricks.serving.converting import export_litert, export_onnx
    from kerastricks.serving.export import export_saved_model
    from kerastricks.serving.served_model import ServedModel
    from kerastricks.serving.verify import verify_export
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "RemoteModel": "client",
            "ServedModel": "served_model",
            "export_litert": "converting",
            "export_onnx": "converting",
            "export_saved_model": "export",
            "fold_batch_norm": "batch_norm_folding",
            "verify_export": "verify",
        },
    )
