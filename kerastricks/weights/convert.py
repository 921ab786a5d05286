"""Conversion of PyTorch's EfficientNet-Lite to the names and layouts of the zoo's model."""

from collections.abc import Mapping

import keras
import numpy as np

from kerastricks.errors import WeightsError

_CONVOLUTION = ("weight",)
_DENSE = ("weight", "bias")
_NORM = ("weight", "bias", "running_mean", "running_var")
# After the number of a block, in the order of the zoo's.
_PARTS = {
    "expand_conv": "_expand_conv",
    "norm1": "_bn0",
    "depthwise": "_depthwise_conv",
    "norm2": "_bn1",
    "project_conv": "_project_conv",
    "norm3": "_bn2",
}
_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
    "logits": "_fc",
}


def convert_efficientnet_lite(state: Mapping[str, np.ndarray], model: keras.Model, source: str) -> dict[str, list]:
    """Convert tensors to the arrays of each layer of a model, in the order of `layer.get_weights()`.

    Convolutions change from (out, in, height, width) to (height, width, in, out), depthwise ones from
    (channels, 1, height, width) to (height, width, channels, 1), the dense layer is transposed.

    Args:
        state: result of `read_torch_file`.
        model: an EfficientNet-Lite of the zoo.
        source: name of the file, for messages.

    Returns:
        Layer names to arrays.

    Raises:
        WeightsError: for missing or remaining tensors: the file is of another network.
    """
    names = [layer.name for layer in model.layers]
    blocks = [name.removesuffix("_depthwise") for name in names if name.endswith("_depthwise")]
    wanted = {ours: theirs for ours, theirs in _ENDS.items() if ours in names}
    for number, block in enumerate(blocks):
        wanted |= {
            f"{block}_{ours}": f"_blocks.{number}.{theirs}"
            for ours, theirs in _PARTS.items()
            if f"{block}_{ours}" in names
        }
    left = {name for name in state if not name.endswith("num_batches_tracked")}
    converted = {}
    for ours, theirs in wanted.items():
        parts = _NORM if "norm" in ours else _DENSE if ours == "logits" else _CONVOLUTION
        keys = [f"{theirs}.{part}" for part in parts]
        if missing := [key for key in keys if key not in state]:
            raise WeightsError(f"{source}: has no tensor {missing[0]!r}: it is not of {model.name}'s network")
        converted[ours] = [_in_keras_layout(state[key], ours) for key in keys]
        left -= set(keys)
    if left:
        raise WeightsError(f"{source}: the tensor {min(left)[:80]!r} is not of {model.name}'s network")
    return converted


def _in_keras_layout(array: np.ndarray, layer: str) -> np.ndarray:
    if array.ndim == 4:
        array = array.transpose((2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0))
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array, "float32")
