"""Keep TensorFlow off the GPU if another backend trains on it.

TensorFlow reads and decodes under every backend, and by default takes all memory of every GPU it sees.
"""

import contextlib

import keras
import tensorflow as tf


def has_gpu() -> bool:
    """Whether the backend that trains has a GPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import torch

    return torch.cuda.is_available()


if keras.backend.backend() != "tensorflow":
    # A TensorFlow that has started already has taken its memory.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
