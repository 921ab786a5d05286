"""Which units of a layer are equal."""

from typing import Any

import keras
import numpy as np

from kerastricks.checks.instrument import values


def incoming_weights(layer: Any) -> np.ndarray | None:
    """(units, weights into one of them, its bias last); None where units do not see the same inputs."""
    kernel = getattr(layer, "pointwise_kernel", None)
    if kernel is None:
        kernel = getattr(layer, "kernel", None)
    if kernel is None or isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        return None
    if isinstance(layer, keras.layers.EinsumDense):
        return None
    found = values(kernel)
    if isinstance(layer, keras.layers.Conv1DTranspose | keras.layers.Conv2DTranspose | keras.layers.Conv3DTranspose):
        found = np.moveaxis(found, -2, -1)  # (..., filters, channels)
    rows = found.reshape(-1, found.shape[-1]).T
    groups = getattr(layer, "groups", 1)
    if groups > 1:  # each group sees channels of its own
        rows = np.concatenate([np.kron(np.eye(groups), np.ones((len(rows) // groups, 1))), rows], axis=1)
    bias = getattr(layer, "bias", None)
    return rows if bias is None else np.concatenate([rows, values(bias)[:, None]], axis=1)


def same(rows: np.ndarray, tolerance: float) -> list[list[int]]:
    """Groups of equal rows, at most `tolerance` of the largest number of all apart from the group's first.

    Rows that are equal lie side by side when sorted by their product with any one vector, so that few pairs are
    compared. NaN equals nothing.
    """
    rows = np.asarray(rows, "float64")
    apart = tolerance * float(np.abs(rows).max(initial=0.0))
    direction = np.random.default_rng(0).uniform(0.5, 1.5, rows.shape[1])
    places = rows @ direction
    reach = apart * float(np.sum(direction)) * (1 + 1e-6)
    groups: list[list[int]] = []
    first_open = 0  # groups before it are too far behind
    for index in np.argsort(places, kind="stable").tolist():
        while first_open < len(groups) and places[index] - places[groups[first_open][0]] > reach:
            first_open += 1
        for group in groups[first_open:]:
            if np.abs(rows[index] - rows[group[0]]).max(initial=0.0) <= apart:
                group.append(index)
                break
        else:
            groups.append([index])
    return [sorted(group) for group in groups]
