"""Images, loaded as a configuration says."""

from typing import Any

from kerastricks.data.image_data import ImageData
from kerastricks.data.load import load
from kerastricks.data.progress import Progress, silent
from kerastricks.training.config import Config


def load_data(source: Any, config: Config, progress: Progress = silent, **where: Any) -> ImageData:
    """Loads `source` with the splits, augmentation and limits of the configuration.

    Where images are kept and batches are made (`where`: `data_service`, `cache_dir`) is no part of the configuration:
    it does not change what the batches hold.
    """
    return load(
        source,
        augment=config.augment,
        batch_size=config.batch_size,
        seed=config.seed,
        validation=config.validation,
        test=config.test,
        image_size=config.image_size,
        crop_fraction=config.crop_fraction,
        interpolation=config.interpolation,
        classes=config.class_names,
        max_pixels=config.max_pixels,
        max_skipped=config.max_skipped,
        progress=progress,
        **where,
    )
