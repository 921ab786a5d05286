"""Choice of a remedy from the numbers of images, as `imbalance="auto"` takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastricks.metrics.class_balance import UNEVEN


@dataclass(frozen=True)
class Advice:
    """A remedy for imbalanced classes, with the reason.

    Args:
        imbalance: a spec for `Config.imbalance`; "" for nothing.
        reason: in a line.
    """

    imbalance: str
    reason: str


def advise(class_counts: Sequence[int], monitor: str = "val_balanced_accuracy") -> Advice:
    """Choose a remedy for classes of unequal size, by what docs/imbalance.md measures.

    Args:
        class_counts: training images of each class; classes without any do not count.
        monitor: the metric that matters: "val_accuracy" where images to come are distributed as the training images
            are; any other for classes that count alike.

    Returns:
        The remedy, and why.
    """
    counts = np.array([count for count in class_counts if count > 0])
    if len(counts) < 2:
        return Advice("", "fewer than two classes have images")
    ratio = counts.max() / counts.min()
    most, fewest = counts.max(), counts.min()
    sizes = f"the largest class has {ratio:.1f} times the images of the smallest, {most:,} and {fewest:,}"
    if ratio < UNEVEN:
        return Advice("", f"{sizes}: too little to need a remedy")
    if monitor == "val_accuracy":
        return Advice("", f"{sizes}, and for plain accuracy on images distributed alike any remedy costs some")
    return Advice("balanced_softmax", f"{sizes}: balanced softmax gains most in balanced accuracy, at no cost in time")
