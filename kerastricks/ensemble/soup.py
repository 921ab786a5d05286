"""Averages of the weights of networks that were fine-tuned from one start: one network of the original size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.ensemble.member import Member
from kerastricks.ensemble.same_network import check_same_network
from kerastricks.errors import EnsembleError
from kerastricks.layers.adapted_state import finish_adapting
from kerastricks.layers.batch_norm_statistics import recompute_batch_norm


@dataclass(frozen=True, eq=False)
class GreedySoup:
    """What `greedy_soup` found.

    Args:
        model: with the averaged weights; a new one.
        chosen: places of the models that are in it, in the order in which they were taken.
        score: of `model`.
        scores: of the models alone.
    """

    model: keras.Model
    chosen: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def uniform_soup(models: Sequence[keras.Model | Member], batches: Iterable[Any] | None = None) -> keras.Model:
    """Makes a new model with the mean of the weights of several.

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
    kitchen = _Kitchen(models, batches)
    return kitchen.cook(range(len(kitchen.models)))


def greedy_soup(
    models: Sequence[keras.Model | Member],
    score: Callable[[keras.Model], float],
    batches: Iterable[Any] | None = None,
    scores: Sequence[float] | None = None,
) -> GreedySoup:
    """Averages the weights of the models that make the average better.

    Models are tried from the best down, and one stays in if the soup with it scores at least as high as without. The
    result never scores below the best model. Each trial costs one pass over `batches` and one call of `score`, which
    should look at images that neither trained the models nor measure the result.

    Args:
        models: two or more of one architecture, functional or Sequential; they stay as they are.
        score: called with a model; higher is better (accuracy, minus log-loss).
        batches: as of `uniform_soup`; read for each trial, so it must be one that can be read again: a list, a
            `tf.data.Dataset`, no generator.
        scores: of the models, where they are known.

    Returns:
        A `GreedySoup`.

    Raises:
        EnsembleError: as of `uniform_soup`, for a generator, or scores that are not finite.

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
        Wortsman et al. 2022, recipe 1. Deviation: recomputed batch-norm statistics, as of `uniform_soup`; a soup of one
        is that model with its own.
    """
    kitchen = _Kitchen(models, batches)
    if kitchen.layers and isinstance(batches, Iterator):
        raise EnsembleError("batches must be something that can be read again. Received: an iterator; give a list")
    alone = tuple(float(score(model)) for model in kitchen.models) if scores is None else tuple(map(float, scores))
    if len(alone) != len(kitchen.models) or not np.isfinite(alone).all():
        raise EnsembleError(
            f"scores must be one finite number for each of {len(kitchen.models)} models. Received: {alone}"
        )
    first, *others = sorted(range(len(alone)), key=lambda place: -alone[place])
    chosen, best, model = [first], alone[first], kitchen.cook([first])
    for place in others:
        candidate = kitchen.cook([*chosen, place])
        found = float(score(candidate))
        if found >= best:
            chosen, best, model = [*chosen, place], found, candidate
    return GreedySoup(model, tuple(chosen), best, alone)


class _Kitchen:
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

    def cook(self, places: Sequence[int]) -> keras.Model:
        """A new model with the mean of these models' weights."""
        soup = keras.models.clone_model(self.models[places[0]])
        for weight, *values in zip(soup.weights, *(self.models[place].weights for place in places), strict=True):
            weight.assign(_mean(values))
        finish_adapting(soup)
        if len(places) > 1 and self.layers:
            found = _batch_normalisations(soup)
            with _trainable(found, self.layers):
                recompute_batch_norm(soup, self.batches or ())
        return soup


def _mean(values: Sequence[Any]) -> np.ndarray:
    """In float64; of whole numbers (a count) the first."""
    arrays = [np.asarray(ops.convert_to_numpy(value)) for value in values]
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(values[0].dtype)):
        return arrays[0]
    total = np.zeros(arrays[0].shape)
    for array in arrays:
        total += array.astype("float64")
    return total / len(arrays)


def _batch_normalisations(model: keras.Model) -> list[Any]:
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _layers_to_recompute(models: Sequence[keras.Model]) -> frozenset[int]:
    """Places of the batch normalisations whose statistics an average of weights makes wrong.

    Those that were frozen while the models were fine-tuned are the same in all of them, and stay.
    """
    places = set()
    for place, layers in enumerate(zip(*map(_batch_normalisations, models), strict=True)):
        values = [[ops.convert_to_numpy(weight) for weight in layer.weights] for layer in layers]
        equal = all(np.array_equal(a, b) for one in values[1:] for a, b in zip(one, values[0], strict=True))
        if not (equal and all(not layer.trainable for layer in layers)):
            places.add(place)
    return frozenset(places)


@contextmanager
def _trainable(layers: Sequence[Any], places: frozenset[int]) -> Iterator[None]:
    """Of models that were saved or loaded frozen as a whole, too."""
    before = [layer.trainable for layer in layers]
    for place, layer in enumerate(layers):
        layer.trainable = place in places
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
