"""Weights of classes by their numbers of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.imbalance.remedies import RULES
from kerastricks.metrics.class_balance import effective_number


def class_weights(
    counts: Sequence[int] | np.ndarray,
    rule: str | Mapping[str, float] = "inverse",
    beta: float = 0.9999,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Weigh classes so that their mean over all training images is 1.

    With a mean of 1 the learning rate keeps its meaning, which weights as Keras's `class_weight` takes them change
    silently. Weighting by the inverse counts from the start of a training gains little on a network trained from
    scratch, and may lose: prefer a loss with the prior in it, or begin late. See docs/imbalance.md.

    Args:
        counts: training images of each class, (K,); 1 or more each.
        rule: "inverse", 1 / n; "square_root", 1 / sqrt(n); "effective_number", 1 / E_n; or weights by class names,
            in which a class that is not named has 1.
        beta: of the effective number, in [0, 1).
        class_names: of the classes, for weights by name; None for "0", "1", ...

    Returns:
        (K,) float64, above 0, of which `(counts * weights).sum() / counts.sum()` is 1.

    Raises:
        ConfigError: for a class without an image, an unknown rule, `beta` outside [0, 1), or a weight that is no
            number of 0 or more.
        UnknownNameError: for the weight of a class that there is not.

    Example:
        >>> import kerastricks
        >>> kerastricks.imbalance.class_weights([90, 10]).round(4).tolist()
        [0.5556, 5.0]

    Reference:
        "effective_number": Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, equation
        10, with the authors' 0.9999 for CIFAR-10. Deviation: the paper's weights have a sum of K; here their mean over
        images is 1, so that rare classes do not change the effective learning rate.
    """
    images = np.asarray(counts, "float64")
    names = [str(index) for index in range(len(images))] if class_names is None else list(class_names)
    if not isinstance(rule, str):
        weights = _by_name(rule, names)
    else:
        check_images(images, names)
        if rule == "inverse":
            weights = 1 / images
        elif rule == "square_root":
            weights = 1 / np.sqrt(images)
        elif rule == "effective_number":
            weights = 1 / effective_number(images, beta)
        else:
            raise UnknownNameError("rule of class weights", rule, RULES)
    total = (images * weights).sum()
    if not total > 0:
        raise ConfigError("class weights leave no image with a weight above 0: raise one")
    return weights * (images.sum() / total)


def check_images(counts: np.ndarray, class_names: Sequence[str]) -> None:
    """Raise ConfigError naming a class without a training image."""
    empty = np.flatnonzero(np.asarray(counts) < 1)
    if len(empty):
        raise ConfigError(
            f"class {class_names[int(empty[0])]!r} has no training image, and nothing can be balanced by that: add "
            "images, or leave the class out with classes"
        )


def _by_name(given: Mapping[str, Any], class_names: Sequence[str]) -> np.ndarray:
    weights = np.ones(len(class_names))
    index = {name: number for number, name in enumerate(class_names)}
    for name, weight in given.items():
        if str(name) not in index:
            raise UnknownNameError("class of the data", str(name), class_names)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < np.inf:
            raise ConfigError(f"the weight of class {name!r} must be a number of 0 or more. Received: {weight!r}")
        weights[index[str(name)]] = weight
    return weights
