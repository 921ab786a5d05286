"""Loaded images with another augmentation and batch size."""

from dataclasses import replace

from kerastricks.augment.op import Facts
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import Augmentation
from kerastricks.data.sources.source import Arrays


def adapted(data: ImageData, augment: str, batch_size: int) -> ImageData:
    """The same splits; the pixels are shared.

    A leading random_resized_crop cuts originals where `data` is of files, and the resized images where these are what
    is in memory: `load` with that augmentation keeps the originals.

    Args:
        data: of `kerastricks.data.load`.
        augment: the ops of training images; not "auto".
        batch_size: images in a batch; lowered to the number of training images.

    Returns:
        An `ImageData`.

    Raises:
        SpecError: for an augmentation that does not parse, or is not for these images.
    """
    old = data.augmentation
    train = data.splits["train"]
    batch_size = min(batch_size, train.size)
    facts = Facts(data.image_shape, len(data.class_names), data.statistics)
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
    augmentation = old if augment == old.text else Augmentation(augment, facts, data.seed, old.stages, crops_originals)
    return replace(data, splits=splits, batch_size=batch_size, augmentation=augmentation)
