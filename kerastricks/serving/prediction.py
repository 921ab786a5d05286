"""A classifier's answer for one image file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Prediction:
    """Prediction for one file.

    Args:
        file: path of the file.
        label: the most probable class; None where the file could not be used.
        probabilities: (K,) float32.
        error: why the file could not be used.
    """

    file: Path
    label: str | None = None
    probabilities: "np.ndarray | None" = None
    error: str | None = None
