"""The minimum of the L2-regularised multinomial log-loss."""

import numpy as np
from scipy import optimize, special


def softmax_regression(
    rows: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    c: float,
    start: np.ndarray | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 500,
) -> np.ndarray:
    """Minimises c * sum_i weights_i * log-loss_i + sum(kernel^2) / 2 over kernel and bias.

    L-BFGS in coordinates that are multiplied by the square root of the curvature at the start: in those of principal
    components the curvature is nearly diagonal, and some 20 steps do what hundreds do in the original ones.

    Args:
        rows: (N, D), preferably principal components, of mean zero; their dtype is that of the arithmetic.
        targets: (N, K) one-hot, of the same dtype.
        weights: (N,) of the rows, with mean 1.
        c: strength of the data against the penalty; the bias is not penalised.
        start: (D + 1, K) from where; None for zeros.
        tolerance: largest element of the scaled gradient of the mean loss at which the search ends.
        max_steps: at which it ends in any case.

    Returns:
        (D + 1, K) float64: the kernel and below it the bias, whose mean over the classes is zero.
    """
    count, dims = rows.shape
    classes = targets.shape[1]
    weights = weights.astype(rows.dtype)
    first = np.zeros((dims + 1, classes)) if start is None else start
    chances = special.softmax(rows @ first[:-1].astype(rows.dtype) + first[-1].astype(rows.dtype), axis=1)
    spread = chances * (1 - chances) * weights[:, None]
    curvature = np.vstack([(rows**2).T @ spread, spread.sum(axis=0)]).astype("float64") / count
    penalty = np.append(np.full(dims, 1 / (c * count)), 0.0)[:, None]
    scale = 1 / np.sqrt(curvature + penalty + 1e-12)

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        solution = scaled.reshape(dims + 1, classes) * scale
        low = solution.astype(rows.dtype)
        logits = rows @ low[:-1] + low[-1]
        log_probabilities = logits - special.logsumexp(logits, axis=1, keepdims=True)
        error = (np.exp(log_probabilities) - targets) * weights[:, None]
        gradient = np.vstack([rows.T @ error, error.sum(axis=0, dtype="float64")]).astype("float64") / count
        gradient += penalty * solution
        value = -np.einsum("nk,nk,n->", log_probabilities, targets, weights, dtype="float64") / count
        return float(value + (penalty * solution**2).sum() / 2), (gradient * scale).ravel()

    found = optimize.minimize(
        loss,
        (first / scale).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxcor": 20},
    )
    solution = found.x.reshape(dims + 1, classes) * scale
    solution[-1] -= solution[-1].mean()
    return solution
