"""Grad-CAM: which places of an image speak for a class."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.checks.images import as_images, as_labels, functional, random_state_kept
from kerastricks.checks.instrument import values
from kerastricks.checks.signal_check import KeepGradients
from kerastricks.errors import UsageError
from kerastricks.keras_graph import has_graph, nodes, producing_node, split_head

_SMALLEST = 1e-12  # of a probability whose logarithm is taken


def grad_cam(model: keras.Model, images: Any, classes: Any, *, batch_size: int = 32) -> np.ndarray:
    """Maps where in each image the evidence for a class lies, at the last feature map with height and width.

    The gradient of the class's score with respect to that map, averaged over its places, weights its channels; what is
    positive in their sum is the map of evidence. It is as coarse as the feature map, and shows what the network uses,
    which need not be the object. A map that is reshaped from a vector is passed over: its places are not the image's.
    The network works as in inference and stays as it is.

    Args:
        model: functional or Sequential, ending in a softmax or in logits; other models may be inside.
        images: (N, height, width, channels) as the model takes them.
        classes: (N,) index of the class to explain, for each image.
        batch_size: images at a time; it decides the memory.

    Returns:
        (N, h, w) float32 from 0 to 1 with the size of the feature map, the largest value of each image being 1; zeros
        where nothing speaks for the class.

    Raises:
        UsageError: for a model without a convolution, or whose last feature map is not all that its output depends on,
            as that of an ensemble; and for images or classes that do not fit it.

    Example:
        >>> import keras, kerastricks, numpy
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        >>> kerastricks.checks.grad_cam(model, numpy.ones((3, 8, 8, 1)), [0, 1, 1]).shape
        (3, 6, 6)

    Reference:
        Selvaraju et al.: Grad-CAM: Visual explanations from deep networks via gradient-based localization, arXiv
        1610.02391, equations 1 and 2. Deviation: where probabilities cannot be cut off from the logits, the score is
        the logarithm of the probability.
    """
    plain = functional(model)
    images = as_images(images, plain, least=1)
    classes = as_labels(classes, len(images), plain.output_shape[-1], seed=0)
    with random_state_kept(seed=0):
        classifier, score = _scored(plain)
        split = _split(classifier)
        if split is None:
            raise UsageError(
                f"model {model.name!r} has no feature map with height and width, after a convolution, that its whole "
                "output depends on: Grad-CAM needs one"
            )
        before, after = split
        found = []
        for start in range(0, len(images), batch_size):
            maps = values(_through(before, ops.convert_to_tensor(images[start : start + batch_size])))
            found.append(_weighted(maps, _gradients(maps, classes[start : start + batch_size], after, score)))
    return np.concatenate(found)


def _scored(model: keras.Model) -> tuple[keras.Model, Callable[[Any], Any]]:
    """The model up to its logits, where they can be had, and what makes scores of its output."""
    classifier, from_logits = split_head(model)
    if from_logits:
        return classifier, lambda logits: logits
    layer = producing_node(model.outputs[0]).operation
    if isinstance(layer, keras.layers.Dense):
        copy = keras.layers.Dense.from_config({**layer.get_config(), "activation": "linear"})
        inputs = producing_node(model.outputs[0]).input_tensors[0]
        logits = copy(inputs)
        for target, source in zip(copy.weights, layer.weights, strict=True):
            target.assign(source)
        return keras.Model(model.inputs[0], logits, name=model.name), lambda found: found
    return model, lambda probabilities: ops.log(ops.maximum(probabilities, _SMALLEST))


def _split(model: keras.Model) -> tuple[list[keras.Model], list[keras.Model]] | None:
    """Models that lead one after the other to the last feature map, and those that lead from it to the output.

    None where there is no such map, or where the output depends on more than the last one.
    """
    placed = _placed(model)
    needed = {id(model.outputs[0])}  # tensors that the output depends on, at this place of the walk from the end
    for node in reversed(nodes(model)):
        outputs = {id(tensor): tensor for tensor in node.output_tensors}
        if not needed & outputs.keys():
            continue
        if len(needed) == 1 and not node.is_input:
            tensor = outputs[next(iter(needed))]
            if id(tensor) in placed and _is_map(tensor):
                before = keras.Model(model.inputs[0], tensor)
                convolved = any(len(weight.shape) == 4 for weight in before.weights)
                return ([before], _part(tensor, model.outputs[0])) if convolved else None
            inner = node.operation
            plain = isinstance(inner, keras.Model) and has_graph(inner) and len(inner.inputs) == len(inner.outputs) == 1
            if plain and id(node.input_tensors[0]) in placed:
                inside = _split(functional(inner))
                if inside is not None:
                    leading = _part(model.inputs[0], node.input_tensors[0])
                    return [*leading, *inside[0]], [*inside[1], *_part(tensor, model.outputs[0])]
        needed = (needed - outputs.keys()) | {id(tensor) for tensor in node.input_tensors}
    return None


def _is_map(tensor: Any) -> bool:
    shape = tensor.shape
    return len(shape) == 4 and shape[1] != 1 and shape[2] != 1


def _placed(model: Any) -> set[int]:
    """The ids of the tensors whose places are the input's, along a way on which no vector comes between.

    After a dense layer of all pixels, a map that `Reshape` makes has places that stand for nothing in the image.
    Patches in a row, (batch, patches, channels), keep theirs.
    """
    placed: set[int] = set()
    for node in nodes(model):
        if node.is_input:
            placed.update(map(id, node.output_tensors))
        elif any(id(tensor) in placed for tensor in node.input_tensors):
            inner = node.operation
            if not has_graph(inner) or not _placed(inner).isdisjoint(map(id, inner.outputs)):
                wide = [tensor for tensor in node.output_tensors if any(side != 1 for side in tensor.shape[1:-1])]
                placed.update(map(id, wide))
    return placed


def _part(start: Any, end: Any) -> list[keras.Model]:
    """The model from one tensor to another; none where they are the same."""
    return [] if start is end else [keras.Model(start, end)]


class _Head(keras.Model):
    """The layers after the feature maps, which are its only weight that learns."""

    def __init__(self, maps: np.ndarray, classes: np.ndarray, parts: Sequence[keras.Model], score: Any) -> None:
        super().__init__(name="kerastricks_head")
        self.maps = self.add_weight(shape=maps.shape, initializer="zeros", dtype="float32", autocast=False, name="maps")
        self.maps.assign(maps)
        # In a closure, so that Keras does not count the weights of the parts as those of this model.
        self.scores = lambda: _through(parts, ops.convert_to_tensor(self.maps))
        self.sum_scores = lambda found: ops.sum(
            ops.cast(score(found), "float32") * ops.one_hot(classes, found.shape[-1], dtype="float32")
        )
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        return self.scores()

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return self.sum_scores(y_pred)


def _through(parts: Sequence[keras.Model], x: Any) -> Any:
    for part in parts:
        x = part(x, training=False)
    return x


def _gradients(maps: np.ndarray, classes: np.ndarray, after: Sequence[keras.Model], score: Any) -> np.ndarray:
    """The gradient of each image's score with respect to its feature maps, by the way that all backends share."""
    head = _Head(maps, classes, after, score)
    optimizer = KeepGradients(learning_rate=1.0, name="keep_gradients")
    head.compile(optimizer=optimizer, run_eagerly=True, jit_compile=False, auto_scale_loss=False)
    head.train_on_batch(np.zeros((len(maps), 1), "float32"), classes)
    return optimizer.of(head.maps)


def _weighted(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    # Of the largest: gradients may be far below what float32 holds the square of.
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    weights /= np.maximum(np.abs(weights).max(axis=3, keepdims=True), np.finfo("float64").tiny)
    found = np.maximum((weights * maps).sum(axis=3), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return np.divide(found, largest, out=np.zeros_like(found), where=largest > 0).astype("float32")
