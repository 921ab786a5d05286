"""LSUV: every layer starts with an output of variance 1 on the user's own data."""

from collections.abc import Collection, Iterable
from math import isfinite
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.errors import DataError, UsageError
from kerastricks.initializers.lsuv_kernels import Kernel, kernels_of
from kerastricks.initializers.lsuv_pass import LSUVPass, named_layers
from kerastricks.initializers.lsuv_report import LSUVReport, LSUVRow


def lsuv(
    model: keras.Model,
    data: Any,
    tolerance: float = 0.1,
    max_rounds: int = 10,
    max_images: int = 256,
    orthonormal: bool = True,
    layers: Collection[keras.layers.Layer] | None = None,
    seed: int | None = None,
) -> LSUVReport:
    """Gives each kernel orthonormal values, then rescales it until its layer's output on `data` has variance 1.

    "Layer-sequential unit-variance": layer by layer from the input on, so that each is measured behind those that
    are done. It helps deep networks without normalisation, whatever their activation, which no formula has to know.
    In front of batch normalisation it changes little, and a layer that was trained already loses what it has
    learned: freeze it, or name the others.

    The output is the pre-activation: the layer's own activation is left out, and the bias stays as it is. The
    variance is over images, positions and channels. Dense, convolution, transposed, depthwise and separable layers
    are known (the two kernels of a separable one are two steps), in nested models as well; a shared layer is set
    at its first use. Frozen layers, layers that wait for `whiten_patches` and kernels inside wrappers or layers of
    an unknown kind are left alone, and the report says so. The network runs in inference mode: no dropout, batch
    normalisation with its moving statistics. All images go through at once, one layer after the other, and no
    layer is computed again when a later one is rescaled.

    Args:
        model: a functional or sequential model with one input, built; its kernels are changed in place.
        data: images as the model takes them: an array (N, height, width, C), or batches of such (a `tf.data`
            data set, a list), of which the first is taken where they are tuples.
        tolerance: how far from 1 the variance may stay, above 0.
        max_rounds: of rescaling for each kernel, 1 or more.
        max_images: how many images at most, evenly spread over an array, or the first of a data set. All
            activations of all of them are held in memory at once.
        orthonormal: whether each kernel starts from orthonormal values; False keeps its own and only scales it.
        layers: the layers to set; None is all.
        seed: of the orthonormal values: an integer, or None for what `keras.utils.set_random_seed` rules.

    Returns:
        An `LSUVReport`: for each kernel rounds, variance before and after, and whether it converged; `str` makes a
        table of it.

    Raises:
        UsageError: a ValueError, for a model that is not built or has several inputs, illegal numbers, or
            `layers` that are not the model's.
        DataError: a ValueError, for images that are not finite or do not fit the model.

    Example:
        >>> import keras, kerastricks, numpy
        >>> layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)]
        >>> images = numpy.random.default_rng(0).normal(size=(64, 8, 8, 1))
        >>> report = kerastricks.initializers.lsuv(keras.Sequential(layers), images)
        >>> report.converged
        True

    Reference:
        Mishkin, Matas: All You Need Is a Good Init, ICLR 2016, arXiv 1511.06422, algorithm 1; Saxe et al., ICLR 2014,
        for the orthonormal start. Deviations: an orthonormal kernel is one in Keras's layout, (k*k*in, out), where
        the authors' own port to Keras flattens it as if it were Caffe's (out, in*k*k); per channel if depthwise. One
        fixed set of images is used in all rounds, where the paper may take a new batch in each; since the output
        is linear in the kernel, one round is then enough wherever the bias is zero.
    """
    _check_numbers(tolerance, max_rounds, max_images)
    check_model(model)
    own = [layer for _, layer in named_layers(model)]
    strangers = [layer for layer in layers or () if not any(layer is mine and kernels_of(mine) for mine in own)]
    if strangers:
        raise UsageError(f"layers must be layers of the model that have a kernel. Received: {strangers[0]!r}")
    images = take_images(data, model.inputs[0].shape, max_images)
    chosen = None if layers is None else {id(layer) for layer in layers}

    def wanted(kernel: Kernel) -> bool:
        return chosen is None or id(kernel.layer) in chosen

    one_pass = LSUVPass(tolerance, max_rounds, orthonormal, seed)
    one_pass.run(model, images, wanted)
    rows = one_pass.rows + (_unseen(model) if layers is None else [])
    return LSUVReport(tuple(rows), len(images), tolerance, max_rounds)


