"""Balance of classes by their numbers of images: ratio, effective numbers, and accuracy of classes by their filling."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerastricks.errors import ConfigError

MANY, FEW = 100, 20  # training images of a many-shot class are above, those of a few-shot class below
BETA = 0.999
UNEVEN = 2.0  # times as many training images in the largest class as in the smallest: scores by filling are shown


def imbalance_ratio(counts: Sequence[int] | np.ndarray) -> float:
    """Images of the largest class over those of the smallest one; infinity where a class is empty.

    Args:
        counts: (K,) images of each class.

    Raises:
        ConfigError: for no class, or numbers below 0.

    Example:
        >>> import kerastricks
        >>> kerastricks.metrics.imbalance_ratio([5000, 500, 50])
        100.0
    """
    known = _checked(counts)
    return float(known.max() / known.min()) if known.min() else float("inf")


def effective_number(counts: Sequence[int] | np.ndarray, beta: float = BETA) -> np.ndarray:
    """Effective number of images of each class, E_n = (1 - beta^n) / (1 - beta).

    The more images a class has, the less a further one adds that the others do not show. E_n is 1 for beta = 0, grows
    ever more slowly towards 1 / (1 - beta) with n, and is n as beta goes to 1.

    Args:
        counts: (K,) images of each class.
        beta: in [0, 1); the paper tries 0.9 to 0.9999.

    Returns:
        (K,) float64.

    Raises:
        ConfigError: for a beta outside its range, no class, or numbers below 0.

    Example:
        >>> import kerastricks
        >>> kerastricks.metrics.effective_number([5000, 500, 50]).round(1).tolist()
        [993.3, 393.6, 48.8]

    Reference:
        Cui et al.: Class-Balanced Loss Based on Effective Number of Samples, arXiv 1901.05555, proposition 1.
    """
    known = _checked(counts)
    if not 0 <= beta < 1:
        raise ConfigError(f"beta must be in [0, 1). Received: beta={beta}")
    if beta == 0:
        return np.minimum(known, 1.0)
    # By expm1 and log1p: 0.9999999 ** 3 loses half of its digits.
    return -np.expm1(known * np.log1p(beta - 1)) / (1 - beta)


def effective_classes(counts: Sequence[int] | np.ndarray) -> float:
    """Number of equally filled classes whose entropy is that of these: exp(-sum p log p); at most how many there are.

    Args:
        counts: (K,) images of each class.

    Raises:
        ConfigError: for no class, or numbers below 0.

    Example:
        >>> import kerastricks
        >>> round(kerastricks.metrics.effective_classes([5000, 500, 50]), 2)
        1.43
    """
    known = _checked(counts)
    shares = known[known > 0] / max(known.sum(), 1.0)
    return float(np.exp(-np.sum(shares * np.log(shares))))


def shot_classes(training_counts: Sequence[int] | np.ndarray, many: int = MANY, few: int = FEW) -> dict[str, list[int]]:
    """Indices of the many-shot, medium-shot and few-shot classes, by their training images.

    Args:
        training_counts: (K,) training images of each class.
        many: a class with more is many-shot.
        few: a class with fewer is few-shot; all others are medium-shot.

    Returns:
        "many", "medium" and "few" to class indices.

    Raises:
        ConfigError: unless 0 <= few <= many + 1.

    Reference:
        Liu et al.: Large-Scale Long-Tailed Recognition in an Open World, arXiv 1904.05160, section 4.1.
    """
    if not 0 <= few <= many + 1:
        raise ConfigError(f"few must be at most many + 1 and not below 0. Received: many={many}, few={few}")
    known = _checked(training_counts)
    bins = {"many": known > many, "medium": (known <= many) & (known >= few), "few": known < few}
    return {name: np.flatnonzero(chosen).tolist() for name, chosen in bins.items()}


def shot_accuracy(
    recall: Sequence[float | None], training_counts: Sequence[int] | np.ndarray, many: int = MANY, few: int = FEW
) -> dict[str, float | None]:
    """Mean recall of the many-shot, medium-shot and few-shot classes; see `shot_classes`.

    Args:
        recall: K values, None for a class without a test image, which does not count.
        training_counts: (K,) training images of each class.
        many: a class with more is many-shot.
        few: a class with fewer is few-shot.

    Returns:
        "many", "medium" and "few" to the mean; None where no class counts.

    Raises:
        ConfigError: for another number of counts than of recalls.

    Example:
        >>> import kerastricks
        >>> kerastricks.metrics.shot_accuracy([0.9, 0.6, 0.2, None], [5000, 90, 19, 3])
        {'many': 0.9, 'medium': 0.6, 'few': 0.2}

    Reference:
        Liu et al.: Large-Scale Long-Tailed Recognition in an Open World, arXiv 1904.05160, section 4.1.
    """
    if len(recall) != len(training_counts):
        raise ConfigError(
            f"training_counts must be one number per class, {len(recall)} here. Received: {len(training_counts)}"
        )
    found: dict[str, float | None] = {}
    for name, classes in shot_classes(training_counts, many, few).items():
        known = [value for value in (recall[index] for index in classes) if value is not None]
        found[name] = float(np.mean(known)) if known else None
    return found


def shot_rows(
    shots: Mapping[str, float | None], training_counts: Sequence[int] | np.ndarray, many: int = MANY, few: int = FEW
) -> list[tuple[str, str, int, float | None]]:
    """Rows of a table of `shot_accuracy`: name, training images as words, how many classes, accuracy."""
    words = {"many": f"over {many:,}", "medium": f"{few:,} to {many:,}", "few": f"below {few:,}"}
    classes = shot_classes(training_counts, many, few)
    return [(f"{name}-shot", words[name], len(classes[name]), shots.get(name)) for name in words]


def describe_shots(
    shots: Mapping[str, float | None], training_counts: Sequence[int] | np.ndarray, many: int = MANY, few: int = FEW
) -> str:
    """A line with `shot_accuracy` of the kinds of classes that there are."""
    parts = []
    for name, words, count, accuracy in shot_rows(shots, training_counts, many, few):
        if count:
            value = "-" if accuracy is None else f"{accuracy:.2%}"
            parts.append(
                f"{name} {value} ({count:,} {'class' if count == 1 else 'classes'} of {words} training images)"
            )
    return ", ".join(parts)


def is_uneven(counts: Sequence[int] | np.ndarray) -> bool:
    """Whether the largest class has at least twice as many images as the smallest one."""
    return imbalance_ratio(counts) >= UNEVEN


def _checked(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    known = np.asarray(counts, dtype="float64")
    if known.ndim != 1 or not known.size or not (np.isfinite(known).all() and known.min() >= 0):
        raise ConfigError(f"counts must be one number of images per class, 0 or more. Received: {counts!r:.80}")
    return known
