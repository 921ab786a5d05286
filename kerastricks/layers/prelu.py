"""PReLU with the defaults of its paper."""

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

import keras


def PReLU(initial_slope: float = 0.25, shared_axes: Sequence[int] | None = (1, 2), **kwargs: Any) -> keras.layers.PReLU:
    """Makes Keras's own PReLU layer, max(0, x) + a min(0, x) with a learned slope a, as the paper starts it.

    It lets each channel find the slope it needs, for one weight per channel; on small data sets the freedom can
    overfit. Keras's own defaults are a slope of 0 and one weight per pixel and channel. Training and inference
    do the same. The slopes are not regularised, and no weight decay belongs on them (it would pull PReLU
    towards ReLU): `kerastricks.regularizers.undecayed` lists them.

    Args:
        initial_slope: of every channel.
        shared_axes: axes that share one slope: (1, 2) for images (batch, height, width, channels), None after a
            dense layer.
        **kwargs: of `keras.layers.PReLU`: `name`, `dtype`, `alpha_constraint`.

    Returns:
        A `keras.layers.PReLU`; a model with it loads without kerastricks.

    Raises:
        ValueError: for a slope that is no finite number, axes below 1 (Keras would share another axis than the one
            that is meant), or arguments that `keras.layers.PReLU` does not have.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.PReLU()
        >>> layer(numpy.full((1, 8, 8, 3), -4.0)).numpy().max()
        np.float32(-1.0)
        >>> tuple(layer.alpha.shape)
        (1, 1, 3)

    Reference:
        He, Zhang, Ren, Sun: Delving Deep into Rectifiers, ICCV 2015, arXiv 1502.01852, section 2.1: slopes from
        0.25, one per channel, without weight decay. Deviation: none.
    """
    if "alpha_initializer" in kwargs:
        raise ValueError(
            "the start of the slopes is set with initial_slope. "
            f"Received: alpha_initializer={kwargs['alpha_initializer']!r}; use keras.layers.PReLU for other starts"
        )
    if not isinstance(initial_slope, Real) or not isfinite(initial_slope):
        raise ValueError(f"initial_slope must be a finite number. Received: initial_slope={initial_slope!r}")
    if shared_axes is not None and min(shared_axes, default=1) < 1:
        raise ValueError(f"shared_axes must be 1 or more, 0 being the batch. Received: shared_axes={shared_axes}")
    return keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(initial_slope),
        shared_axes=None if shared_axes is None else list(shared_axes),
        **kwargs,
    )
