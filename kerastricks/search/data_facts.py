"""What a search space wants to know of the images."""

from dataclasses import dataclass

from kerastricks.data.image_data import ImageData


@dataclass(frozen=True)
class DataFacts:
    """What a search space depends on.

    Args:
        images: number of training images.
        image_shape: (height, width, channels) in pixels.
        classes: number of classes.
        augment: the augmentation that "auto" is for these images.

    Example:
        >>> from kerastricks.search import DataFacts
        >>> DataFacts(50_000, (32, 32, 3), 10, "flip | pad_crop(4)").images
        50000
    """

    images: int
    image_shape: tuple[int, int, int]
    classes: int
    augment: str

    @classmethod
    def of(cls, data: ImageData) -> "DataFacts":
        """Those of loaded images."""
        return cls(len(data.labels("train")), data.image_shape, len(data.class_names), data.augmentation.text)
