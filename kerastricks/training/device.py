"""Precision and compilation that suit the hardware, and training images in the memory of the device.

Both are decided from what the hardware offers, never from a timing, so that the answer is the same every time.
"""

import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastricks.augment.spatial_step import Store
from kerastricks.data.pipeline.tensorflow_device import has_gpu

# Convolutions in bfloat16 have instructions of their own with these; without, they are emulated and slower.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def choose_precision() -> str:
    """ "mixed_bfloat16" where the hardware multiplies in it, else "float32"."""
    if has_gpu():
        return "mixed_bfloat16" if _gpu_compute_capability() >= (8, 0) else "float32"
    # Only TensorFlow's CPU convolutions (oneDNN) were measured to gain from it: docs/speed.md.
    if keras.backend.backend() == "tensorflow" and BFLOAT16_FLAGS & cpu_flags():
        return "mixed_bfloat16"
    return "float32"


def choose_jit() -> bool:
    """Whether the training step is compiled: not by XLA on a CPU, where it slows convolutions."""
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and has_gpu())


def cpu_flags() -> set[str]:
    """The processor's instruction sets, by Linux's names; empty where they cannot be read."""
    path = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not path.exists():
        return set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def describe() -> str:
    """Describes the device that trains: "GPU (jax)"."""
    return f"{'GPU' if has_gpu() else 'CPU'} ({keras.backend.backend()})"


def _gpu_compute_capability() -> tuple[int, int]:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability", (0, 0))
    if backend == "jax":
        import jax

        major, _, minor = str(getattr(jax.devices()[0], "compute_capability", "0.0")).partition(".")
        return int(major), int(minor or 0)
    import torch

    return torch.cuda.get_device_capability()


class DevicePixels(keras.layers.Layer):
    """Gathers images by index from pixels that are in the device's memory as bytes.

    They are a variable, so that a compiled step takes them as an argument and not as a constant; on JAX the step is
    given their memory and gives it back, without a copy. They are no weight: neither `get_weights`, a `.keras` file
    nor a checkpoint has them.

    Args:
        pixels: (images * height * width + 1, channels) uint8, the last one black; fewer than 2^31.
        image_shape: (height, width, channels).

    Call arguments:
        index: (batch,) int32.

    Returns:
        (batch, height, width, channels) uint8.
    """

    def __init__(self, pixels: np.ndarray, image_shape: tuple[int, int, int]) -> None:
        super().__init__(name="device_pixels", trainable=False)
        self.image_shape = image_shape
        self.pixels = self.add_weight(
            name="pixels",
            shape=pixels.shape,
            dtype="uint8",
            initializer=lambda shape, dtype: ops.convert_to_tensor(pixels, dtype=dtype),
            trainable=False,
            autocast=False,
        )
        self.built = True

    @property
    def weights(self) -> list[Any]:
        """None: what is counted, copied and saved as weights is not the data."""
        return []

    def store(self, index: Any) -> Store:
        """The images of these indices where they are stored, for a plan that gathers by itself."""
        return Store(ops.convert_to_tensor(self.pixels), index)

    def images(self, index: Any) -> Any:
        """The images of these indices, as they were loaded."""
        height, width, channels = self.image_shape
        places = ops.cast(index, "int32")[:, None] * (height * width) + ops.arange(height * width, dtype="int32")
        return ops.reshape(ops.take(self.pixels, places, axis=0), (-1, height, width, channels))

    def call(self, index: Any) -> Any:
        return self.images(index)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.image_shape)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Nothing."""

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Nothing."""


def try_gradients(model: keras.Model, images: np.ndarray) -> None:
    """Compute outputs in training, and on TensorFlow gradients, as the graph of a step does; the model stays as it is.

    Args:
        model: whose layers raise what they raise.
        images: float32 (N, height, width, channels).
    """
    trainable = [weight.value for weight in model.trainable_variables]
    other = [weight.value for weight in model.non_trainable_variables]
    if keras.backend.backend() != "tensorflow":
        model.stateless_call(trainable, other, images, training=True)
        return
    import tensorflow as tf

    @tf.function(autograph=False)
    def step(pixels: tf.Tensor) -> None:
        values = [tf.identity(value) for value in trainable]
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs, _ = model.stateless_call(values, other, pixels, training=True)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32))
        tape.gradient(total, values)

    step(tf.constant(images))
