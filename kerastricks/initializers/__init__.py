"""Initializers: one per file, and those that look at data: `lsuv`, `whiten_patches`, `start_from_data`."""

from kerastricks.lazy import attach

__all__ = [
    "LSUV",
    "DeltaOrthogonal",
    "Dirac",
    "FanIn",
    "HeNormal",
    "HeUniform",
    "PatchWhitening",
    "SmallNormal",
    "SmallUniform",
    "XavierNormal",
    "XavierUniform",
    "fans",
    "get",
    "lsuv",
    "start_from_data",
    "whiten_patches",
]

__getattr__, __dir__, load_all = attach(
    __name__,
    {
        "DeltaOrthogonal": "orthogonal",
        "Dirac": "dirac",
        "FanIn": "fan_family",
        "HeNormal": "he_normal",
        "HeUniform": "he_uniform",
        "LSUV": "lsuv_initializer",
        "PatchWhitening": "patch_whitening",
        "SmallNormal": "small",
        "SmallUniform": "small_uniform",
        "XavierNormal": "xavier_normal",
        "XavierUniform": "xavier_uniform",
        "fans": "fan_sizes",
        "get": "catalog",
        "lsuv": "data_driven",
        "start_from_data": "start_from_data",
        "whiten_patches": "patch_whitening",
    },
)
