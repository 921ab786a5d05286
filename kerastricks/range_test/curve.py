"""What every rule looks at: rates that rise, and a finite loss for each."""

import numpy as np

from kerastricks.errors import UsageError


def check_curve(
    rates: np.ndarray, losses: np.ndarray, choice: tuple[str, str, tuple[str, ...]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64.

    Args:
        rates: (steps,), above 0 and rising.
        losses: (steps,), finite.
        choice: an argument's name, its value and those it may have.

    Raises:
        UsageError: for anything else.
    """
    rates, losses = np.asarray(rates, "float64"), np.asarray(losses, "float64")
    if rates.ndim != 1 or rates.shape != losses.shape or len(rates) < 2:
        raise UsageError(
            f"rates and losses: must be two or more of each in one row. Received: shapes {rates.shape}, {losses.shape}"
        )
    if not (rates[0] > 0 and np.all(np.diff(rates) > 0)):
        raise UsageError("rates: must be above 0 and rise from each to the next")
    if not np.all(np.isfinite(losses)):
        raise UsageError(
            "losses: must be finite: cut the curve off where it diverges, or take kerastricks.range_test.fill_stopped"
        )
    if choice is not None and choice[1] not in choice[2]:
        raise UsageError(f"{choice[0]}: must be one of {', '.join(choice[2])}. Received: {choice[0]}={choice[1]!r}")
    return rates, losses
