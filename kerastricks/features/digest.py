"""What decides the outputs of a network, as a short text: its structure, its weights."""

import hashlib
import json
from typing import Any

import keras
import numpy as np

from kerastricks.errors import UsageError

_REFERENCES = {"keras_history", "input_layers", "output_layers"}
_TRAINING_ONLY = {"build_config", "compile_config", "trainable"}
_TRAINING_ONLY_SUFFIXES = ("_constraint", "_initializer", "_regularizer")


def weights_digest(model: keras.Model) -> str:
    """Of all weights, in order; names are no part of it."""
    digest = hashlib.blake2b(digest_size=16)
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def structure_digest(model: keras.Model) -> str:
    """Of layers, their arguments and how they are connected; not of what counts in training alone.

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
    """The configuration with numbers in the place of the layers' names, in the order in which they appear.

    Args:
        node: of the configuration.
        numbers: those given so far.
        named: whether its "name" is that of a layer.
        reference: whether its texts are names of layers.
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
