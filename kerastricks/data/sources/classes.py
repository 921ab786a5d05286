"""Classes of a source by their names: some of them, or in the order of a model's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import Examples, Source
from kerastricks.errors import DataError, UnknownNameError


def only_classes(source: Source, classes: Sequence[str]) -> Source:
    """Keep only some classes of a source, in its own order; nothing is read.

    Args:
        source: source with all of its classes.
        classes: names of the classes to keep, in any order.

    Raises:
        UnknownNameError: for a class that the source does not have.
        DataError: for fewer than two.
    """
    if isinstance(classes, str):
        raise DataError(f"classes must be a list of names. Received: classes={classes!r}")
    names = [str(name) for name in classes]
    wanted = {canonical(name): name for name in names}
    known = {canonical(name) for name in source.class_names}
    for same, name in wanted.items():
        if same not in known:
            raise UnknownNameError(f"class of {source.name}", name, source.class_names)
    if len(wanted) < 2:
        raise DataError(f"classes must name two or more. Received: {', '.join(names) or 'none'}")
    chosen = [label for label, name in enumerate(source.class_names) if canonical(name) in wanted]
    return replace(
        source,
        class_names=tuple(source.class_names[label] for label in chosen),
        splits={split: _only_labels(examples, np.array(chosen)) for split, examples in source.splits.items()},
    )


def _only_labels(examples: Examples, chosen: np.ndarray) -> Examples:
    taken = examples.take(np.flatnonzero(np.isin(examples.labels, chosen)))
    return replace(taken, labels=np.searchsorted(chosen, taken.labels).astype(np.int32))


def relabel(examples: Examples, found_names: Sequence[str], class_names: Sequence[str], source: str) -> Examples:
    """Convert labels to indices of a model's classes, by name.

    Args:
        examples: images whose labels are indices of `found_names`.
        found_names: classes of the data.
        class_names: classes of the model, all of `found_names` among them.
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
