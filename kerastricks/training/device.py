"""What precision and compilation the processor or GPU is best at.

Decided from what the hardware offers, never from a timing, so that the answer is the same every time.
"""

import platform
from pathlib import Path

import keras

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
    """The device that trains, in words."""
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
