"""Load pretrained weights into a model of the zoo, and the mean and standard deviation that belong to them."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kerastricks.classifier_file import load_model_file
from kerastricks.errors import WeightsError, first_line
from kerastricks.weights.catalog import PRETRAINED, Pretrained
from kerastricks.weights.convert import convert_efficientnet_lite
from kerastricks.weights.files import WeightsFile, cached_weights, find
from kerastricks.weights.torch_file import read_torch_file

# Names of the layers after the features.
_HEAD = re.compile(r"head\d+|logits")
# Scales pixels to [-1, 1].
DEFAULT = 127.5


def load_weights(
    model: keras.Model,
    weights: str | Path | WeightsFile,
    architecture: Callable[[Pretrained], keras.Model] | None = None,
) -> bool:
    """Load pretrained weights into a model of the zoo, and into its head where that has as many classes.

    Args:
        model: model of `kerastricks.models.create`, with its name in the zoo. Its input size is free.
        weights: argument or result of `find`.
        architecture: makes the network of weights of the catalog, with their classes; needed to convert them once.

    Returns:
        Whether the head was loaded; if not, it stays as it was.

    Raises:
        WeightsError: for weights of another network. The model then keeps its weights.
    """
    found = weights if isinstance(weights, WeightsFile) else find(weights, model.name)
    if found.pretrained is not None and architecture is not None:
        known = found.pretrained

        def write(path: Path) -> None:
            policy = keras.config.dtype_policy()
            keras.config.set_dtype_policy("float32")  # another one would round what is kept
            try:
                whole = architecture(known)
            finally:
                keras.config.set_dtype_policy(policy)
            _assign(whole, _from_torch(found.path, whole), str(found.path))
            whole.save_weights(path)

        with cached_weights(f"{known.name}-{known.sha256[:8]}", write) as path:
            return _load_file(model, path)
    if found.kind == "torch":
        return _assign(model, _from_torch(found.path, model), str(found.path))
    if found.kind == "model":
        return _assign(model, _from_model(found.path), str(found.path))
    return _load_file(model, found.path)


def _from_model(path: Path) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in load_model_file(path).layers if layer.weights}


def _from_torch(path: Path, model: keras.Model) -> dict[str, list[np.ndarray]]:
    if not any(layer.name.endswith("_depthwise") for layer in model.layers):
        raise WeightsError(f"{path}: PyTorch files are only read for efficientnet_lite. Received: model {model.name}")
    return convert_efficientnet_lite(read_torch_file(path), model, str(path))


def _assign(model: keras.Model, arrays: dict[str, list[np.ndarray]], source: str) -> bool:
    """Assign arrays to all layers or none, the head apart."""
    layers = [layer for layer in model.layers if layer.weights]
    left = set(arrays) - {layer.name for layer in layers}
    if foreign := sorted(name for name in left if not _HEAD.fullmatch(name)):
        raise WeightsError(
            f"{source}: {model.name} has no layer {foreign[0]!r}: it is of another network, or of other options"
        )
    whole_head = not left
    for layer in layers:
        theirs = [array.shape for array in arrays.get(layer.name, ())]
        ours = [tuple(weight.shape) for weight in layer.weights]
        if theirs == ours:
            continue
        if not _HEAD.fullmatch(layer.name):
            raise WeightsError(
                f"{source}: has {theirs or 'nothing'} for layer {layer.name!r} of {model.name}, which needs {ours}: "
                "it is of another network, or of other options"
            )
        whole_head = False
    for layer in layers:
        if whole_head or not _HEAD.fullmatch(layer.name):
            layer.set_weights(arrays[layer.name])
    return whole_head


def _load_file(model: keras.Model, path: Path) -> bool:
    """Load a Keras file into all layers or none, the head apart.

    Keras does not say what a file left out: what is still NaN was not in it.
    """
    weights = [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]  # torch's share their memory
    for weight in weights:
        weight.assign(np.full(weight.shape, np.nan, "float32"))
    keep = True  # what they were, unless all goes well
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each layer that does not fit
            model.load_weights(path, skip_mismatch=True)
        missing = [weight for weight in weights if np.isnan(keras.ops.convert_to_numpy(weight)).any()]
        for weight in missing:
            if not _is_of_head(weight):
                raise WeightsError(
                    f"{path}: has nothing of shape {tuple(weight.shape)} for {weight.path} of {model.name}: "
                    "it is of another network, or of other options"
                )
        if (left := _count_arrays(path) - len(weights)) > 0:
            raise WeightsError(
                f"{path}: holds {left} arrays more than {model.name}: it is of another network, or of other options"
            )
        keep = False
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: is no Keras weights file of {model.name} ({first_line(error)})") from None
    finally:
        for weight, values in zip(weights, before, strict=True):
            if keep or (missing and _is_of_head(weight)):
                weight.assign(values)
    return not missing


def _count_arrays(path: Path) -> int:
    """Number of arrays of a Keras weights file, without those of an optimizer."""
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sum(not name.startswith("optimizer/") for name in names)


def _is_of_head(weight: keras.Variable) -> bool:
    return _HEAD.fullmatch(weight.path.split("/")[0]) is not None


def statistics_for(found: WeightsFile | None, model: str, channels: int, mean: Any, std: Any) -> tuple[Any, Any]:
    """Mean and standard deviation that a model normalises with.

    Args:
        found: weights that the model gets, or None.
        model: name of the model in the zoo.
        channels: channels of its images.
        mean: requested mean; None for that of the weights.
        std: requested standard deviation; None for that of the weights.

    Returns:
        (mean, std) of the weights; where these have none, the requested ones, or else 127.5.

    Raises:
        WeightsError: for values other than those of the weights, or images with other channels.
    """
    theirs = _of(found, model) if found is not None else None
    if theirs is None:
        return DEFAULT if mean is None else mean, DEFAULT if std is None else std
    if np.size(theirs[0]) != channels:
        raise WeightsError(
            f"the weights are for images of {np.size(theirs[0])} channels: load them so. Received: {channels} channels"
        )
    for name, asked, known in (("mean", mean, theirs[0]), ("std", std, theirs[1])):
        if asked is not None and not _equal(asked, known):
            raise WeightsError(
                f"{name} must be that of the weights, {np.round(known, 3).tolist()}: another one costs about "
                f"ten points of accuracy; leave mean and std out. Received: {name}={np.round(asked, 3).tolist()}"
            )
    return theirs


def _of(found: WeightsFile, model: str) -> tuple[Any, Any] | None:
    if found.kind == "model":
        trained = load_model_file(found.path)
        layers = [layer for layer in trained.layers if isinstance(layer, keras.layers.Normalization)]
        if len(layers) != 1:
            raise WeightsError(
                f"{found.path}: has {len(layers)} Normalization layers and must have one, as the zoo's models"
            )
        mean, variance = (keras.ops.convert_to_numpy(x).ravel() for x in (layers[0].mean, layers[0].variance))
        return mean, np.sqrt(variance)
    known = found.pretrained
    if known is None and found.kind == "torch":
        known = next((entry for entry in PRETRAINED.values() if entry.model == model), None)
    return (np.full(3, known.mean), np.full(3, known.std)) if known is not None else None


def _equal(asked: Any, known: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(asked, "float64"), np.asarray(known, "float64"), rtol=1e-5))
    except (TypeError, ValueError):
        return False
