"""A network up to some of its layers: one forward pass gives the outputs of all of them."""

from collections.abc import Sequence

import keras
import numpy as np

from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import DataError, UnknownNameError, UsageError

_LUMA = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R BT.601, as `kerastricks.data` takes it


class Extractor:
    """Runs a network up to the layers that are asked for.

    Args:
        model: functional or Sequential, of images 0 to 255.
        layers: names of its layers, one or more.
        pool: whether outputs of four dimensions are averaged over height and width.

    Raises:
        UnknownNameError: for a layer that is not there; the nearest are named.
        UsageError: for a model without a graph or with several inputs, or a layer without one output.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str], pool: bool = True) -> None:
        self.layers = [layers] if isinstance(layers, str) else list(layers)
        self.pool = pool
        if len(getattr(model, "inputs", None) or ()) != 1 or len(model.inputs[0].shape) != 4:
            raise UsageError(
                f"model must be a functional or Sequential keras.Model of images. Received: {type(model).__name__}"
            )
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise UsageError(f"layers must be one or more names, each once. Received: {self.layers}")
        outputs = [_output(model, name, pool) for name in self.layers]
        self.model = keras.Model(model.inputs[0], outputs, name=model.name)
        # On a CPU, XLA slows TensorFlow's convolutions: docs/speed.md.
        compiled = keras.backend.backend() == "jax" or (keras.backend.backend() == "tensorflow" and has_gpu())
        self.model.compile(jit_compile=compiled)

    def shapes(self, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's output for one image.

        Raises:
            DataError: for images that the network does not take.
        """
        taken = self.model.inputs[0].shape[1:]
        fits = all(own in (None, given) for own, given in zip(taken[:2], image_shape[:2], strict=True))
        if not fits or taken[2] not in (1, 3, image_shape[2]):
            raise DataError(
                f"images are {image_shape}, and {self.model.name} takes {tuple(taken)}: load them with its image_size"
            )
        found = self.model.compute_output_shape((1, *image_shape[:2], taken[2] or image_shape[2]))
        found = [found] if isinstance(found[0], int) else found
        return {name: tuple(shape[1:]) for name, shape in zip(self.layers, found, strict=True)}

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """The output of each layer, float32, for a batch of images; grey is repeated, colour reduced to its luma."""
        channels = self.model.inputs[0].shape[-1] or images.shape[-1]
        if channels > images.shape[-1]:
            images = np.repeat(images, channels, axis=-1)
        elif channels < images.shape[-1]:
            images = np.round(images @ _LUMA)[..., None]
        found = self.model.predict_on_batch(images.astype("float32"))
        found = found if isinstance(found, list | tuple) else [found]
        return [np.asarray(output).astype("float32", copy=False) for output in found]


def layer_names(model: keras.Model) -> list[str]:
    """The layers whose outputs can be taken, from early to late."""
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def _output(model: keras.Model, name: str, pool: bool) -> keras.KerasTensor:
    names = layer_names(model)
    if name not in names:
        raise UnknownNameError(
            f"layer of {model.name}", name, names, "kerastricks features DATA --model M --layer list"
        )
    found = _outputs(model, name)
    if len(found) != 1 or len(found[0].shape) < 2:
        raise UsageError(f"layer {name} of {model.name} has not one output of its own for each image: name another")
    output = found[0]
    if pool and len(output.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32")(output)
    return output


def _outputs(model: keras.Model, name: str) -> list[keras.KerasTensor]:
    """What a layer gives in the graph of this model: its `output` may be that of another model that has it too."""
    found: dict[int, keras.KerasTensor] = {}
    seen: set[int] = set()
    waiting = list(model.outputs)
    while waiting:
        history = waiting.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += node.input_tensors
        if history.operation.name == name:
            found |= {id(tensor): tensor for tensor in node.output_tensors}
    return list(found.values())
