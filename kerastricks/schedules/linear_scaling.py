"""Batch-size rules: scaling the learning rate with the batch size, linearly or by its square root."""

import math
from collections.abc import Callable

from kerastricks.errors import ConfigError, UnknownNameError

# The ratio of the batch sizes to that of the rates.
RULES: dict[str, Callable[[float], float]] = {
    "constant": lambda ratio: 1.0,
    "linear": lambda ratio: ratio,
    "sqrt": lambda ratio: math.sqrt(ratio),
}


def batch_size_rule(rule: str, batch_size: int, base_batch: int = 128) -> float:
    """Factor by which the learning rate for batches of `base_batch` is scaled for batches of `batch_size`.

    constant: 1;   linear: k;   sqrt: sqrt(k),   with k = batch_size / base_batch

    A gradient is the mean over its batch, so that a batch of k times as many images makes a kth of the steps in an
    epoch. "linear" goes as far in an epoch as before, "sqrt" keeps the variance of what noise adds up to. Both fail
    where the rate becomes too high for the network itself: warm up, and expect a limit of some thousand images.

    Args:
        rule: "constant", "linear" or "sqrt".
        batch_size: images in a step.
        base_batch: of the learning rate that is known to be good.

    Returns:
        The factor.

    Raises:
        UnknownNameError: for another rule.
        ConfigError: for a size below 1.

    Example:
        >>> import kerastricks
        >>> kerastricks.schedules.batch_size_rule("linear", 1024), kerastricks.schedules.batch_size_rule("sqrt", 512)
        (8.0, 2.0)

    Reference:
        Goyal et al., arXiv 1706.02677, section 2.1 (linear); Krizhevsky, arXiv 1404.5997, section 5 (the square root,
        and that the linear rule worked better there).
    """
    if rule not in RULES:
        raise UnknownNameError("batch-size rule", rule, RULES)
    for name, size in (("batch_size", batch_size), ("base_batch", base_batch)):
        if size < 1:
            raise ConfigError(f"{name} must be 1 or more. Received: {name}={size}")
    return RULES[rule](batch_size / base_batch)
