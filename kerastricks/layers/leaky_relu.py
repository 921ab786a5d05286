"""Leaky ReLU with the default of its paper."""

from typing import Any

import keras


def LeakyReLU(negative_slope: float = 0.01, **kwargs: Any) -> keras.layers.LeakyReLU:
    """Makes Keras's own LeakyReLU layer, which multiplies x < 0 by a fixed slope, with the slope of the paper.

    A unit whose input is negative still gets a gradient, so that it cannot die; the accuracy differs little from
    ReLU's at 0.01, and gained more at 1/5.5, the "very leaky" slope of Xu et al. Keras's layer has 0.3 by
    default, its function 0.2. Training and inference do the same.

    Args:
        negative_slope: what x < 0 is multiplied by; 0 or more.
        **kwargs: of `keras.layers.LeakyReLU`: `name`, `dtype`.

    Returns:
        A `keras.layers.LeakyReLU`; a model with it loads without kerastricks.

    Raises:
        ValueError: for a slope below 0.

    Example:
        >>> import kerastricks, numpy
        >>> kerastricks.layers.LeakyReLU()(numpy.array([-100.0, 3.0])).numpy().tolist()
        [-1.0, 3.0]

    Reference:
        Maas, Hannun, Ng: Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013 workshop,
        section 2: slope 0.01. Xu et al., arXiv 1505.00853, section 2.2: slopes 1/100 and 1/5.5. Deviation: none.
    """
    if not negative_slope >= 0:
        raise ValueError(f"negative_slope must be 0 or more. Received: negative_slope={negative_slope}")
    return keras.layers.LeakyReLU(negative_slope=negative_slope, **kwargs)
