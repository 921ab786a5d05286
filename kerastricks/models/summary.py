"""Summary of a model by the size of its maps, and its multiply-adds for one image, as papers count them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import keras

from kerastricks.models.calls import Call, Shape, calls, shape_text

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def count_flops(model: keras.Model) -> int:
    """Counts the multiply-adds of a model for one image.

    One multiplication with one addition is one, as papers on architectures count ("FLOPs" of ResNet-50: 3.8 to 4.1
    billion); counted are `Conv2D`, `DepthwiseConv2D`, `SeparableConv2D`, `Conv2DTranspose` and `Dense`, without
    their biases. Activations, normalisation, pooling and additions are left out, as papers do. A layer that is
    called twice counts twice; nested models are looked into.

    Args:
        model: functional or Sequential, built for a fixed image size.

    Returns:
        The number of multiply-adds.

    Raises:
        ValueError: for a model that is neither, or leaves the image size open.

    Example:
        >>> import keras
        >>> from kerastricks.models.summary import count_flops
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")])
        >>> count_flops(model) == 8 * 8 * 3 * 3 * 3 * 4
        True
    """
    return sum(multiply_adds(call) for call in calls(model))


def multiply_adds(call: Call) -> int:
    """Multiply-adds of one call of a layer for one image; 0 for layers that are not counted."""
    layer, inputs, outputs = call.layer, call.inputs, call.outputs
    if isinstance(layer, keras.layers.Dense):
        return _places(outputs[0][1:], layer) * int(inputs[0][-1] or 0)
    if not isinstance(layer, _CONVOLUTIONS):
        return 0
    # Transposed convolutions multiply at each pixel of the input, others at each of the output.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    first = layer.data_format == "channels_first"
    shape = (inputs if transposed else outputs)[0]
    pixels = _places(shape[2:] if first else shape[1:-1], layer)
    if isinstance(layer, keras.layers.SeparableConv2D):
        return pixels * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape))
    return pixels * prod(layer.kernel.shape)


def _places(shape: Shape, layer: Any) -> int:
    if None in shape:
        raise ValueError(f"model must be for one image size. Received: layer {layer.name!r} of shape {shape}")
    return prod(size for size in shape if size is not None)


@dataclass(frozen=True)
class Stage:
    """All layers whose maps have one size.

    Args:
        first: name of the first layer.
        last: name of the last layer.
        layers: what they are, "6 conv 3x3, 1 max pool 2x2/2"; without normalisation and activations.
        output: of the last, "56x56x256".
        parameters: trainable weights.
        flops: multiply-adds for one image.
    """

    first: str
    last: str
    layers: str
    output: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class ModelSummary:
    """Parts and cost of a model.

    Args:
        name: of the model.
        input: "224x224x3".
        classes: outputs of the model.
        parameters: trainable weights.
        frozen: weights that are not trained, such as the statistics of batch normalisation.
        flops: multiply-adds for one image.
        stages: from the pixels on.
    """

    name: str
    input: str
    classes: int
    parameters: int
    frozen: int
    flops: int
    stages: tuple[Stage, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}


def summarize(model: keras.Model) -> ModelSummary:
    """Adds up the layers of a model for each size of its maps.

    Args:
        model: functional or Sequential, built for a fixed image size.

    Returns:
        A `ModelSummary`.

    Raises:
        ValueError: for a model that is neither, or leaves the image size open.
    """
    groups: dict[Shape, list[Call]] = {}
    key: Shape = ()
    for call in calls(model):
        shape = call.outputs[0]
        size = shape[1:-1]
        # What has no weights and makes no room for some, such as the pools of a pyramid, belongs to what is before it.
        key = size if size in groups or not groups or len(shape) == 2 or _weights(call.layer) else key
        groups.setdefault(key, []).append(call)
    counted: set[int] = set()
    stages = tuple(_stage(size, group, counted) for size, group in groups.items())
    return ModelSummary(
        name=model.name,
        input=shape_text(model.inputs[0].shape),
        classes=int(model.outputs[0].shape[-1]),
        parameters=sum(stage.parameters for stage in stages),
        frozen=_count(model.non_trainable_weights),
        flops=sum(stage.flops for stage in stages),
        stages=stages,
    )


def _stage(size: Shape, group: Sequence[Call], counted: set[int]) -> Stage:
    kinds = Counter(kind for kind in (_kind(call.layer) for call in group) if kind)
    parameters = 0
    for call in group:
        for weight in getattr(call.layer, "trainable_weights", []):
            parameters += _count([weight]) if id(weight) not in counted else 0
            counted.add(id(weight))
    return Stage(
        first=group[0].name,
        last=group[-1].name,
        layers=", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        output=shape_text([call.outputs[0] for call in group if call.outputs[0][1:-1] == size][-1]),
        parameters=parameters,
        flops=sum(multiply_adds(call) for call in group),
    )


def _kind(layer: Any) -> str:
    """ "conv 3x3/2"; "" for what is not listed."""
    for kind, name in (
        (keras.layers.DepthwiseConv2D, "depthwise"),
        (keras.layers.SeparableConv2D, "separable"),
        (keras.layers.Conv2DTranspose, "transposed"),
        (keras.layers.Conv2D, "conv"),
    ):
        if isinstance(layer, kind):
            return f"{name} {_size(layer.kernel_size, layer.strides, 1)}"
    for kind, name in ((keras.layers.MaxPooling2D, "max pool"), (keras.layers.AveragePooling2D, "average pool")):
        if isinstance(layer, kind):
            return f"{name} {_size(layer.pool_size, layer.strides, 0)}"
    return "dense" if isinstance(layer, keras.layers.Dense) else ""


def _size(kernel: Sequence[int], strides: Sequence[int], usual: int) -> str:
    """ "3x3/2": of stride 2."""
    return "x".join(map(str, kernel)) + (f"/{max(strides)}" if max(strides) != usual else "")


def _weights(layer: Any) -> bool:
    return bool(getattr(layer, "weights", None))


def _count(weights: Sequence[Any]) -> int:
    return sum(prod(weight.shape) for weight in weights)
