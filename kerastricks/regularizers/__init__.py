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
        "REGULARIZERS": "get",
        "Regularization": "regularization",
        "apply_regularization": "apply_regularization",
        "elastic_net": "elastic_net",
        "get": "get",
        "l1": "l1",
        "l2": "l2",
        "max_norm": "max_norm",
        "undecayed": "undecayed",
    },
)
