"""Penalties and bounds on kernels, and the weights that are exempt from decay."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "REGULARIZERS",
    "Regularization",
    "apply_regularization",
    "elastic_net",
    "get",
    "l1",
    "l2",
    "max_norm",
    "undecayed",
]

if TYPE_CHECKING:
    from kerastricks.regularizers.catalog import REGULARIZERS, get
    from kerastricks.regularizers.penalties import Regularization, elastic_net, l1, l2, max_norm
    from kerastricks.regularizers.regularized_models import apply_regularization
    from kerastricks.regularizers.weight_decay import undecayed
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "REGULARIZERS": "catalog",
            "Regularization": "penalties",
            "apply_regularization": "regularized_models",
            "elastic_net": "penalties",
            "get": "catalog",
            "l1": "penalties",
            "l2": "penalties",
            "max_norm": "penalties",
            "undecayed": "weight_decay",
        },
    )
