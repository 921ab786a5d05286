"""Model soups: averages of the weights of networks fine-tuned from the same weights, of one architecture."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.ensemble.member import Member
from kerastricks.errors import EnsembleError
from kerastricks.keras_graph import all_layers, sublayers
from kerastricks.layers.adapting import finish_adapting
from kerastricks.layers.batch_norm_statistics import recompute_batch_norm

_RULE = "models must be one architecture"
_WAY_OUT = "combine their outputs instead"
# Fields of a layer's configuration that its outputs at inference do not depend on.
_FREE = {"name", "trainable", "seed", "dtype", "rate", "momentum", "renorm_momentum", "synchronized", "build_config"}
_FREE_ENDS = ("_initializer", "_regularizer", "_constraint", "initializer", "regularizer")


def check_same_network(models: Sequence[keras.Model], names: Sequence[str] | None = None) -> None:
    """Refuse models of different architectures: weights, layers and connections are compared in order, names are not.

    Args:
        models: functional or Sequential, built.
        names: what messages call them; None for "model 0", "model 1" ...

    Raises:
        EnsembleError: naming the first weight whose shape differs, or the first layer whose settings or inputs do.
    """
    names = names or [f"model {index}" for index in range(len(models))]
    for name, model in zip(names, models, strict=True):
        if len(getattr(model, "outputs", None) or ()) == 0:
            raise EnsembleError(f"{name}: must be a built functional or Sequential keras.Model. Received: {model!r}")
    first = models[0]
    for name, model in zip(names[1:], models[1:], strict=True):
        pair = (names[0], name)
        _check_weights(first, model, pair)
        _check_layers(first, model, pair)
        _check_graph(first, model, pair)


def _check_weights(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    for mine, other in zip(first.weights, model.weights, strict=False):
        if tuple(mine.shape) != tuple(other.shape):
            raise EnsembleError(
                f"{_RULE}. Received: weight {mine.path!r} of {names[0]} has shape "
                f"{tuple(mine.shape)}, {other.path!r} of {names[1]} {tuple(other.shape)}; {_WAY_OUT}"
            )
    if len(first.weights) != len(model.weights):
        longer, owner = (first, names[0]) if len(first.weights) > len(model.weights) else (model, names[1])
        extra = longer.weights[min(len(first.weights), len(model.weights))]
        raise EnsembleError(
            f"{_RULE}. Received: {len(first.weights)} weights in {names[0]}, {len(model.weights)} in "
            f"{names[1]}, weight {extra.path!r} {tuple(extra.shape)} being only in {owner}; {_WAY_OUT}"
        )


def _check_layers(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    mine, others = _leaves(first), _leaves(model)
    for one, other in zip(mine, others, strict=False):
        differs = "kind" if type(one) is not type(other) else _first_difference(one.get_config(), other.get_config())
        if differs is not None:
            raise EnsembleError(
                f"{_RULE}. Received: layer {one.name!r} ({type(one).__name__}) of {names[0]} and "
                f"{other.name!r} ({type(other).__name__}) of {names[1]} differ in {differs}; {_WAY_OUT}"
            )
    if len(mine) != len(others):
        raise EnsembleError(
            f"{_RULE}. Received: {len(mine)} layers in {names[0]}, {len(others)} in {names[1]}; {_WAY_OUT}"
        )


def _check_graph(first: keras.Model, model: keras.Model, names: tuple[str, str]) -> None:
    """Compare the inputs of each layer and operation: skip connections, their order, functions of `keras.ops`."""
    for mine, other in zip(_graphs(first), _graphs(model), strict=True):
        for one, its_twin in zip(mine, other, strict=False):
            if one[1:] != its_twin[1:]:
                raise EnsembleError(
                    f"{_RULE}. Received: {one[0]!r} of {names[0]} and {its_twin[0]!r} of {names[1]} differ in what "
                    f"they do or in their inputs; {_WAY_OUT}"
                )
        if len(mine) != len(other):
            raise EnsembleError(
                f"{_RULE}. Received: {len(mine)} operations in {names[0]}, {len(other)} in {names[1]}; {_WAY_OUT}"
            )


def _graphs(model: keras.Model) -> list[list[tuple[str, str, Any]]]:
    """Name, kind and inputs of each operation of each functional model inside; layers are named by index."""
    functional = [layer for layer in all_layers(model) if isinstance(layer, keras.Function)]
    graphs = []
    for config in (inner.get_config() for inner in functional):
        indices = {entry["name"]: index for index, entry in enumerate(config["layers"])}
        graph = [
            (entry["name"], entry["class_name"], _nameless(entry["inbound_nodes"], indices))
            for entry in config["layers"]
        ]
        graphs.append([*graph, ("outputs", "", _nameless(config["output_layers"], indices))])
    return graphs


def _nameless(value: Any, indices: dict[str, int]) -> Any:
    """Replace layer names by indices, and drop shapes, which the weights have."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _nameless(value["config"]["keras_history"], indices)
    if isinstance(value, dict):
        return {key: _nameless(one, indices) for key, one in value.items() if key != "name"}
    if isinstance(value, list | tuple):
        return [_nameless(one, indices) for one in value]
    return indices.get(value, value) if isinstance(value, str) else value


