"""Decoded images of one size in memory, laid out so that a pixel is found by its number."""

from pathlib import Path

import numpy as np

_ALIGNMENT = 64  # bytes, what TensorFlow and XLA want of memory that is not their own


class PixelStore:
    """Holds images as a run of pixels with a black one at its end, which stands for all that lies outside an image.

    Augmentation reads pixels from where they lie here, so that neither padding nor a batch of untouched images is
    ever made.

    Args:
        count: number of images.
        image_shape: (height, width, channels).

    Attributes:
        pixels: (count * height * width + 1, channels) uint8.
        images: (count, height, width, channels) uint8, the same memory.
    """

    def __init__(self, count: int, image_shape: tuple[int, int, int]) -> None:
        height, width, channels = image_shape
        self.image_shape = image_shape
        size = (count * height * width + 1) * channels
        memory = np.zeros(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        self.pixels = memory[start : start + size].reshape(-1, channels)
        self.images = self.pixels[:-1].reshape(count, *image_shape)

    @classmethod
    def holding(cls, images: np.ndarray) -> "PixelStore":
        """A store with a copy of (N, height, width, channels) uint8."""
        store = cls(len(images), images.shape[1:])
        store.images[...] = images
        return store

    @classmethod
    def mapped(cls, path: Path, image_shape: tuple[int, int, int]) -> "PixelStore":
        """A store whose pixels `numpy.save` wrote; what is written into it stays in this process."""
        store = cls.__new__(cls)
        store.image_shape = image_shape
        # Copy on write: TensorFlow takes no memory that it may not write to. NumPy's header ends at 64 bytes.
        store.pixels = np.asarray(np.load(path, mmap_mode="c"))
        store.images = store.pixels[:-1].reshape(-1, *image_shape)
        return store

    @property
    def is_wide(self) -> bool:
        """Whether the number of a pixel does not fit into 32 bits."""
        return len(self.pixels) > 2**31 - 1
