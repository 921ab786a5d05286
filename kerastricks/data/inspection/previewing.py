"""Preview an augmentation, before hours of training on it: a picture of its images, and their throughput."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastricks.augment.op import op_name
from kerastricks.data.image_data import ImageData
from kerastricks.data.inspection.picture import check_size, check_target, label_of, plot_preview
from kerastricks.data.inspection.timing import Throughput
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.errors import UsageError


@dataclass(frozen=True)
class PreviewReport:
    """A picture of augmented images, and how fast they come.

    Args:
        path: file of the picture.
        data: name of the source.
        image_shape: (height, width, channels) in pixels.
        classes: the class of each row of the picture.
        draws: augmented versions of each image.
        augment: spec of the augmentation; "" is none.
        device_stage: names of the ops that run on the device, in the training step; the throughput is without them.
        in_memory: whether the decoded images are kept in memory, or each is decoded when it is used.
        batch_size: images in a batch.
        seed: seed of choice and draws.
        throughput: throughput of the training batches; None where it was not measured.
    """

    path: Path
    data: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    draws: int
    augment: str
    device_stage: tuple[str, ...]
    in_memory: bool
    batch_size: int
    seed: int
    throughput: Throughput | None

    def to_text(self) -> str:
        """Two to four lines."""
        height, width, _ = self.image_shape
        images = f"{len(self.classes)} images of {width}x{height} pixels" if len(self.classes) > 1 else "1 image"
        lines = [
            f"picture     {self.path}: {images}, {self.draws} augmented version{'s' * (self.draws > 1)} of each",
            f"augment     {self.augment or 'none: the versions are the originals'}",
        ]
        if self.device_stage:
            lines.append(f"on device   {', '.join(self.device_stage)}, in the training step")
        if self.throughput is not None:
            source = "decoded images in memory" if self.in_memory else "each image decoded when it is used"
            without = "; without the device stage" if self.device_stage else ""
            lines.append(f"throughput  {self.throughput.to_text()}, batches of {self.batch_size}, {source}{without}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "picture": str(self.path),
            "data": self.data,
            "image_shape": list(self.image_shape),
            "images": len(self.classes),
            "classes": list(self.classes),
            "draws": self.draws,
            "augment": self.augment,
            "device_stage": list(self.device_stage),
            "in_memory": self.in_memory,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "throughput": None if self.throughput is None else self.throughput.to_json(),
        }


def preview(
    data: ImageData, path: str | os.PathLike, *, images: int = 8, draws: int = 7, seconds: float = 3.0
) -> PreviewReport:
    """Plot training images beside augmented versions of them, and measure the throughput of training images.

    Images and draws depend on the seed of `data` only; `data.reseeded(1)` gives others. Each class gives an image
    before any gives a second one. Nothing of `data` advances: the training that follows is the same.

    Args:
        data: loaded with the augmentation to look at.
        path: file of the picture, a .png that is not there yet.
        images: rows, 1 or more; fewer where there are fewer training images.
        draws: augmented versions of each, 1 or more.
        seconds: duration of the measurement, after a warm-up; 0 measures nothing.

    Returns:
        A `PreviewReport`, with `to_text()` and `to_json()`.

    Raises:
        UsageError: for a path that is no .png, is there already, or whose folder is missing, and for numbers
            outside their ranges, or a picture of more than 100 million pixels.

    Example:
        >>> import kerastricks, numpy, os, tempfile
        >>> x, y = numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2
        >>> data = kerastricks.data.load((x, y), augment="pad_crop(1)")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = kerastricks.data.preview(data, os.path.join(folder, "look.png"), images=4, seconds=0)
        >>> report.augment, report.classes
        ('pad_crop(1)', ('0', '0', '1', '1'))
    """
    for name, value in (("images", images), ("draws", draws)):
        if value < 1:
            raise UsageError(f"{name} must be 1 or more. Received: {name}={value}")
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"seconds must be 0 or more, and finite. Received: seconds={seconds}")
    target = Path(path)
    check_target(target)
    check_size(min(images, data.splits["train"].size), 1 + draws, *data.image_shape[:2])
    # Of its own: layers on the device have generators that advance.
    augmentation = data.augmentation.reseeded(data.seed)
    originals, labels = _choose(data, images)
    classes = tuple(data.class_names[label] for label in labels)
    names = [label_of(name, label) for name, label in zip(classes, labels, strict=True)]
    cells = np.stack([originals, *(_augment(augmentation, originals, labels, draw) for draw in range(draws))], 1)
    title = f"{data.name}: {len(classes)} of {data.splits['train'].size:,} training images, seed {data.seed}"
    plot_preview(title, f"augment: {augmentation.text or 'none'}", names, cells, target)
    return PreviewReport(
        path=target,
        data=data.name,
        image_shape=data.image_shape,
        classes=classes,
        draws=draws,
        augment=augmentation.text,
        device_stage=tuple(op_name(op) for op in augmentation.device_plan.ops),
        in_memory=data.in_memory,
        batch_size=data.batch_size,
        seed=data.seed,
        throughput=Throughput.measure(data, seconds) if seconds else None,
    )


def _choose(data: ImageData, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 and labels, sorted by class: the first of a seeded shuffle, each class once before any twice."""
    batches = data.splits["train"]
    order = np.random.default_rng(data.seed).permutation(batches.size)
    labels = data.labels("train")[order]
    turn = np.empty(len(order), int)  # how many of the same class came before
    for label in np.unique(labels):
        same = labels == label
        turn[same] = np.arange(same.sum())
    chosen = order[np.argsort(turn, kind="stable")[:count]]
    chosen = chosen[np.argsort(data.labels("train")[chosen], kind="stable")]
    part = Batches(batches.examples.take(chosen), data.image_shape, data.batch_size, data.seed, fitting=data.fitting)
    found = [(images.numpy(), labels.numpy()) for images, labels in part.each()]
    images, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return images, labels


def _augment(augmentation: StagedOps, images: np.ndarray, labels: np.ndarray, draw: int) -> np.ndarray:
    """Make one augmented version of each image: host stage, then device stage, as uint8."""
    with tf.device("CPU:0"):
        found, mixed = augmentation.on_host(tf.constant(images), tf.constant(labels), (0, draw))
        versions = found.numpy()
    if augmentation.device_stage is not None:
        versions, _ = augmentation.device_stage((versions, mixed.numpy()), training=True)
        versions = keras.ops.convert_to_numpy(versions)
    return np.clip(np.rint(versions), 0, 255).astype("uint8")
