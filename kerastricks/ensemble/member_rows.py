"""Predictions of several members, and labels, as the combinations take them."""

import numpy as np

from kerastricks.errors import EnsembleError


def member_rows(log_probabilities: np.ndarray, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Checks predictions of members and the labels of the images.

    Args:
        log_probabilities: (M, N, K) of M members, N images and K classes; logits will do.
        labels: (N,) integers below K; None where they are not needed.

    Returns:
        Predictions as float64 and labels as int64, empty for None.

    Raises:
        EnsembleError: for other shapes, labels out of range, or predictions that are NaN or plus infinity.
    """
    exact = np.asarray(log_probabilities, "float64")
    if exact.ndim != 3 or 0 in exact.shape or exact.shape[2] < 2:
        raise EnsembleError(
            f"log_probabilities must be (members, images, classes), of two classes or more. Received: shape "
            f"{exact.shape}; stack the members' predictions along a new first axis"
        )
    # Where every class has minus infinity there is no distribution either.
    whole = np.isfinite(exact.max(axis=2)) & ~np.isnan(exact).any(axis=2)
    if not whole.all():
        member = int((~whole).any(axis=1).argmax())
        raise EnsembleError(
            f"log_probabilities must not be NaN or plus infinity. Received: member {member} has such for "
            f"{(~whole[member]).sum()} of {exact.shape[1]} images; leave it out"
        )
    if labels is None:
        return exact, np.zeros(0, "int64")
    labels = np.asarray(labels)
    if labels.shape != exact.shape[1:2] or not np.issubdtype(labels.dtype, np.integer):
        raise EnsembleError(
            f"labels must be one integer for each of {exact.shape[1]} images. Received: {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= exact.shape[2]:
        raise EnsembleError(
            f"labels must be from 0 to {exact.shape[2] - 1}. Received: from {labels.min()} to {labels.max()}"
        )
    return exact, labels.astype("int64")
