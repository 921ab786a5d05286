"""Loading of images by a configuration, in two steps: what runs with different seeds share, and what `seed` decides."""

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
    """Loads the splits that runs with different seeds and one `split_seed` share."""
    return load(
        source,
        augment=config.augment,
        batch_size=config.batch_size,
        seed=config.seed_of_splits,
        validation=config.validation,
        test=config.test,
        group=config.group,
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
    """Reseeds order and augmentation of loaded splits, and draws the images that are trained on; pixels are shared."""
    if config.seed != data.seed:
        data = data.reseeded(config.seed)
    if config.bagging:
        data = data.bagged()
    remedies = config.specs.imbalance
    sampling = remedies.sampling if remedies is not None else None
    return data if sampling is None or sampling.kind != "downsample" else data.downsampled(sampling.ratio)
