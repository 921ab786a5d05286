r"""Gain of an activation: the factor of its weights that keeps the signal's second moment.

activation          gain    E[f(z)^2], z ~ N(0, 1)
linear              1.0000  1
relu                1.4142  1/2
leaky_relu          1.4141  (1 + 0.01^2) / 2
leaky_relu(0.1818)  1.3914  (1 + 0.1818^2) / 2
prelu               1.3720  (1 + 0.25^2) / 2
rrelu               1.3856  (1 + 1/24) / 2, the mean of the squared slope in training
elu                 1.2452
selu                1.0000  1, as it was made for
gelu                1.5335
silu                1.6765
tanh                1.5925
softplus            1.0419
sigmoid             1.8462  its mean is 1/2 and not 0: the gain keeps the second moment, not the variance
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.activations.lookup import get
from kerastricks.layers.rrelu import RReLU

# Midpoints of 2^14 intervals on [-10, 10], beyond which lies 1e-23 of the normal distribution; the kink of the
# rectifiers, at 0, is a border of two intervals.
_POINTS = (np.arange(2**14) + 0.5) * 20 / 2**14 - 10


def gain(activation: Any) -> float:
    """Computes 1 / sqrt(E[f(z)^2]), z ~ N(0, 1), for an activation f.

    Weights of variance gain^2 / fan_in keep the second moment of the signal from layer to layer. PReLU counts
    with the slope it starts from and RReLU with the mean of its squared slope in training.

    Args:
        activation: what `kerastricks.activations.get` takes: a spec, a layer, a function.

    Returns:
        The gain: sqrt(2) for "relu", sqrt(2 / (1 + a^2)) for "leaky_relu(a)", 1 for "linear".

    Raises:
        ValueError: for an activation that is not elementwise ("softmax"), is zero, or not finite.
        UnknownNameError: for an unknown name.

    Example:
        >>> import kerastricks
        >>> round(kerastricks.activations.gain("relu") ** 2, 6)
        2.0

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, arXiv 1502.01852, equations 10 and 15: the
        factor 2 / (1 + a^2). Deviation: the same condition, for any activation, by quadrature.
    """
    layer = get(activation)
    if isinstance(layer, RReLU):
        return float(np.sqrt(2 / (1 + layer.mean_square_slope)))
    values, elsewhere = _evaluate(activation, (-1, 1, 1, 2)), _evaluate(activation, (1, 1, 1, -1))
    # Whatever mixes positions gives something else in another layout, or another shape.
    same_size = values.shape == elsewhere.shape == _POINTS.shape
    if not (same_size and np.allclose(values, elsewhere, rtol=1e-5, atol=1e-6, equal_nan=True)):
        raise ValueError(f"gain needs an elementwise activation. Received: activation={activation!r}")
    if not np.isfinite(values).all() or not values.any():
        raise ValueError(f"gain needs a finite activation that is not zero. Received: activation={activation!r}")
    density = np.exp(-(_POINTS**2) / 2) / np.sqrt(2 * np.pi)
    moment = np.sum(values**2 * density) * (_POINTS[1] - _POINTS[0])
    # A rectifier, straight on both sides of 0, has a closed form: (f(1)^2 + f(-1)^2) / 2.
    slopes = values / np.abs(_POINTS)
    negative, positive = np.split(slopes, 2)
    if np.ptp(negative) < 1e-6 and np.ptp(positive) < 1e-6:
        moment = (np.median(negative) ** 2 + np.median(positive) ** 2) / 2
    return float(np.sqrt(1 / moment))


def _evaluate(activation: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The activation of the points, laid out in `shape`."""
    layer = get(activation)
    layer.dtype_policy = keras.DTypePolicy("float32")
    return ops.convert_to_numpy(layer(_POINTS.astype("float32").reshape(shape))).astype("float64").ravel()
