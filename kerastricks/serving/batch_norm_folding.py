"""Folding of batch normalisations into the convolutions before them."""

from typing import Any

import keras
import numpy as np

from kerastricks.keras_graph import Node, has_graph, nodes, producer
from kerastricks.layers.adapting import finish_adapting

_FOLDABLE = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Copy a model for inference, without the batch normalisations that follow a convolution or a dense layer.

    In inference batch normalisation is a factor and a number per channel: the factor goes into the kernel before it,
    the number into its bias. The function is equal, with fewer operations: on CPUs, where small layers cost as much to
    start as to compute, a residual network answers for one image in three quarters of the time. `export_saved_model`
    does it. Not for training: the copy has no statistics, and its weights are its own.

    A normalisation is folded that is on the last axis, runs in inference mode and has for its only input a
    `Conv1D`, `Conv2D`, `Conv3D`, `DepthwiseConv1D`, `DepthwiseConv2D` or `Dense` without activation whose output goes
    nowhere else, both called once. Every other one stays, such as those before a convolution (pre-activation networks).
    Models inside the model are folded too.

    Args:
        model: functional or Sequential. Any other, and one without anything to fold, is returned as it is.

    Returns:
        A functional model with the same inputs, outputs and names of layers. Outputs differ by rounding.

    Example:
        >>> import keras, kerastricks
        >>> layers = [keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.BatchNormalization()]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> model.count_params(), kerastricks.serving.fold_batch_norm(model).count_params()
        (124, 112)

    Reference:
        Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
        arXiv 1712.05877, section 3.2, equation 14.
    """
    if isinstance(model, keras.Sequential) and has_graph(model):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not (has_graph(model) and _anything_to_fold(model)):
        return model
    pairs = _pairs(model)
    normalisations = {id(normalisation) for normalisation in pairs.values()}
    copies: list[tuple[Any, Any]] = []
    left_out: set[int] = set()

    def copy(operation: Any) -> Any:
        if isinstance(operation, keras.Model):
            return fold_batch_norm(operation)
        config = operation.get_config()
        made = type(operation).from_config({**config, "use_bias": True} if id(operation) in pairs else config)
        if id(operation) in normalisations:
            left_out.add(id(made))
        elif isinstance(operation, keras.Layer):
            copies.append((operation, made))
        return made

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if id(operation) in left_out else operation(*args, **kwargs)

    folded = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer, made in copies:
        made.set_weights(_folded_weights(layer, pairs[id(layer)]) if id(layer) in pairs else layer.get_weights())
    finish_adapting(folded)
    return folded


def _anything_to_fold(model: keras.Model) -> bool:
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model) and has_graph(layer)]
    return bool(_pairs(model)) or any(_anything_to_fold(one) for one in inner)


def _pairs(model: keras.Model) -> dict[int, Any]:
    """The batch normalisation to fold into a layer, by the id of that layer."""
    called: dict[int, list[Node]] = {}
    readers: dict[int, int] = {}
    for node in nodes(model):
        called.setdefault(id(node.operation), []).append(node)
        for tensor in node.input_tensors:
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    for tensor in model.outputs:
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    pairs = {}
    for layer in model.layers:
        if type(layer) is not keras.layers.BatchNormalization or len(called[id(layer)]) != 1:
            continue
        (node,) = called[id(layer)]
        (source,) = node.input_tensors
        before = producer(source)
        last_axis = layer.axis in (-1, len(source.shape) - 1)
        if node.arguments.kwargs.get("training") or not last_axis or not _takes_it(before):
            continue
        if readers[id(source)] == 1 and len(called[id(before)]) == 1:
            pairs[id(before)] = layer
    return pairs


def _takes_it(layer: Any) -> bool:
    # Subclasses may do anything with their kernel; quantised and low-rank kernels are not only in `kernel`.
    return (
        type(layer) in _FOLDABLE
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and getattr(layer, "quantization_mode", None) is None
        and not getattr(layer, "lora_enabled", False)
    )


def _folded_weights(layer: Any, normalisation: Any) -> list[np.ndarray]:
    """Kernel and bias, computed in float64."""

    def value(variable: Any, otherwise: float) -> Any:
        return otherwise if variable is None else keras.ops.convert_to_numpy(variable).astype("float64")

    factor = value(normalisation.gamma, 1.0) / np.sqrt(
        value(normalisation.moving_variance, 1.0) + normalisation.epsilon
    )
    shift = value(normalisation.beta, 0.0) - value(normalisation.moving_mean, 0.0) * factor
    kernel = value(layer.kernel, 1.0)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D)
    # A depthwise kernel ends in (channels, multiplier), which are one axis in the output.
    scaled = kernel * (factor.reshape(kernel.shape[-2:]) if depthwise else factor)
    bias = value(layer.bias, 0.0) if layer.use_bias else 0.0
    return [scaled, bias * factor + shift]
