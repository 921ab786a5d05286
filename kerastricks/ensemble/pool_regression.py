"""The minimum of a multinomial log-loss with an L2 penalty on the distance to a given solution."""

import numpy as np
from scipy import optimize, special


def pool_regression(
    columns: np.ndarray,
    targets: np.ndarray,
    centre: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 500,
) -> np.ndarray:
    """Minimises c * sum_i log-loss_i + sum((solution - centre)^2) / 2 over kernel and bias, the bias penalised alike.

    L-BFGS in principal components, where the penalty is the same, each scaled by the square root of its curvature.

    Args:
        columns: (N, D); their dtype is that of the arithmetic.
        targets: (N, K) one-hot.
        centre: (D + 1, K): the kernel and below it the bias that an infinitely strong penalty gives.
        c: strength of the data against the penalty.
        start: (D + 1, K) from where; None for the centre.
        tolerance: largest element of the scaled gradient of the mean loss at which the search ends.
        max_steps: at which it ends in any case.

    Returns:
        (D + 1, K) float64.
    """
    count = len(columns)
    rows = np.concatenate([columns, np.ones((count, 1), columns.dtype)], axis=1)
    moments, components = np.linalg.eigh((rows.T @ rows).astype("float64") / count)
    rows = rows @ components.astype(rows.dtype)
    targets = targets.astype(rows.dtype)
    middle = components.T @ centre
    # Of a softmax over K classes the curvature is at most a half; a fourth is a good guess for those in doubt.
    scale = 1 / np.sqrt(np.maximum(moments, 0) / 4 + 1 / (c * count))[:, None]

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        away = scaled.reshape(middle.shape) * scale
        logits = rows @ (middle + away).astype(rows.dtype)
        log_probabilities = logits - special.logsumexp(logits, axis=1, keepdims=True)
        error = np.exp(log_probabilities) - targets
        gradient = (rows.T @ error).astype("float64") / count + away / (c * count)
        value = -np.einsum("nk,nk->", log_probabilities, targets, dtype="float64") / count
        return float(value + (away**2).sum() / (2 * c * count)), (gradient * scale).ravel()

    first = np.zeros_like(middle) if start is None else (components.T @ start - middle) / scale
    found = optimize.minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxcor": 20},
    )
    return components @ (middle + found.x.reshape(middle.shape) * scale)
