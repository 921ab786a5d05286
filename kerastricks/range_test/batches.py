"""The batches of a range test: read once, kept in memory, equal in every sweep."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kerastricks.errors import DataError, UsageError

MEMORY_BYTES = 1 << 30


def take_batches(dataset: Any, y: Any = None, batch_size: int | None = None, count: int = 100) -> list[tuple]:
    """Reads at most `count` batches of one size, as (x, y, sample_weight); those of another size are left out.

    The source is left as it was: one that would begin its next epoch with another order is refused.

    Args:
        dataset: a `tf.data.Dataset`, `keras.utils.PyDataset`, torch `DataLoader`, list of batches, or arrays with `y`.
        y: targets of arrays; None for all else, whose batches bring theirs.
        batch_size: of arrays; 32 by default, as in `fit`.
        count: the most batches; fewer where they exceed a gibibyte.

    Raises:
        UsageError: for data that cannot be read without being used up, and for none.
        DataError: for a `tf.data.Dataset` that shuffles anew at each iteration.
    """
    found: list[tuple] = []
    size, room = None, MEMORY_BYTES
    for batch in itertools.islice(_batches(dataset, y, batch_size), 4 * count):
        x, target, weight = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(_native, batch))
        parts = [part for part in keras.tree.flatten((x, target, weight)) if part is not None]
        size = size or len(parts[0])
        if len(parts[0]) != size:
            continue
        room -= sum(_bytes(part) for part in parts)
        if found and room < 0:
            break
        found.append((x, target, weight))
        if len(found) == count:
            break
    if not found:
        raise UsageError("dataset: has no batches")
    return found


def _batches(dataset: Any, y: Any, batch_size: int | None) -> Iterable[Any]:
    if y is not None or _is_array(dataset) or (isinstance(dataset, tuple) and all(map(_is_array, dataset))):
        return _slices(dataset, y, batch_size or 32)
    if batch_size is not None:
        raise UsageError(f"batch_size: is for arrays only; {type(dataset).__name__} has its own")
    tensorflow = sys.modules.get("tensorflow")  # of a tf.data.Dataset it is imported already
    if tensorflow is not None and isinstance(dataset, tensorflow.data.Dataset):
        if _reshuffles(dataset):
            raise DataError(
                "dataset: it shuffles anew at each iteration, and reading it would move the order of its next epoch: "
                "give a list of its batches, list(dataset.take(100)), or make it with "
                "shuffle(..., reshuffle_each_iteration=False)"
            )
        return dataset
    if isinstance(dataset, keras.utils.PyDataset):
        return _items(dataset)
    if hasattr(dataset, "batch_sampler"):
        return _loader(dataset)
    if isinstance(dataset, list):
        return dataset
    raise UsageError(
        "dataset: must be a tf.data.Dataset, keras.utils.PyDataset, torch DataLoader, arrays, or a list of batches; "
        f"what can be read only once could not be restored. Received: {type(dataset).__name__}"
    )


def _reshuffles(dataset: Any) -> bool:
    """Whether it, or a dataset that it is made of, moves a random generator that all iterations share."""
    if "Shuffle" in type(dataset).__name__ and getattr(dataset, "_reshuffle_each_iteration", True) is not False:
        return True
    return any(map(_reshuffles, dataset._inputs()))


def _slices(x: Any, y: Any, batch_size: int) -> Iterator[tuple]:
    """Yields batches of arrays in a fixed random order: arrays are often sorted by class."""
    arrays = x if y is None and isinstance(x, tuple) else (x, y)
    flat = [part for part in keras.tree.flatten(arrays) if part is not None]
    total = len(flat[0])
    if any(len(part) != total for part in flat):
        raise UsageError(f"dataset: x and y must have one length. Received: {[len(part) for part in flat]}")
    batch_size = min(batch_size, total)
    order = np.random.default_rng(0).permutation(total)
    for start in range(0, total - batch_size + 1, batch_size):
        chosen = np.sort(order[start : start + batch_size])
        yield keras.tree.map_structure(lambda part, rows=chosen: None if part is None else _rows(part, rows), arrays)


def _rows(part: Any, rows: np.ndarray) -> Any:
    if isinstance(part, np.ndarray) or hasattr(part, "iloc"):
        return np.asarray(part)[rows]
    return keras.ops.take(part, rows, axis=0)


def _items(dataset: keras.utils.PyDataset) -> Iterator[Any]:
    """Yields batches by index, without worker processes and without the end of an epoch."""
    numbers: Iterable[int] = itertools.count() if dataset.num_batches is None else range(dataset.num_batches)
    return (dataset[number] for number in numbers)


def _loader(loader: Any) -> Iterator[Any]:
    """Yields the batches of a torch DataLoader; its own generator is restored, the global one by the caller."""
    generator = getattr(loader, "generator", None)
    state = generator.get_state() if generator is not None else None
    try:
        for batch in loader:
            yield tuple(batch) if isinstance(batch, list) else batch
    finally:
        if generator is not None:
            generator.set_state(state)


def _native(part: Any) -> Any:
    """Converts a TensorFlow tensor to NumPy under another backend."""
    foreign = keras.backend.backend() != "tensorflow" and type(part).__module__.startswith("tensorflow")
    return part.numpy() if foreign else part


def _is_array(thing: Any) -> bool:
    return (hasattr(thing, "shape") and hasattr(thing, "__getitem__")) or hasattr(thing, "iloc")


def _bytes(part: Any) -> int:
    return (
        int(np.prod(part.shape))
        * np.dtype(keras.backend.standardize_dtype(part.dtype).replace("bfloat", "float")).itemsize
    )
