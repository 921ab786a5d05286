"""Well-filled and rare classes: the two parts of imbalanced data that a fine-tuning trains on one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastricks.errors import ConfigError
from kerastricks.metrics.class_balance import UNEVEN


@dataclass(frozen=True)
class ClassParts:
    """The classes in two parts, by their training images.

    Args:
        well_filled: labels, in the order of the classes.
        rare: labels, in the order of the classes.
        below: a class with fewer training images is rare.
    """

    well_filled: tuple[int, ...]
    rare: tuple[int, ...]
    below: int

    def named(self, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The names of the classes in each part, for a report."""
        return {
            "well_filled": tuple(class_names[label] for label in self.well_filled),
            "rare": tuple(class_names[label] for label in self.rare),
        }


def split_classes(
    counts: Sequence[int], class_names: Sequence[str], rare_below: int | None = None, rare_only: bool = False
) -> ClassParts:
    """Divide classes into well-filled and rare ones.

    Without `rare_below` by Otsu's threshold on the logarithms of the numbers of images: of all ways to cut the sorted
    classes in two, the one with the largest variance between the two groups, and of equal ones that with fewer rare
    classes. It follows steps and gaps, halves a tail that falls evenly, and depends on ratios only, not on how many
    images there are. A threshold at the mean would put all but one or two classes of a long tail into the rare part.

    Args:
        counts: training images of each class.
        class_names: of the classes.
        rare_below: a class with fewer training images is rare; None to choose it.
        rare_only: whether the second part is the rare classes by themselves, two or more then.

    Raises:
        ConfigError: for a class with fewer than two training images, classes that are evenly filled, or a part that has
            too few classes to be told apart.

    Example:
        >>> from kerastricks.finetuning.class_parts import split_classes
        >>> split_classes([500, 400, 60, 40], ["a", "b", "c", "d"])
        ClassParts(well_filled=(0, 1), rare=(2, 3), below=400)

    Reference:
        Otsu: A Threshold Selection Method from Gray-Level Histograms, IEEE Trans. SMC 1979. Wei: Must Know Tips/Tricks
        in Deep Neural Networks, 2015, section 9, which has the two parts, gives no threshold.
    """
    check_counts(counts, class_names, "two_stage")
    images = np.asarray(counts)
    most, fewest = int(images.max()), int(images.min())
    if rare_below is None and most < UNEVEN * fewest:
        raise ConfigError(
            f"plan two_stage: classes have {fewest:,} to {most:,} training images each, so none is rare: take plan "
            "last or all, or say which are rare with rare_below (--rare-below)"
        )
    below = _otsu(images) if rare_below is None else rare_below
    rare = images < below
    if rare.all() or not rare.any():
        kind = "every class" if rare.all() else "no class"
        raise ConfigError(
            f"plan two_stage: {kind} has fewer than rare_below={below:,} training images: give a number from "
            f"{fewest + 1:,} to {most:,}"
        )
    parts = ClassParts(tuple(np.flatnonzero(~rare).tolist()), tuple(np.flatnonzero(rare).tolist()), int(below))
    single = parts.well_filled if len(parts.well_filled) == 1 else parts.rare if rare_only else ()
    if len(single) == 1:
        part = "well-filled" if single is parts.well_filled else "rare"
        raise ConfigError(
            f"plan two_stage: the {part} part is a single class, {class_names[single[0]]!r}, and there is nothing to "
            "tell apart in it: give another rare_below (--rare-below), or take plan decoupled"
        )
    return parts


def check_counts(counts: Sequence[int], class_names: Sequence[str], strategy: str) -> None:
    """Raise ConfigError naming a class with fewer than two training images."""
    for count, name in zip(counts, class_names, strict=True):
        if count < 2:
            images = "no training image" if count == 0 else "one training image"
            raise ConfigError(
                f"plan {strategy}: class {name!r} has {images}, of which nothing general can be learned: add images, "
                "or leave the class out with classes (--classes)"
            )


def rows_of(labels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Sorted indices of the images of some classes."""
    return np.flatnonzero(np.isin(labels, classes))


def _otsu(counts: np.ndarray) -> int:
    """The number of images from which a class is well-filled."""
    logs = np.log(counts)
    thresholds = np.unique(counts)[1:]
    spreads = []
    for threshold in thresholds:
        rare = counts < threshold
        spreads.append(rare.mean() * (1 - rare.mean()) * (logs[~rare].mean() - logs[rare].mean()) ** 2)
    equal = np.isclose(spreads, np.max(spreads))
    return int(thresholds[int(equal.argmax())])
