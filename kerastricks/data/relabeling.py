"""Labels of one data set in the numbers of another's classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import Examples
from kerastricks.errors import DataError


def relabel(examples: Examples, found_names: Sequence[str], class_names: Sequence[str], source: str) -> Examples:
    """Labels by the names of the classes: their numbers may differ between the two data sets.

    Args:
        examples: with numbers of `found_names`.
        found_names: the classes of the data.
        class_names: the classes of a model, all of `found_names` among them.
        source: name of the data, for messages.

    Raises:
        DataError: for a class that the model does not know.
    """
    numbers = {canonical(name): number for number, name in enumerate(class_names)}
    unknown = sorted(name for name in found_names if canonical(name) not in numbers)
    if unknown:
        raise DataError(
            f"{source}: class {unknown[0]!r} is not one of the model's: {', '.join(class_names)}: rename the folder"
        )
    table = np.array([numbers[canonical(name)] for name in found_names], np.int32)
    return replace(examples, labels=table[examples.labels])


def relabelled(data: ImageData, class_names: Sequence[str]) -> ImageData:
    """`data` whose labels are places in `class_names`.

    Raises:
        DataError: for a class that is not in it.
    """
    if tuple(class_names) == tuple(data.class_names):
        return data
    splits = {}
    for name, batches in data.splits.items():
        examples = relabel(batches.examples, data.class_names, class_names, data.name)
        splits[name] = Batches(
            examples,
            data.image_shape,
            batches.batch_size,
            data.seed,
            batches.decoded,
            batches.service,
            data.fitting,
        )
    return replace(data, class_names=tuple(class_names), splits=splits)
