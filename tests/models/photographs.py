"""Three photographs that come with packages the tests need, and what is on them."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import sklearn
from PIL import Image


@dataclass(frozen=True)
class Photograph:
    """`label` is ImageNet's class, `probability` what the original EfficientNet-Lite0 gave it."""

    path: Path
    label: int
    probability: float


_SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
PHOTOGRAPHS = (
    Photograph(_SKLEARN / "china.jpg", 698, 0.313),  # palace
    Photograph(_SKLEARN / "flower.jpg", 985, 0.358),  # daisy: there is no dahlia
    Photograph(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"), 652, 0.177),  # military uniform
)


def photographs(side: int, crop_fraction: float) -> np.ndarray:
    """The square in the centre of each, bicubic: (3, side, side, 3), 0 to 255."""
    return np.stack([_centre(photograph.path, side, crop_fraction) for photograph in PHOTOGRAPHS])


def _centre(path: Path, side: int, crop_fraction: float) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    width, height = image.size
    square = min(image.size) * crop_fraction
    box = ((width - square) / 2, (height - square) / 2, (width + square) / 2, (height + square) / 2)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box), "float32")
