"""Penalties and bounds on kernels, and which weights are left alone: one per file."""

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

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "REGULARIZERS": "catalog",
        "Regularization": "regularization",
        "apply_regularization": "regularized_models",
        "elastic_net": "elastic_net",
        "get": "catalog",
        "l1": "l1",
        "l2": "l2",
        "max_norm": "penalties",
        "undecayed": "weight_decay",
    },
)
