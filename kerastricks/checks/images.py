"""The arguments of a check: a model, images and labels that fit each other; the random state is kept."""

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from kerastricks.errors import UsageError


def functional(model: Any) -> keras.Model:
    """Converts to a plain functional model over the layers of `model`.

    Raises:
        UsageError: for a subclassed or unbuilt model, and for several inputs or outputs.
    """
    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError, ValueError):
        inputs, outputs = [], []
    if not isinstance(model, keras.Model) or len(inputs) != 1 or len(outputs) != 1:
        what = f"{len(inputs)} inputs and {len(outputs)} outputs" if inputs else "a subclassed or unbuilt one"
        raise UsageError(
            "model must be a functional or Sequential keras.Model with one input and one output; give a Sequential an "
            f"Input. Received: {what if isinstance(model, keras.Model) else type(model).__name__}"
        )
    return keras.Model(inputs[0], outputs[0], name=model.name)


def as_images(images: Any, model: keras.Model, least: int = 2) -> np.ndarray:
    """Converts to (N, ...) float32, as the input of `model` takes them.

    Raises:
        UsageError: for another shape, NaN or infinity, or fewer than `least` images.
    """
    expected = model.inputs[0].shape[1:]
    try:
        found = np.asarray(images, "float32")
    except (TypeError, ValueError):
        found = np.empty(())
    fits = found.ndim == len(expected) + 1 and all(
        side in (None, size) for side, size in zip(expected, found.shape[1:], strict=True)
    )
    if not fits or len(found) < least:
        sides = ", ".join("any" if side is None else str(side) for side in expected)
        received = f"shape {found.shape}" if found.ndim else type(images).__name__
        raise UsageError(
            f"images must have shape (N, {sides}), as the model takes them, with N of {least} or more. "
            f"Received: {received}"
        )
    finite = np.isfinite(found.reshape(len(found), -1)).all(axis=1)
    if not finite.all():
        raise UsageError(
            f"images must be finite: {np.count_nonzero(~finite)} of {len(found)} hold NaN or infinity, the first is "
            f"image {int(np.argmin(finite))}: leave them out"
        )
    return found


def batches(images: Any, model: keras.Model, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of an array, or those of an iterable of batches or of (batch, labels).

    Raises:
        UsageError: as `as_images`; fewer than two images are refused at the end.
    """
    if hasattr(images, "shape") or isinstance(images, list | tuple) or not isinstance(images, Iterable):
        found = as_images(images, model)
        for start in range(0, len(found), batch_size):
            yield found[start : start + batch_size]
        return
    count = 0
    for batch in images:
        found = as_images(batch[0] if isinstance(batch, list | tuple) else batch, model, least=1)
        count += len(found)
        for start in range(0, len(found), batch_size):
            yield found[start : start + batch_size]
    if count < 2:
        raise UsageError(f"images must be 2 or more. Received: an iterable with {count}")


def as_labels(labels: Any, count: int, classes: int, seed: int) -> np.ndarray:
    """Converts to (N,) int32 class indices; drawn from `seed` for None.

    Raises:
        UsageError: for another number of labels, or indices that are no classes of the model.
    """
    if labels is None:
        return np.random.default_rng(seed).integers(0, classes, count).astype("int32")
    found = np.asarray(labels)
    if found.shape != (count,) or not np.issubdtype(found.dtype, np.integer):
        raise UsageError(
            f"labels must be {count} class numbers, one per image. Received: shape {found.shape}, {found.dtype}"
        )
    if found.min() < 0 or found.max() >= classes:
        raise UsageError(f"labels must be in 0-{classes - 1}. Received: {found.min()} to {found.max()}")
    return found.astype("int32")


def positive(name: str, value: float, least: float) -> None:
    """Raises UsageError for a number below `least`."""
    if not value >= least:
        raise UsageError(f"{name} must be {least} or more. Received: {name}={value!r}")


@contextmanager
def random_state_kept(seed: int) -> Iterator[None]:
    """Seeds the global generators inside, and restores them afterwards.

    Keras seeds a new layer from Python's generator; under torch, dropout draws from torch's.
    """
    before = random.getstate()
    with ExitStack() as stack:
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng())
            torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
