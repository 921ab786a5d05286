"""Stochastic depth: residual branches that are left out at random in training."""

from typing import Any, Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastricks")
class StochasticDepth(keras.layers.Layer):
    """Multiplies the residual branch of each sample by 0 or 1 in training, drawn once per sample.

    Put it between a branch and its addition: `x = x + StochasticDepth(0.2)(branch(x))`. A deep residual network
    trains as an ensemble of shallower ones, with a shorter way for the gradient; shallow networks and short
    trainings lose by it. Inference with scale "inference" (the paper): the branch is multiplied by its survival
    probability. Scale "training" (timm's DropPath, Keras's Dropout): branches that survive are divided by it in
    training, and inference is the identity; the means agree.

    Args:
        drop_rate: probability that a branch is left out, in [0, 1).
        scale: "inference" or "training": which of the two is scaled.
        seed: an integer, or None for a random one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        branch: float, (batch, ...).
        training: whether to draw.

    Returns:
        The same shape, in the layer's compute dtype.

    Raises:
        ValueError: for a `drop_rate` outside [0, 1) or an unknown `scale`.

    Example:
        >>> import kerastricks, numpy
        >>> layer = kerastricks.layers.StochasticDepth(kerastricks.layers.StochasticDepth.linear_decay(5, 10, 0.5))
        >>> layer(numpy.ones((1, 2))).numpy().tolist()
        [[0.75, 0.75]]

    Reference:
        Huang, Sun, Liu, Sedra, Weinberger: Deep Networks with Stochastic Depth, ECCV 2016, arXiv 1603.09382,
        equations 2 (training) and 5 (inference), 4 (linear decay over depth). Deviation: one draw per sample,
        where the paper, and tensorflow-addons, draw once per mini-batch: the mean is the same, and a batch sees
        many depths. Branches that are left out are computed all the same, so that no time is saved.
    """

    def __init__(
        self,
        drop_rate: float = 0.5,
        scale: Literal["inference", "training"] = "inference",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate must be in [0, 1). Received: drop_rate={drop_rate}")
        if scale not in ("inference", "training"):
            raise ValueError(f'scale must be "inference" or "training". Received: scale={scale!r}')
        self.drop_rate = drop_rate
        self.scale = scale
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    @staticmethod
    def linear_decay(block: int, blocks: int, last_drop_rate: float = 0.5) -> float:
        """The drop rate of block number `block` of `blocks`, counted from 1: block / blocks * last_drop_rate."""
        if not 1 <= block <= blocks:
            raise ValueError(f"block must be 1 to blocks={blocks}. Received: block={block}")
        if not 0 <= last_drop_rate < 1:
            raise ValueError(f"last_drop_rate must be in [0, 1). Received: last_drop_rate={last_drop_rate}")
        return block / blocks * last_drop_rate

    def call(self, branch: Any, training: bool = False) -> Any:
        branch = ops.cast(branch, self.compute_dtype)
        keep_rate = 1 - self.drop_rate
        if not training:
            return branch * keep_rate if self.scale == "inference" else branch
        if self.drop_rate == 0:
            return branch
        draws = keras.random.uniform((ops.shape(branch)[0],), dtype="float32", seed=self.seed_generator)
        factors = ops.where(draws < keep_rate, 1.0 if self.scale == "inference" else 1 / keep_rate, 0.0)
        return branch * ops.cast(ops.reshape(factors, (-1,) + (1,) * (len(branch.shape) - 1)), branch.dtype)

    def compute_output_shape(self, branch_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return branch_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "drop_rate": self.drop_rate, "scale": self.scale, "seed": self.seed}
