"""Stages of an augmentation: a spec divided between decoder, host and device, and the host's part inside tf.data."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from kerastricks import spec
from kerastricks.augment import sequence
from kerastricks.augment.augment_layer import Augment
from kerastricks.augment.op import Draws, ImageSpec, Op
from kerastricks.augment.ops.crops import RandomResizedCrop
from kerastricks.augment.plan import Plan, Step
from kerastricks.augment.spatial_step import Store
from kerastricks.data.pipeline import tensorflow_arrays
from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import SpecError

Stages = Literal["auto", "host", "device"]

# Values of an epoch's training images from which a compilation of about a second pays.
COMPILE_FROM = 1 << 24


class HostStage:
    """A plan as a function of batches, compiled by XLA where that pays.

    Args:
        plan: plan to execute.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(
        self, images: tf.Tensor | Store, labels: tf.Tensor, draws: Draws, compiled: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augment a batch, see `Plan`.

        Args:
            images: (batch, height, width, channels), or a `Store` where the plan takes it.
            labels: (batch,) int32.
            draws: draws of the plan.
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


def leads_with_crop(text: str) -> bool:
    """Whether a spec crops before all but flips: originals can then be cropped while they are decoded."""
    for parsed in spec.parse_sequence(text):
        if parsed.name != "flip":
            return parsed.name == "random_resized_crop"
    return False


class StagedOps:
    """The ops of a spec, planned and divided between decoder, host and device.

    Args:
        text: the spec; "" is none.
        image_spec: shape, classes and statistics of the training images.
        seed: seed of every draw.
        stages: "host" executes all in tf.data; "device" all that can be there in the training step; "auto" is
            "device" where the backend has a GPU, else "host".
        crops_originals: whether a leading random_resized_crop cuts from images of any size while they are decoded.

    Attributes:
        plan: plan of the whole spec, for images of `image_spec.image_shape`.
        crop: the crop that the decoder does, or None.
        host_plan: plan of what tf.data does.
        device_plan: plan of what the training step does.

    Raises:
        UnknownNameError: for an op that is not there.
        SpecError: for arguments an op refuses, or an order that cannot be meant.
    """

    def __init__(
        self, text: str, image_spec: ImageSpec, seed: int, stages: Stages = "auto", crops_originals: bool = False
    ) -> None:
        if stages not in ("auto", "host", "device"):
            raise SpecError(f'stages must be "auto", "host" or "device". Received: stages={stages!r}')
        self.text = text
        self.image_spec = image_spec
        self.seed = seed
        self.stages = stages
        self.crops_originals = crops_originals and leads_with_crop(text)
        ops = sequence.read(text, image_spec)
        parsed = sequence.parse(text)
        self.plan = Plan(ops, image_spec)
        self.crop: RandomResizedCrop | None = None
        if self.crops_originals:
            # Flips before the crop do the same after it.
            index = next(i for i, op in enumerate(ops) if isinstance(op, RandomResizedCrop))
            self.crop = ops[index]  # type: ignore[assignment]
            del ops[index], parsed[index]
        on_device = stages == "device" or (stages == "auto" and has_gpu())
        first = _first_on_device(ops) if on_device else len(ops)
        self.host_plan = Plan(ops[:first], image_spec)
        self.device_plan = Plan(ops[first:], image_spec)
        self._device_text = " | ".join(str(one) for one in parsed[first:])
        # Draws of the crop come first in a row of uniforms.
        self.crop_uniforms = self.crop.uniforms if self.crop is not None else 0
        self.uniforms = self.crop_uniforms + self.host_plan.uniforms
        self.host_stage = HostStage(self.host_plan)

    @property
    def mixes(self) -> bool:
        """Whether labels of training batches are (batch, classes) float32 when the loss sees them."""
        return self.plan.mixes

    @property
    def mixes_weights(self) -> bool:
        """Whether weighted labels are mixed in the training step, and their weights are to be taken out after that."""
        return self.device_plan.mixes

    @cached_property
    def device_stage(self) -> Augment | None:
        """The layer that executes the device's plan in the training step, or None."""
        if not self.device_plan.ops:
            return None
        return Augment(
            self._device_text,
            classes=self.image_spec.class_count,
            statistics=self.image_spec.statistics,
            seed=self.seed,
        )

    def reseeded(self, seed: int) -> "StagedOps":
        """Copies these ops with other draws."""
        return StagedOps(self.text, self.image_spec, seed, self.stages, self.crops_originals)

    def windows(self, uniforms: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        """Windows that `crop` cuts from originals: (batch, 4) int32, top, left, height and width in pixels.

        Args:
            uniforms: (batch, self.uniforms).
            sizes: (batch, 2) int32, height and width of the originals.
        """
        assert self.crop is not None
        parameters = self.crop.parameters(Draws(uniforms[:, : self.crop_uniforms]), tensorflow_arrays)
        box = self.crop.window(parameters, sizes[:, 0], sizes[:, 1], tensorflow_arrays)
        return tf.cast(tf.stack(box, axis=1), tf.int32)

    def evaluated(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Apply the deterministic part, `normalize`, to evaluation batches."""
        fixed = [op for op in self.plan.ops if op.ends_raw]
        if not fixed:
            return dataset
        plan, no_draws = Plan(fixed, self.image_spec), Draws(tf.zeros([1, 0]))
        return dataset.map(lambda images, labels: plan(images, labels, no_draws, tensorflow_arrays))

    def on_host(
        self, images: tf.Tensor, labels: tf.Tensor, position: Sequence[int] = (0, 0)
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augment one batch of images of the pipeline's size: decoder's crop and host stage.

        Args:
            images: (batch, height, width, channels) uint8.
            labels: (batch,) int32.
            position: (epoch, step); decides the draws together with the seed.
        """
        crop = [self.crop] if self.crop is not None else []
        plan = Plan([*crop, *self.host_plan.ops], self.image_spec)
        epoch, step = (tf.constant(number, tf.int64) for number in position)
        uniforms = draw_uniforms(self.seed, epoch, step, len(images), plan.uniforms)
        draws = Draws(uniforms, epoch, np.arange(len(images), dtype="int32"), labels)
        return HostStage(plan)(images, labels, draws)


def draw_uniforms(seed: int, epoch: tf.Tensor, step: tf.Tensor, batch: int, count: int) -> tf.Tensor:
    """Draw (batch, count) float32 in [0, 1), decided by seed, epoch and step only."""
    # Two 64-bit words are all the seed there is: epochs and steps stay below 2^31 each.
    words = tf.stack([tf.constant(seed + (0x7261 << 32), tf.int64), epoch * 2**31 + step])
    return tf.random.stateless_uniform([batch, max(count, 1)], words)


def _first_on_device(ops: Sequence[Op]) -> int:
    """Index after the last op that needs something only the host knows."""
    return max((i + 1 for i, op in enumerate(ops) if op.needs_place), default=0)
