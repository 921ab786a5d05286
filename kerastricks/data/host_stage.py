"""Executes a plan inside tf.data, on the processor."""

from typing import Any

import tensorflow as tf

from kerastricks.augment.op import Draws
from kerastricks.augment.plan import Plan, Step
from kerastricks.augment.spatial_step import Store
from kerastricks.data.pipeline import tensorflow_arrays

# Values of an epoch's training images from which a compilation of about a second pays.
COMPILE_FROM = 1 << 24


class HostStage:
    """A plan as a function of batches, compiled by XLA where that pays.

    Args:
        plan: what to execute.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(
        self, images: tf.Tensor | Store, labels: tf.Tensor, draws: Draws, compiled: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augments a batch, see `Plan`.

        Args:
            images: (batch, height, width, channels), or a `Store` where the plan takes it.
            labels: (batch,) int32.
            draws: of the plan.
            compiled: whether XLA makes one function of it; the shapes must be known.
        """
        for steps in self.plan.passes:

            def run(
                images: Any, labels: tf.Tensor, draws: Draws, steps: list[Step] = steps
            ) -> tuple[tf.Tensor, tf.Tensor]:
                return self.plan.run(steps, images, labels, draws, tensorflow_arrays, integers=True)

            if compiled:
                # Pixels in memory go in as an argument: what a function only mentions is copied into its graph.
                run = tf.function(run, jit_compile=True, autograph=False)
            images, labels = run(images, labels, draws)
        return images, labels
