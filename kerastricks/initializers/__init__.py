"""Initializers, a family per module, and those that look at data: `lsuv`, `whiten_patches`, `start_from_data`."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from kerastricks.initializers.catalog import get
    from kerastricks.initializers.data_driven import lsuv, start_from_data
    from kerastricks.initializers.fan_family import FanIn, HeNormal, HeUniform, XavierNormal, XavierUniform
    from kerastricks.initializers.fan_sizes import fans
    from kerastricks.initializers.lsuv_kernels import LSUV
    from kerastricks.initializers.orthogonal import DeltaOrthogonal, Dirac
    from kerastricks.initializers.patch_whitening import PatchWhitening, whiten_patches
    from kerastricks.initializers.small import SmallNormal, SmallUniform
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "DeltaOrthogonal": "orthogonal",
            "Dirac": "orthogonal",
            "FanIn": "fan_family",
            "HeNormal": "fan_family",
            "HeUniform": "fan_family",
            "LSUV": "lsuv_kernels",
            "PatchWhitening": "patch_whitening",
            "SmallNormal": "small",
            "SmallUniform": "small",
            "XavierNormal": "fan_family",
            "XavierUniform": "fan_family",
            "fans": "fan_sizes",
            "get": "catalog",
            "lsuv": "data_driven",
            "start_from_data": "data_driven",
            "whiten_patches": "patch_whitening",
        },
    )
