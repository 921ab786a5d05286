"""Data-driven initialization: LSUV, and `start_from_data`, which serves every layer that asks for it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.errors import DataError, UsageError
from kerastricks.initializers.lsuv_kernels import LSUV, STARTS, Kernel, is_marked, kernels_of
from kerastricks.initializers.lsuv_pass import LSUVPass, LSUVReport, LSUVRow, named_layers
from kerastricks.initializers.patch_whitening import whiten_patches


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

    "Layer-sequential unit-variance": layer by layer from the input on, so that each is measured after those that
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


@dataclass(frozen=True)
class DataStart:
    """Report of `start_from_data`: false if it did nothing; as text a line or a table.

    Args:
        whitened: whether a convolution was set to whiten patches.
        lsuv: the report on the layers that were marked `LSUV`; None without such.
    """

    whitened: bool
    lsuv: LSUVReport | None

    def __bool__(self) -> bool:
        return self.whitened or self.lsuv is not None

    def __str__(self) -> str:
        parts = ["the first convolution whitens patches"] if self.whitened else []
        parts += [str(self.lsuv)] if self.lsuv else []
        return "\n".join(parts) or "no layer starts from data"


def start_from_data(model: keras.Model, images: Any) -> DataStart:
    """Sets the kernels whose initializer asks for data: `PatchWhitening` first, then those marked `LSUV`.

    A model with neither is left as it is, and calling it again changes nothing: the marks are replaced by
    initializers of Keras's own, so that the saved model loads without kerastricks. LSUV's own seeds hold.

    Args:
        model: a functional or sequential model, built; changed in place.
        images: (N, height, width, C) as the model takes them. `PatchWhitening` sees all of them, a few thousand are
            plenty; LSUV 256, evenly spread.

    Returns:
        A `DataStart`: whether patches were whitened, and LSUV's report.

    Raises:
        UsageError: a ValueError, for a model with marked layers that `lsuv` would not take, or that asks for
            `PatchWhitening` elsewhere than in one convolution of its own.
        DataError: a ValueError, for images that are not finite or do not fit the model.

    Example:
        >>> import kerastricks, numpy
        >>> start = kerastricks.initializers.LSUV()
        >>> model = kerastricks.models.create("plain_cnn(widths=(8,))", (8, 8, 1), 2, initializer=start)
        >>> images = numpy.random.default_rng(0).uniform(0, 255, (64, 8, 8, 1)).astype("float32")
        >>> done = kerastricks.initializers.start_from_data(model, images)
        >>> done.whitened, done.lsuv.converged
        (True, True)
    """
    whitened = whiten_patches(model, images)
    layers = dict(named_layers(model))
    wrappers = {name: layer for name, layer in layers.items() if isinstance(layer, keras.layers.Wrapper)}
    inside = {f"{name}/{wrapper.layer.name}": wrapper.layer for name, wrapper in wrappers.items()}
    report = None
    if any(is_marked(kernel) for layer in [*layers.values(), *inside.values()] for kernel in kernels_of(layer)):
        check_model(model)
        seen = take_images(images, model.inputs[0].shape, max_images=256)
        one_pass = LSUVPass(tolerance=0.1, max_rounds=10, orthonormal=True, seed=None)
        one_pass.run(model, seen, is_marked)
        wrapped = [
            (name, kernel) for name, layer in inside.items() for kernel in kernels_of(layer) if is_marked(kernel)
        ]
        rows = one_pass.rows + [LSUVRow(name, kernel.kind, note="inside a wrapper") for name, kernel in wrapped]
        report = LSUVReport(tuple(rows), len(seen), one_pass.tolerance, one_pass.max_rounds)
    for layer in [*layers.values(), *inside.values()]:
        for name in STARTS:
            if isinstance(getattr(layer, name, None), LSUV):
                setattr(layer, name, keras.initializers.Orthogonal())
    return DataStart(whitened, report)
