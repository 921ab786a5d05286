"""The addition at the end of a residual block, with stochastic depth.

Huang, Sun, Liu, Sedra, Weinberger: Deep Networks with Stochastic Depth, ECCV 2016: the rate at which a branch is left
out grows linearly with depth (equation 4), and at inference a branch is multiplied by its survival rate (equation 5).
"""

from numbers import Real
from typing import Any

import keras

from kerastricks.layers.stochastic_depth import StochasticDepth


def drop_rates(blocks: int, stochastic_depth: float) -> tuple[float, ...]:
    """The drop rate of each block: block / blocks * stochastic_depth, counted from 1.

    Args:
        blocks: residual blocks of the network.
        stochastic_depth: rate of the last block, in [0, 1).

    Returns:
        As many rates as there are blocks.

    Raises:
        ValueError: for a rate that is no number in [0, 1).
    """
    if isinstance(stochastic_depth, bool) or not isinstance(stochastic_depth, Real) or not 0 <= stochastic_depth < 1:
        raise ValueError(
            f"stochastic_depth must be a number in [0, 1). Received: stochastic_depth={stochastic_depth!r}"
        )
    return tuple(StochasticDepth.linear_decay(block, blocks, float(stochastic_depth)) for block in range(1, blocks + 1))


def add_branch(shortcut: Any, branch: Any, drop_rate: float, name: str) -> Any:
    """`shortcut` + `branch`; the branch is left out at `drop_rate` in training. No layer is put in for a rate of 0."""
    if drop_rate:
        branch = StochasticDepth(drop_rate, name=f"{name}_depth")(branch)
    return keras.layers.Add(name=f"{name}_add")([branch, shortcut])
