"""A network up to some of its layers, and hashes of its structure and weights."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import DataError, UnknownNameError, UsageError
from kerastricks.keras_graph import nodes

_LUMA = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R BT.601, as `kerastricks.data` takes it
# Keys of serialized models: with names of layers; without influence on outputs.
_REFERENCES = {"keras_history", "input_layers", "output_layers"}
_TRAINING_ONLY = {"build_config", "compile_config", "trainable"}
_TRAINING_ONLY_SUFFIXES = ("_constraint", "_initializer", "_regularizer")


class Extractor:
    """A network up to some of its layers: one forward pass gives the outputs of all of them.

    Args:
        model: functional or Sequential model of images 0 to 255.
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
        """Shape of each layer's output for one image.

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
        """Compute the output of each layer, float32, for a batch; grey is repeated, colour reduced to its luma."""
        channels = self.model.inputs[0].shape[-1] or images.shape[-1]
        if channels > images.shape[-1]:
            images = np.repeat(images, channels, axis=-1)
        elif channels < images.shape[-1]:
            images = np.round(images @ _LUMA)[..., None]
        found = self.model.predict_on_batch(images.astype("float32"))
        found = found if isinstance(found, list | tuple) else [found]
        return [np.asarray(output).astype("float32", copy=False) for output in found]


def layer_names(model: keras.Model) -> list[str]:
    """Names of the layers whose outputs can be taken, from early to late."""
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
    """Outputs of a layer in the graph of this model: its `output` may be that of another model that has it too."""
    return [tensor for node in nodes(model) if node.operation.name == name for tensor in node.output_tensors]


def weights_digest(model: keras.Model) -> str:
    """Hash all weights, in order, without their names."""
    digest = hashlib.blake2b(digest_size=16)
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def structure_digest(model: keras.Model) -> str:
    """Hash layers, their arguments and connections, without what counts only in training.

    Names of layers are replaced by numbers: a network that is built twice in a process gets new automatic ones.

    Raises:
        UsageError: for a layer that cannot say how it was made.
    """
    try:
        text = json.dumps(_numbered(keras.saving.serialize_keras_object(model), {}), sort_keys=True)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"{model.name}: cannot be told from other models ({reason}): give its layers a get_config, or use "
            f"kerastricks.features.compute"
        ) from None
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _numbered(node: Any, numbers: dict[str, str], named: bool = False, reference: bool = False) -> Any:
    """Replace the names of layers in a configuration by numbers, in the order in which they appear.

    Args:
        node: part of the configuration.
        numbers: numbers given so far, by name.
        named: whether the node's "name" is that of a layer.
        reference: whether the node's texts are names of layers.
    """
    if isinstance(node, dict):
        # The name of a policy is the precision.
        is_layer = "config" in node and "DTypePolicy" not in str(node.get("class_name"))
        found = {}
        for key, value in node.items():
            if key in _TRAINING_ONLY or key.endswith(_TRAINING_ONLY_SUFFIXES):
                continue
            if key == "name" and isinstance(value, str) and (named or is_layer):
                found[key] = numbers.setdefault(value, f"#{len(numbers)}")
            else:
                found[key] = _numbered(value, numbers, is_layer and key == "config", key in _REFERENCES)
        return found
    if isinstance(node, list | tuple):
        return [_numbered(value, numbers, reference=reference) for value in node]
    if reference and isinstance(node, str):
        return numbers.setdefault(node, f"#{len(numbers)}")
    return node