def _leaves(model: keras.Model) -> list[Any]:
    layers = all_layers(model, include_self=False)
    return [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer) and not sublayers(layer)]


def _first_difference(mine: dict[str, Any], other: dict[str, Any]) -> str | None:
    for key in sorted(mine.keys() | other.keys()):
        free = key in _FREE or key.endswith(_FREE_ENDS)
        if not free and not _equal(mine.get(key), other.get(key)):
            return key
    return None


def _equal(a: Any, b: Any) -> bool:
    """Compare numbers, lists and arrays of them, and dictionaries."""
    return keras.saving.serialize_keras_object(a) == keras.saving.serialize_keras_object(b)


@dataclass(frozen=True, eq=False)
class GreedySoup:
    """A greedy soup and its scores.

    Args:
        model: with the averaged weights; a new one.
        chosen: indices of the models in it, in the order in which they were taken.
        score: of `model`.
        scores: of the single models.
    """

    model: keras.Model
    chosen: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def uniform_soup(models: Sequence[keras.Model | Member], batches: Iterable[Any] | None = None) -> keras.Model:
    """Build a new model with the mean of the weights of several.

    As cheap to run as one of them. It helps where the models lie in one basin: fine-tuned from the same weights, or
    checkpoints of one run. Models trained from different random weights do not, and their mean is near chance.

    Args:
        models: two or more of one architecture, functional or Sequential; they stay as they are.
        batches: training images, or (images, labels), by which the statistics of batch normalisations are recomputed;
            a few thousand. Needed where the models have batch normalisation that is not frozen.

    Returns:
        A new model, not compiled.

    Raises:
        EnsembleError: for fewer than two models, unequal architectures (the first layer or weight that differs is
            named), classes in another order, or no `batches` where they are needed.
        ValueError: for batches that hold no images.

    Example:
        >>> import keras, kerastricks
        >>> def model(value):
        ...     return keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, kernel_initializer=value)])
        >>> soup = kerastricks.ensemble.uniform_soup([model("zeros"), model("ones")])
        >>> soup.layers[0].kernel.numpy()
        array([[0.5, 0.5]], dtype=float32)

    Reference:
        Wortsman et al.: Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time, ICML 2022, section 2. Deviation: the paper's networks have no batch normalisation;
        statistics are recomputed as for SWA (Izmailov et al. 2018).
    """
    averaging = _Averaging(models, batches)
    return averaging.average(range(len(averaging.models)))


def greedy_soup(
    models: Sequence[keras.Model | Member],
    score: Callable[[keras.Model], float],
    batches: Iterable[Any] | None = None,
    scores: Sequence[float] | None = None,
) -> GreedySoup:
    """Average the weights of those models that improve the average.

    Models are tried from the best down, and one stays in if the soup with it scores at least as high as without. The
    result never scores below the best model. Each trial costs one pass over `batches` and one call of `score`, which
    should look at images that neither trained the models nor measure the result.

    Args:
        models: two or more of one architecture, functional or Sequential; they stay as they are.
        score: called with a model; higher is better (accuracy, minus log-loss).
        batches: as in `uniform_soup`; read for each trial, so it must be one that can be read again: a list, a
            `tf.data.Dataset`, no generator.
        scores: of the models, where they are known.

    Returns:
        A `GreedySoup`.

    Raises:
        EnsembleError: as in `uniform_soup`, for a generator, or scores that are not finite.

    Example:
        >>> import keras, kerastricks
        >>> def model(value):
        ...     start = keras.initializers.Constant(value)
        ...     return keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, kernel_initializer=start)])
        >>> def nearness(model):
        ...     return -abs(float(model.layers[0].kernel[0, 0]) - 1.4)
        >>> kerastricks.ensemble.greedy_soup([model(0.0), model(1.0), model(2.0)], nearness).chosen
        (1, 2)

    Reference:
        Wortsman et al. 2022, recipe 1. Deviation: recomputed batch-norm statistics, as in `uniform_soup`; a soup of one
        is that model with its own.
    """
    averaging = _Averaging(models, batches)
    if averaging.layers and isinstance(batches, Iterator):
        raise EnsembleError("batches must be something that can be read again. Received: an iterator; give a list")
    alone = tuple(float(score(model)) for model in averaging.models) if scores is None else tuple(map(float, scores))
    if len(alone) != len(averaging.models) or not np.isfinite(alone).all():
        raise EnsembleError(
            f"scores must be one finite number for each of {len(averaging.models)} models. Received: {alone}"
        )
    first, *others = sorted(range(len(alone)), key=lambda index: -alone[index])
    chosen, best, model = [first], alone[first], averaging.average([first])
    for index in others:
        candidate = averaging.average([*chosen, index])
        found = float(score(candidate))
        if found >= best:
            chosen, best, model = [*chosen, index], found, candidate
    return GreedySoup(model, tuple(chosen), best, alone)


