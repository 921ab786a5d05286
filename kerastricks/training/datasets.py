"""Images, loaded as a configuration says."""

from typing import Any

from kerastricks.data.image_data import ImageData
from kerastricks.data.loading import load
from kerastricks.progress import Progress, silent
from kerastricks.training.config import Config


def load_data(source: Any, config: Config, progress: Progress = silent, **where: Any) -> ImageData:
    """Loads `source` with the splits, augmentation and limits of the configuration.

    Where images are kept and batches are made (`where`: `data_service`, `cache_dir`) is no part of the configuration:
    it does not change what the batches hold.
    """
    return seeded(load_splits(source, config, progress, **where), config)


def load_splits(source: Any, config: Config, progress: Progress = silent, **where: Any) -> ImageData:
    """The same, as far as it is equal for all trainings that differ in `seed` alone and have a `split_seed`."""
    return load(
        source,
        augment=config.augment,
        batch_size=config.batch_size,
        seed=config.seed_of_splits,
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


def seeded(data: ImageData, config: Config) -> ImageData:
    """What `load_splits` gave with order, draws and bag of `config.seed`; the pixels are shared."""
    if config.seed != data.seed:
        data = data.reseeded(config.seed)
    return data.bagged() if config.bagging else data
