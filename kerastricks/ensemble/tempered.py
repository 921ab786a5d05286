"""Log-probabilities at a temperature, finite."""

import numpy as np

# exp(-80) is 1.8e-35: far below any probability that matters, and a normal number in float32.
LOWEST = -80.0


def tempered(logits: np.ndarray, temperatures: np.ndarray | float = 1.0) -> np.ndarray:
    """Log-softmax of logits divided by temperatures, none below `LOWEST`.

    Args:
        logits: (..., N, K) logits or log-probabilities; minus infinity is a probability of zero.
        temperatures: a number, or (M,) for (M, N, K).

    Returns:
        float64 of the shape of `logits`, from `LOWEST` to 0.
    """
    exact = np.asarray(logits, "float64")
    scale = np.asarray(temperatures, "float64")
    if scale.ndim:
        scale = scale[:, None, None]
    # The largest goes first: differences cannot overflow into NaN, and minus infinity stays what it is.
    exact = (exact - exact.max(axis=-1, keepdims=True)) / scale
    exact -= np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    return np.maximum(exact, LOWEST, out=exact)
