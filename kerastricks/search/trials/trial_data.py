"""Images for one configuration after the other, read again only where they must be."""

from typing import Any

from kerastricks.data.adapted import adapted
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.stages import leads_with_crop
from kerastricks.errors import ConfigError
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data

_READING = ("image_size", "crop_fraction", "interpolation", "classes", "validation", "test", "seed")


class TrialData:
    """Gives the images that a configuration asks for.

    Args:
        source: what `kerastricks.data.load` takes, which is read at first use; or loaded images, which stay as large as
            they are, and whose augmentation is what "auto" means.
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
        """What decides the pixels that are read; originals are kept for a spec that crops them."""
        crops = config.augment != "auto" and leads_with_crop(config.augment)
        return (crops, *(getattr(config, name) for name in _READING))
