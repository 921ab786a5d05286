"""The catalog of models: the zoo's own and those of `keras.applications`.

Plain data, so that listing and completing names imports no Keras. A family's file has one function; a row here is that
function with some of its arguments set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kerastricks.registry import Registry

PREFIX = "applications/"

# Name to how its pixels are prepared: "tf" scales to [-1, 1]; "torch" takes off ImageNet's mean and divides by its
# standard deviation, in RGB; "caffe" takes off the mean, in BGR; "inside": the network does it itself.
APPLICATIONS: dict[str, str] = {
    **dict.fromkeys([f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge")], "inside"),
    **dict.fromkeys(["DenseNet121", "DenseNet169", "DenseNet201"], "torch"),
    **dict.fromkeys([f"EfficientNetB{number}" for number in range(8)], "inside"),
    **dict.fromkeys([f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S")], "inside"),
    **dict.fromkeys(["InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2"], "tf"),
    **dict.fromkeys(["MobileNetV3Large", "MobileNetV3Small"], "inside"),
    **dict.fromkeys(["NASNetLarge", "NASNetMobile"], "tf"),
    "ResNet101": "caffe",
    "ResNet101V2": "tf",
    "ResNet152": "caffe",
    "ResNet152V2": "tf",
    "ResNet50": "caffe",
    "ResNet50V2": "tf",
    "VGG16": "caffe",
    "VGG19": "caffe",
    "Xception": "tf",
}


@dataclass(frozen=True)
class ModelEntry:
    """One row of the zoo.

    Args:
        family: "module:function" that builds the layers between pixels and features.
        config: arguments of that function which make this model of the family.
        parameters: trainable weights, as papers count them, at `input_size` with 3 channels and `classes` (a test
            counts them).
        flops: multiply-adds for one image, as papers count them, at the same size (a test counts them).
        input_size: the side in pixels the model is meant for.
        classes: number of classes at which `parameters` and `flops` are counted.
        weights: names of the pretrained weights there are: "imagenet".
        summary: one line.
        paper: where it is from.
    """

    family: str
    config: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    flops: int = 0
    input_size: int = 32
    classes: int = 10
    weights: tuple[str, ...] = ()
    summary: str = ""
    paper: str = ""


def _small(family: str, config: Mapping[str, Any], parameters: int, flops: int, summary: str, paper: str) -> ModelEntry:
    """A model for 32 pixels, counted at ten classes."""
    return ModelEntry(f"kerastricks.models.{family}", config, parameters, flops, 32, 10, (), summary, paper)


def _large(family: str, config: Mapping[str, Any], parameters: int, flops: int, summary: str, paper: str) -> ModelEntry:
    """A model for 224 pixels, counted at a thousand classes."""
    return ModelEntry(f"kerastricks.models.{family}", config, parameters, flops, 224, 1000, (), summary, paper)


def _plain(network: str, parameters: int, flops: int) -> ModelEntry:
    summary = "deep, no normalisation"
    return _large("plain:plain", {"network": network}, parameters, flops, summary, "He et al. 2015")


def _vgg(depth: int, parameters: int, flops: int) -> ModelEntry:
    summary = "3x3, batch norm"
    return _large("vgg:vgg", {"depth": depth}, parameters, flops, summary, "Simonyan et al. 2015")


def _efficientnet_lite(config: Mapping[str, Any], parameters: int, flops: int, side: int) -> ModelEntry:
    family = "kerastricks.models.efficientnet_lite:efficientnet_lite"
    return ModelEntry(
        family, config, parameters, flops, side, 1000, ("imagenet",), "depthwise, for phones", "Tan, Le 2019"
    )


def _resnet(depth: int, parameters: int, flops: int) -> ModelEntry:
    summary = "residual, 4 variants"
    return _large("resnet:resnet", {"depth": depth}, parameters, flops, summary, "He et al. 2016, 2019")


def _resnet_cifar(depth: int, parameters: int, flops: int) -> ModelEntry:
    summary = "residual, for CIFAR"
    return _small("resnet_cifar:resnet_cifar", {"depth": depth}, parameters, flops, summary, "He et al. 2016")


def _wide_resnet(depth: int, width: int, parameters: int, flops: int) -> ModelEntry:
    config = {"depth": depth, "width": width}
    summary = f"residual, {width}x wide"
    return _small("wide_resnet:wide_resnet", config, parameters, flops, summary, "Zagoruyko et al. 2016")


CATALOG: dict[str, ModelEntry] = {
    "airbench": _small("airbench:airbench", {}, 1_971_362, 118_147_360, "seconds on a GPU", "Jordan 2024"),
    "efficientnet_lite0": _efficientnet_lite({}, 4_652_008, 385_187_552, 224),
    "efficientnet_lite1": _efficientnet_lite({"depth": 1.1}, 5_416_680, 600_185_232, 240),
    "efficientnet_lite2": _efficientnet_lite({"width": 1.1, "depth": 1.2, "dropout": 0.3}, 6_092_072, 859_736_272, 260),
    "mlp": _small("mlp:mlp", {}, 427_658, 427_264, "dense layers", "He et al. 2015"),
    "nin": _small("nin:nin", {}, 966_986, 222_365_568, "Network in Network", "Lin et al. 2014"),
    "plain_22": _plain("22", 183_327_080, 23_219_904_512),
    "plain_30": _plain("30", 79_192_296, 2_557_165_568),
    "plain_cnn": _small(
        "plain_cnn:plain_cnn",
        {},
        1_529_866,
        111_184_384,
        "3x3, any depth",
        "Simonyan et al. 2015",
    ),
    "resnet_18": _resnet(18, 11_708_744, 2_053_713_920),
    "resnet_34": _resnet(34, 21_816_904, 3_903_401_984),
    "resnet_50": _resnet(50, 25_576_264, 4_328_824_832),
    "resnet_20": _resnet_cifar(20, 269_722, 40_551_040),
    "resnet_32": _resnet_cifar(32, 464_154, 68_862_592),
    "resnet_56": _resnet_cifar(56, 853_018, 125_485_696),
    "resnet_110": _resnet_cifar(110, 1_727_962, 252_887_680),
    "vgg_11": _vgg(11, 9_738_984, 7_485_968_384),
    "vgg_13": _vgg(13, 9_923_880, 11_185_344_512),
    "vgg_16": _vgg(16, 15_236_136, 15_347_142_656),
    "vgg_19": _vgg(19, 20_548_392, 19_508_940_800),
    "wide_resnet_16_8": _wide_resnet(16, 8, 10_961_370, 1_548_145_664),
    "wide_resnet_28_10": _wide_resnet(28, 10, 36_479_194, 5_243_328_768),
    "wide_resnet_40_4": _wide_resnet(40, 4, 8_949_210, 1_298_582_016),
}

MODELS = Registry(
    "model",
    {
        **{name: entry.family for name, entry in CATALOG.items()},
        **{PREFIX + name: f"kerastricks.models.applications:{name}" for name in APPLICATIONS},
    },
    "kerastricks models",
)
