"""The arithmetic of a model: multiply-adds for one image, as papers count it."""

from math import prod
from typing import Any

import keras

from kerastricks.models.calls import Call, Shape, calls

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
        >>> from kerastricks.models.flops import count_flops
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")])
        >>> count_flops(model) == 8 * 8 * 3 * 3 * 3 * 4
        True
    """
    return sum(multiply_adds(call) for call in calls(model))


def multiply_adds(call: Call) -> int:
    """Of one call of a layer for one image; 0 for what is not counted."""
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
