"""The model and the images of a trial's configuration; images are read again only where they must be."""

from dataclasses import replace
from typing import Any

import keras

from kerastricks.augment.op import ImageSpec
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps, leads_with_crop
from kerastricks.data.sources.source import Arrays
from kerastricks.errors import ConfigError
from kerastricks.initializers.data_driven import start_from_data
from kerastricks.models.creation import create
from kerastricks.recipes import Recipe
from kerastricks.runs.own_model import own_model
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data
from kerastricks.training.fitting import cosine_scale


def trial_model(config: Config, data: ImageData, recipe: Recipe | None = None) -> keras.Model:
    """Builds and initializes the model that `config` names, or the recipe's own.

    Raises:
        UsageError: for an unknown model or option, and where the recipe's `create_model` fails.
    """
    if recipe is not None and recipe.create_model is not None:
        model = own_model(recipe, data, config)
    else:
        scale = cosine_scale(config)
        classes = len(data.class_names)
        model = create(config.model, data.image_shape, classes, mean=data.mean, std=data.std, cosine_scale=scale)
    start_from_data(model, data.sample())
    return model


def adapted(data: ImageData, augment: str, batch_size: int) -> ImageData:
    """Copies loaded images with another augmentation and batch size; the pixels are shared.

    A leading random_resized_crop cuts from the originals where `data` is read from files, and from the resized images
    where these are in memory: `load` with that augmentation keeps the originals.

    Args:
        data: from `kerastricks.data.load`.
        augment: the ops of training images; not "auto".
        batch_size: images in a batch; lowered to the number of training images.

    Returns:
        An `ImageData`.

    Raises:
        SpecError: for an augmentation that does not parse, or does not fit these images.
    """
    old = data.augmentation
    train = data.splits["train"]
    batch_size = min(batch_size, train.size)
    counts = tuple(data.class_counts()["train"])
    image_spec = ImageSpec(data.image_shape, len(data.class_names), data.statistics, counts)
    crops_originals = not isinstance(train.examples, Arrays) and train.examples.sizes is not None
    splits = {
        name: Batches(
            batches.examples,
            data.image_shape,
            batch_size,
            data.seed,
            batches.decoded,
            batches.service,
            data.fitting,
        )
        for name, batches in data.splits.items()
    }
    augmentation = (
        old if augment == old.text else StagedOps(augment, image_spec, data.seed, old.stages, crops_originals)
    )
    return replace(data, splits=splits, batch_size=batch_size, augmentation=augmentation)


_READING = ("image_size", "crop_fraction", "interpolation", "classes", "validation", "test", "group", "seed")


class TrialData:
    """Loads the images that a configuration asks for.

    Args:
        source: what `kerastricks.data.load` takes, which is read at first use; or loaded images, whose size is kept,
            and whose augmentation is the meaning of "auto".
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self._loaded: ImageData | None = source if isinstance(source, ImageData) else None
        self._auto: str | None = source.augmentation.text if isinstance(source, ImageData) else None
        self._read_for: tuple[Any, ...] | None = None

    def of(self, config: Config) -> ImageData:
        """The images with the augmentation and batch size of `config`.

        Raises:
            ConfigError: for loaded images, and a size other than theirs.
            DataError: for anything wrong with the images.
        """
        if isinstance(self.source, ImageData):
            side = self.source.image_shape[0]
            if config.image_size not in (None, side):
                raise ConfigError(
                    f"image_size cannot be searched with images that are loaded, of {side} pixels: give the path "
                    f"they come from. Received: image_size={config.image_size}"
                )
        elif self._reading(config) != self._read_for or (config.augment == "auto" and self._auto is None):
            self._loaded = load_data(self.source, config)
            self._read_for = self._reading(config)
            self._auto = self._loaded.augmentation.text if config.augment == "auto" else None
        assert self._loaded is not None
        augment = self._auto if config.augment == "auto" else config.augment
        assert augment is not None
        return adapted(self._loaded, augment, config.batch_size)

    def _reading(self, config: Config) -> tuple[Any, ...]:
        """The fields that decide which pixels are read; originals are kept for a spec that crops them."""
        crops = config.augment != "auto" and leads_with_crop(config.augment)
        return (crops, *(getattr(config, name) for name in _READING))
