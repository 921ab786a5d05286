"""What the zoo holds. Plain data, so that listing and completing names imports no Keras.

A family's file has one function; a row here is that function with some of its arguments set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kerastricks.registry import Registry


@dataclass(frozen=True)
class ModelEntry:
    """One row of the zoo.

    Args:
        family: "module:function" that builds the layers between pixels and features.
        config: arguments of that function which make this model of the family.
        parameters: weights at 32x32x3 and ten classes (a test counts them).
        input_size: the side in pixels the model is meant for.
        summary: one line.
        paper: where it is from.
    """

    family: str
    config: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    input_size: int = 32
    summary: str = ""
    paper: str = ""


_RESNET = "kerastricks.models.resnet_cifar:resnet_cifar"

CATALOG: dict[str, ModelEntry] = {
    "mlp": ModelEntry(
        "kerastricks.models.mlp:mlp", {}, 427_658, 32, "dense layers, any depth, no normalisation", "He et al. 2015"
    ),
    "nin": ModelEntry("kerastricks.models.nin:nin", {}, 966_986, 32, "Network in Network", "Lin, Chen, Yan 2014"),
    "plain_cnn": ModelEntry(
        "kerastricks.models.plain_cnn:plain_cnn",
        {},
        1_532_202,
        32,
        "3x3, stride 1, 2x2 pooling, any depth",
        "Simonyan, Zisserman 2015; Jordan 2024",
    ),
    "resnet_20": ModelEntry(_RESNET, {"depth": 20}, 271_098, 32, "the CIFAR residual network", "He et al. 2016"),
    "resnet_32": ModelEntry(_RESNET, {"depth": 32}, 466_426, 32, "the CIFAR residual network", "He et al. 2016"),
    "resnet_56": ModelEntry(_RESNET, {"depth": 56}, 857_082, 32, "the CIFAR residual network", "He et al. 2016"),
}

MODELS = Registry("model", {name: entry.family for name, entry in CATALOG.items()}, "kerastricks models")
