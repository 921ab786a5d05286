"""Model server over a folder of SavedModels: TensorFlow Serving's REST and gRPC, and the Open Inference Protocol."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["ServeOptions", "serve"]

if TYPE_CHECKING:
    from kerastricks.serving.server.options import ServeOptions
    from kerastricks.serving.server.run import serve
else:
    __getattr__, __dir__, load_all = attach(__name__, {"ServeOptions": "options", "serve": "run"})
