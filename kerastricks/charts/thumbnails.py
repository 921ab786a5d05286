"""Small pictures inside a page, as data URIs, and maps laid over them."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

SIDE_PX = 128  # of the longer side
_SMALL_PX = 32  # up to here pixels are shown as squares, and kept exactly
_STRENGTH = 0.65  # of the map where it is 1
_MAP = "inferno"


def thumbnail(image: np.ndarray, heat: np.ndarray | None = None) -> str:
    """A data URI of an image, 128 pixels on its longer side.

    Args:
        image: (height, width, 1 or 3), 0 to 255.
        heat: (h, w) from 0 to 1, of any size, laid over it where it is high; None for none.
    """
    pixels = np.clip(np.round(np.asarray(image, "float32")), 0, 255).astype("uint8")
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    longer = max(picture.size)
    width, height = (max(1, round(side * SIDE_PX / longer)) for side in picture.size)
    small = longer <= _SMALL_PX
    picture = picture.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
    if heat is not None:
        picture = _overlaid(picture, heat)
    smooth = not small or heat is not None
    options: dict[str, Any] = {"quality": 82} if smooth else {"optimize": True}
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG" if smooth else "PNG", **options)
    return f"data:image/{'jpeg' if smooth else 'png'};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _overlaid(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    coarse = Image.fromarray(np.asarray(heat, "float32"))
    fine = np.clip(np.asarray(coarse.resize(picture.size, Image.Resampling.BILINEAR)), 0, 1)
    colours = colormaps[_MAP](fine)[..., :3] * 255
    # Grey below: the colours are the map's alone.
    below = np.asarray(picture.convert("L"), "float32")[..., None]
    strength = _STRENGTH * np.sqrt(fine)[..., None]
    return Image.fromarray(np.clip((1 - strength) * below + strength * colours, 0, 255).astype("uint8"))
