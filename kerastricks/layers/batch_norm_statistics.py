"""Recomputed statistics of batch normalization, for weights that no training step has seen."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.keras_graph import all_layers

# A variance that no pass produces: where it is found, the layer was not called.
_NOT_CALLED = -1.0


def recompute_batch_norm(model: keras.Model, batches: Iterable[Any]) -> int:
    """Replaces the moving statistics of every batch normalisation by those of `batches` under the model's weights.

    Averaged weights (SWA, EMA, soups) never trained: the moving statistics that lie beside them belong to other
    weights, and inference with them can fall to chance. The model is run over the batches in training mode, each
    layer normalising with its batch, and a layer's statistics become the mean and the population variance of all its
    inputs taken together: variances within batches plus the variance between their means, weighted by images. The
    number of batches and a last smaller one do not matter; their size does a little, as in training, because layers
    further down see inputs that were normalised by batch. A few thousand images are enough.

    Dropout, stochastic depth and layers that augment act as they do in training. Dropout before a batch normalisation
    makes the variance larger than at inference, as it does in training itself (Li et al. 2019); give the batches of a
    model without it where that matters. Frozen layers (`trainable = False`) normalise with their statistics as they
    are, so they keep them. A layer that is called several times in one pass takes the last call's. All other weights,
    seeds and settings are afterwards what they were, and if a batch fails, so are the statistics.

    Args:
        model: built, of any kind; layers in nested models count, also in mixed precision.
        batches: images, or tuples whose first element is what the model is called with, such as (images, labels): a
            list, a generator that ends, a `tf.data.Dataset`, a `DataLoader`. Read once.

    Returns:
        How many layers got new statistics; 0, with no batch read, where the model has no batch normalisation that
        is not frozen.

    Raises:
        ValueError: for a model that is not built, no images in `batches`, or statistics that are not finite.

    Example:
        >>> import keras, kerastricks, numpy
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
        >>> images = numpy.arange(24.0).reshape(8, 3)
        >>> kerastricks.layers.recompute_batch_norm(model, [images[:5], images[5:]])
        1
        >>> bool(numpy.allclose(model.layers[0].moving_mean, images.mean(axis=0)))
        True

    Reference:
        Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: Averaging Weights Leads to Wider Optima and Better
        Generalization, UAI 2018, section 3.2. Deviation: the paper's pass takes the mean of the batches' variances;
        here the variance of the batches' means is added, which makes it that of all images. Li, Chen, Hu, Yang:
        Understanding the Disharmony between Dropout and Batch Normalization, CVPR 2019.
    """
    layers = [
        layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not model.built or not all(layer.built for layer in layers):
        raise ValueError(f"model must be built: call it once on a batch. Received: model={model.name!r}, not built")
    if not layers:
        return 0
    found = [_Pooled(int(layer.moving_mean.shape[0])) for layer in layers]
    with _batch_statistics(model, layers):
        one_pass = _Pass(model, layers)
        images_read = 0
        for batch in batches:
            inputs = keras.tree.map_structure(_array, batch[0] if isinstance(batch, tuple | list) else batch)
            images = int(keras.tree.flatten(inputs)[0].shape[0])
            if not images:
                continue
            images_read += images
            statistics = np.asarray(one_pass.predict_on_batch(inputs), "float64")
            for pooled in found:
                mean, variance, statistics = np.split(statistics, [pooled.size, 2 * pooled.size])
                pooled.add(images, mean, variance)
    if not images_read:
        raise ValueError("batches must hold images. Received: none; an iterator that was read before is empty")
    for layer, pooled in zip(layers, found, strict=True):
        if pooled.count and not (np.isfinite(pooled.mean).all() and np.isfinite(pooled.variance).all()):
            raise ValueError(
                f"the inputs of {layer.path!r} must be finite. Received: statistics that are not, of {images_read} "
                "images; look at the weights (averages of weights can diverge) and the images"
            )
    called = [(layer, pooled) for layer, pooled in zip(layers, found, strict=True) if pooled.count]
    for layer, pooled in called:
        pooled.put_into(layer)
    return len(called)


class _Pooled:
    """Mean and population variance of one layer's inputs, in float64."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self.mean = np.zeros(size)
        self.variance = np.zeros(size)

    def add(self, count: int, mean: np.ndarray, variance: np.ndarray) -> None:
        if (variance == _NOT_CALLED).all():
            return
        self.count += count
        share = count / self.count
        difference = mean - self.mean
        # Chan, Golub, LeVeque 1983: no difference of large squares.
        self.variance += share * (variance - self.variance) + share * (1 - share) * difference**2
        self.mean = self.mean + share * difference

    def put_into(self, layer: Any) -> None:
        layer.moving_mean.assign(self.mean)
        layer.moving_variance.assign(self.variance)
        if getattr(layer, "renorm", False):
            deviation = np.sqrt(self.variance + layer.epsilon)
            layer.renorm_mean.assign(self.mean)
            layer.renorm_stddev.assign(deviation)
            layer.moving_stddev.assign(deviation)


class _Pass(keras.Model):
    """Calls a model in training mode and returns its layers' statistics as one vector."""

    def __init__(self, model: keras.Model, layers: list[Any]) -> None:
        super().__init__(name="batch_norm_pass", dtype="float32", autocast=False)  # no rounding by the global policy
        self.model = model
        self.normalisations = layers
        self.built = True

    def call(self, inputs: Any) -> Any:
        self.model(inputs, training=True)
        values = [value for layer in self.normalisations for value in (layer.moving_mean, layer.moving_variance)]
        return ops.concatenate([ops.convert_to_tensor(value, "float32") for value in values])


@contextmanager
def _batch_statistics(model: keras.Model, layers: list[Any]) -> Iterator[None]:
    """Makes each pass store its batch's statistics, and restores everything at the end."""
    kept = [(variable, np.array(ops.convert_to_numpy(variable))) for variable in _state(model)]  # copies on torch too
    settings = [(layer, layer.momentum, getattr(layer, "renorm", False)) for layer in layers]
    for layer in layers:
        # What was there is multiplied by 0, and must be finite for that.
        layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, _NOT_CALLED))
        layer.momentum, layer.renorm = 0.0, False
    try:
        yield
    finally:
        for layer, momentum, renorm in settings:
            layer.momentum, layer.renorm = momentum, renorm
        for variable, value in kept:
            variable.assign(value)


def _state(model: keras.Model) -> list[Any]:
    """Variables that a forward pass may change: statistics, seeds, and the state of layers of any other kind."""
    weights = {id(variable) for variable in model.trainable_variables}
    return [variable for variable in model.variables if id(variable) not in weights]


def _array(values: Any) -> Any:
    """Array of the backend or of NumPy: a data set of another library gives tensors that this one cannot take."""
    return values if ops.is_tensor(values) else np.asarray(values)
