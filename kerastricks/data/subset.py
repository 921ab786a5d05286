"""Some of the classes of a source."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.source import Examples, Source
from kerastricks.errors import DataError, UnknownNameError


def only_classes(source: Source, classes: Sequence[str]) -> Source:
    """The source with these classes alone, in its own order; nothing is read.

    Args:
        source: with all of its classes.
        classes: names, in any order.

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