class _Averaging:
    """Models of one architecture, and the batches that the soup's statistics come from."""

    def __init__(self, models: Sequence[keras.Model | Member], batches: Iterable[Any] | None) -> None:
        members = list(models)
        if len(members) < 2:
            raise EnsembleError(f"a soup needs two models or more. Received: {len(members)}; use the model as it is")
        _check_classes(members)
        self.models = [member.model if isinstance(member, Member) else member for member in members]
        check_same_network(self.models)
        self.batches = batches
        self.layers = _layers_to_recompute(self.models)
        if self.layers and batches is None:
            raise EnsembleError(
                f"batches must be given: averaged weights need statistics of their own in {len(self.layers)} batch "
                "normalisations. Received: None; give a few thousand training images, in batches as trained with"
            )

    def average(self, indices: Sequence[int]) -> keras.Model:
        """Build a new model with the mean of these models' weights."""
        soup = keras.models.clone_model(self.models[indices[0]])
        for weight, *values in zip(soup.weights, *(self.models[index].weights for index in indices), strict=True):
            weight.assign(_mean(values))
        finish_adapting(soup)
        if len(indices) > 1 and self.layers:
            found = _batch_normalisations(soup)
            with _trainable(found, self.layers):
                recompute_batch_norm(soup, self.batches or ())
        return soup


def _mean(values: Sequence[Any]) -> np.ndarray:
    """The mean in float64; for integers (a count) the first."""
    arrays = [np.asarray(ops.convert_to_numpy(value)) for value in values]
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(values[0].dtype)):
        return arrays[0]
    total = np.zeros(arrays[0].shape)
    for array in arrays:
        total += array.astype("float64")
    return total / len(arrays)


def _batch_normalisations(model: keras.Model) -> list[Any]:
    layers = all_layers(model, include_self=False)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _layers_to_recompute(models: Sequence[keras.Model]) -> frozenset[int]:
    """Indices of the batch normalisations whose statistics an average of weights makes wrong.

    Those that were frozen while the models were fine-tuned are the same in all of them, and stay.
    """
    indices = set()
    for index, layers in enumerate(zip(*map(_batch_normalisations, models), strict=True)):
        values = [[ops.convert_to_numpy(weight) for weight in layer.weights] for layer in layers]
        equal = all(np.array_equal(a, b) for one in values[1:] for a, b in zip(one, values[0], strict=True))
        if not (equal and all(not layer.trainable for layer in layers)):
            indices.add(index)
    return frozenset(indices)


@contextmanager
def _trainable(layers: Sequence[Any], indices: frozenset[int]) -> Iterator[None]:
    """Make only some layers trainable for a while, also in models that were saved or loaded frozen as a whole."""
    before = [layer.trainable for layer in layers]
    for index, layer in enumerate(layers):
        layer.trainable = index in indices
    try:
        yield
    finally:
        for layer, trainable in zip(layers, before, strict=True):
            layer.trainable = trainable


def _check_classes(members: Sequence[Any]) -> None:
    named = [member for member in members if isinstance(member, Member) and member.class_names is not None]
    other = next((member for member in named if member.class_names != named[0].class_names), None)
    if other is not None:
        raise EnsembleError(
            f"a soup needs the same classes in the same order. Received: {named[0].name!r} and {other.name!r} differ; "
            "combine their outputs instead (combine aligns classes)"
        )
