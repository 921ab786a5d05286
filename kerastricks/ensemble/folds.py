"""Which fold each image is held out with."""

import numpy as np

from kerastricks.errors import EnsembleError
from kerastricks.probes.rows import stratified_folds

FOLDS = 5


def held_out_folds(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Stratified folds in which every image is held out once.

    Args:
        labels: (N,) integers of two classes or more.
        seed: of the order in which images are dealt.

    Returns:
        (N,) numbers from 0. There are five folds, or as many as images. The one image of a class is held out too:
        a combination that was fitted without it is what a rare class will meet.

    Raises:
        EnsembleError: for less than four images, or one class.
    """
    if len(labels) < 4 or len(np.unique(labels)) < 2:
        raise EnsembleError(
            f"labels must be four or more, of two classes or more, to fit a combination. Received: {len(labels)} of "
            f"{len(np.unique(labels))} classes; hold out more images, or take the plain mean"
        )
    folds = min(FOLDS, len(labels))
    fold = stratified_folds(labels, folds, seed)
    alone = fold < 0
    fold[alone] = np.arange(alone.sum()) % folds
    return fold