def check_model(model: Any) -> None:
    """Raises UsageError for a model that LSUV cannot run."""
    if not isinstance(model, keras.Model) or not model.built or len(getattr(model, "inputs", None) or ()) != 1:
        raise UsageError(
            "model must be a functional or sequential model with one input, built: call it on a batch or give it a "
            f"keras.Input. Received: {model!r}"
        )


def take_images(data: Any, shape: tuple[int | None, ...], max_images: int) -> np.ndarray:
    """At most `max_images` finite images of the model's input shape.

    Args:
        data: see `lsuv`.
        shape: of the model's input, with the batch.
        max_images: see `lsuv`.
    """
    if hasattr(data, "shape"):
        images = _array(data)
        if images.ndim and len(images) > max_images:
            images = images[np.linspace(0, len(images) - 1, max_images).astype(int)]
    else:
        images = _first_images(data, max_images)
    fits = images.ndim == len(shape) and all(
        side in (None, size) for side, size in zip(shape[1:], images.shape[1:], strict=True)
    )
    if not fits or not len(images):
        raise DataError(f"data must be images of shape {shape} as the model takes them. Received: {images.shape}")
    if not np.isfinite(images).all():
        raise DataError(f"data must be finite. Received: NaN or infinite values in images of shape {images.shape}")
    return images


def _first_images(batches: Any, max_images: int) -> np.ndarray:
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise DataError(f"data must be an array of images or batches of them. Received: {type(batches).__name__}")
    # A PyDataset has a length but, as a sequence, no end.
    indexed = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
    parts: list[np.ndarray] = []
    for batch in (batches[index] for index in range(len(batches))) if indexed else iter(batches):
        parts.append(_array(batch[0] if isinstance(batch, tuple | list) else batch))
        if parts[-1].ndim == 0 or parts[-1].shape[1:] != parts[0].shape[1:]:
            raise DataError(f"data must hold batches of images of one shape. Received: {parts[-1].shape}")
        if sum(map(len, parts)) >= max_images:
            break
    return np.concatenate(parts)[:max_images] if parts else np.empty(0)


def _array(images: Any) -> np.ndarray:
    try:
        return np.asarray(ops.convert_to_numpy(images), "float32")
    except (ValueError, TypeError) as error:
        raise DataError(f"data must be numbers: {' '.join(str(error).split())}") from None


def _check_numbers(tolerance: float, max_rounds: int, max_images: int) -> None:
    if not (isfinite(tolerance) and tolerance > 0):
        raise UsageError(f"tolerance must be above 0. Received: tolerance={tolerance}")
    for name, number in (("max_rounds", max_rounds), ("max_images", max_images)):
        if not isinstance(number, int) or number < 1:
            raise UsageError(f"{name} must be an integer of 1 or more. Received: {name}={number!r}")


def _unseen(model: keras.Model) -> list[LSUVRow]:
    """Rows for the kernels that no layer of the model itself holds."""
    seen = {id(kernel.variable) for _, layer in named_layers(model) for kernel in kernels_of(layer)}
    return [
        LSUVRow(weight.path.rpartition("/")[0], weight.name, note="inside a wrapper or a layer of another kind")
        for weight in model.trainable_variables
        if weight.name.endswith("kernel") and id(weight) not in seen
    ]
