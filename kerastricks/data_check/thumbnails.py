"""Perceptual hashes: small grey and chroma thumbnails of images, and the vectors in which near duplicates are near."""

from functools import cache

import numpy as np
from PIL import Image

GREY_SIDE = 32  # pixels of the grey thumbnail
CHROMA_SIDE = 4
BYTES = GREY_SIDE**2 + 2 * CHROMA_SIDE**2  # of the hash of one image
_FREQUENCIES = 8  # lowest of the cosine transform, in each direction
_WHITENING = 0.5  # exponent: 0 lets the lowest frequencies decide, 1 makes all count alike
_BLOCK = 8192  # images at a time


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Shrink an image of any size to its hash.

    Args:
        image: of mode "RGB" or "L", upright.

    Returns:
        (BYTES,) uint8: 32 x 32 pixels of luma, and 4 x 4 of both chroma channels, squeezed to a square.
    """
    grey = image.convert("L").resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
    size = (CHROMA_SIDE, CHROMA_SIDE)
    small = image.resize(size, Image.Resampling.BOX).convert("RGB").convert("YCbCr")
    chroma = np.asarray(small)[..., 1:].reshape(-1)
    return np.concatenate([np.asarray(grey).reshape(-1), chroma])


def grey_thumbnails(hashes: np.ndarray) -> np.ndarray:
    """(N, 32, 32) float32 luma of (N, BYTES) hashes."""
    return hashes[:, : GREY_SIDE**2].reshape(-1, GREY_SIDE, GREY_SIDE).astype("float32")


def chroma_thumbnails(hashes: np.ndarray) -> np.ndarray:
    """(N, 2 * 4 * 4) float32 chroma of (N, BYTES) hashes."""
    return hashes[:, GREY_SIDE**2 :].astype("float32")


def hash_vectors(hashes: np.ndarray) -> np.ndarray:
    """Map hashes to unit vectors: nearly the same for near duplicates, whatever their brightness and contrast.

    The 63 lowest frequencies of the luma, each divided by a power of its spread over the images. Images of one colour
    give zeros.

    Args:
        hashes: (N, BYTES) uint8.

    Returns:
        (N, 63) float32.
    """
    basis = _cosines()
    vectors = np.empty((len(hashes), _FREQUENCIES**2 - 1), "float32")
    for start in range(0, len(hashes), _BLOCK):
        grey = grey_thumbnails(hashes[start : start + _BLOCK])
        transformed = basis @ grey @ basis.T
        vectors[start : start + _BLOCK] = transformed.reshape(len(grey), -1)[:, 1:]
    spread = vectors.std(axis=0) if len(vectors) else np.ones(vectors.shape[1], "float32")
    vectors /= np.maximum(spread, 1) ** _WHITENING
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-2)
    return vectors


@cache
def _cosines() -> np.ndarray:
    """(8, 32) rows of the cosine transform DCT-II."""
    position = (np.arange(GREY_SIDE) + 0.5) * np.pi / GREY_SIDE
    rows = np.cos(np.arange(_FREQUENCIES)[:, None] * position) * np.sqrt(2 / GREY_SIDE)
    rows[0] /= np.sqrt(2)
    return rows.astype("float32")
