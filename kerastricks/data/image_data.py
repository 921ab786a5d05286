"""The result of `load`: training, validation and test data sets, and what is known of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.augment.augment_layer import Augment
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.sampling import ClassSampler, downsampled
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.data.sources.classes import relabel
from kerastricks.data.sources.copies import SameBytes
from kerastricks.data.sources.names import is_no_image, kind_of
from kerastricks.data.sources.source import Arrays
from kerastricks.data.statistics import PixelStatistics
from kerastricks.errors import ConfigError, DataError
from kerastricks.imbalance.remedies import Remedies, switch_epoch
from kerastricks.imbalance.weighting import class_weights

_BAG = 1996  # with the seed: its draws are not those of other uses of the seed


@dataclass(frozen=True)
class ImageData:
    """Images ready to train on.

    `train`, `validation` and `test` are `tf.data.Dataset`s of (images, labels): labels int32 (batch,), images
    (batch, height, width, channels), 0 to 255 and finite. Images are uint8, except that those of `train` are
    float32 where an op that does more than move pixels ran in the host stage; with `normalize` they are no longer
    0 to 255, and with `mixup` or `cutmix` labels are (batch, classes) float32. A training batch is always full: the
    remainder of an epoch, other images each time, is left out. The last batch of validation and test holds
    their remainder. Where images have weights, a training batch has a third part, (batch,) float32, of mean 1 over all
    training images and mixed as the labels are.

    Args:
        name: name of the source.
        class_names: names of the classes; the label is the index.
        image_shape: (height, width, channels) in pixels.
        splits: batches of "train", "validation" and "test".
        augmentation: ops of the training split, by stage.
        statistics: statistics of the training pixels.
        skipped: a record for each file that was left out: split, class, file, reason.
        fingerprint: hash of names, labels and contents; equal for equal data.
        batch_size: images in a batch.
        seed: seed of splits, order and draws.
        in_memory: whether the decoded images are kept in memory.
        fitting: how whole images were brought to the shape.
        copies: files with the same bytes that are in several splits, or have several labels.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: dict[str, Batches]
    augmentation: StagedOps
    statistics: PixelStatistics
    skipped: list[dict[str, str]] = field(repr=False)
    fingerprint: str
    batch_size: int
    seed: int
    in_memory: bool
    fitting: Fitting = WHOLE
    copies: tuple[SameBytes, ...] = ()

    @cached_property  # one data set: each iteration over it is another epoch
    def train(self) -> tf.data.Dataset:
        """One epoch of augmented batches an iteration, differently ordered each time."""
        return self.splits["train"].training(self.augmentation)

    @property
    def validation(self) -> tf.data.Dataset:
        """All validation images, in order, without augmentation (but `normalize`, if the spec has it)."""
        return self.augmentation.evaluated(self.splits["validation"].evaluation())

    @property
    def test(self) -> tf.data.Dataset:
        """All test images, in order, without augmentation (but `normalize`, if the spec has it)."""
        return self.augmentation.evaluated(self.splits["test"].evaluation())

    @property
    def device_stage(self) -> Augment | None:
        """The Keras layer still to be applied to training batches, or None: see docs/data.md."""
        return self.augmentation.device_stage

    @property
    def mixes_weights(self) -> bool:
        """Whether training labels are (batch, classes) float32, times their weights, for a device stage that mixes."""
        return self.splits["train"].is_weighted and self.augmentation.mixes_weights

    @property
    def steps_per_epoch(self) -> int:
        """Batches of `train`."""
        return self.splits["train"].steps_per_epoch

    @property
    def mean(self) -> np.ndarray:
        """Mean of the training pixels, (channels,), 0 to 255."""
        return self.statistics.mean

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of the training pixels, (channels,), 0 to 255."""
        return self.statistics.std

    def reseeded(self, seed: int) -> "ImageData":
        """These splits with another order and other draws of the training batches; the pixels are shared."""
        splits = {name: batches.reseeded(seed) for name, batches in self.splits.items()}
        return replace(self, splits=splits, augmentation=self.augmentation.reseeded(seed), seed=seed)

    def limited(self, count: int, split: str = "train") -> "ImageData":
        """A data set of `count` images of a split, the first of a seeded shuffle; mean and deviation stay.

        Raises:
            DataError: for none, or more than there are.
        """
        batches = self.splits[split]
        if not 1 <= count <= batches.size:
            what = "the training images" if split == "train" else f"the images of {split}"
            raise DataError(f"limit must be in 1-{batches.size:,}, {what}. Received: limit={count}")
        chosen = np.random.default_rng(self.seed).permutation(batches.size)[:count]
        return self.taken(np.sort(chosen), split)

    def bagged(self) -> "ImageData":
        """A bootstrap sample of the training images, drawn with replacement by `seed`; mean and deviation stay.

        Networks that were each trained on a bag of their own differ more than those that
        differ only by seed, and each has seen about 63 % of the images: Breiman, Bagging Predictors, 1996.

        Raises:
            DataError: with a data service, whose workers know all of the images.
        """
        train = self.splits["train"]
        if train.service is not None:
            raise DataError("bagging draws from images that are read here: take it out, or go without --data-service")
        chosen = np.random.default_rng([self.seed, _BAG]).integers(0, train.size, train.size)
        return self.taken(np.sort(chosen))

    def downsampled(self, ratio: float = 1.0) -> "ImageData":
        """A subset in which no class has more than `ratio` times the training images of the smallest, by `seed`.

        Raises:
            ConfigError: where too little is left.
            DataError: with a data service, whose workers know all of the images.
        """
        if self.splits["train"].service is not None:
            raise DataError("downsample takes images that are read here: take it out, or go without --data-service")
        return self.taken(downsampled(self.labels("train"), self.class_names, ratio, self.seed))

    def balanced(self, imbalance: str | Remedies, epochs: int = 1) -> "ImageData":
        """This data set with the sampling and the class weights of some remedies; a loss is the training's affair.

        `train` then draws by class, and its batches have weights where there are class weights. The number of
        batches of an epoch stays. `training.fit` does this by itself for `Config.imbalance`.

        Args:
            imbalance: a spec, "class_aware_batches" or "upsample(start=0.8) | class_weights(square_root)"; see
                docs/imbalance.md.
            epochs: of the training, for what begins after a fraction of them.

        Raises:
            ConfigError: for a class without a training image, "auto", or shares that do not name all classes.
            UnknownNameError: for a remedy or a class that there is not.

        Example:
            >>> import kerastricks, numpy
            >>> x, y = numpy.zeros((100, 8, 8, 1), "uint8"), (numpy.arange(100) % 10 == 0).astype(int)
            >>> data = kerastricks.data.load((x, y), batch_size=8).balanced("class_aware_batches")
            >>> [int(labels.numpy().sum()) for _, labels in data.train.take(3)]
            [4, 4, 4]
        """
        remedies = Remedies.parse(imbalance) if isinstance(imbalance, str) else imbalance
        if remedies is None:
            raise ConfigError('imbalance="auto" is decided by a training: give a remedy here')
        sampler, weights = None, None
        if remedies.sampling is not None:
            if remedies.sampling.kind == "downsample":  # all, of what is such a subset already
                return self.downsampled(remedies.sampling.ratio).balanced(replace(remedies, sampling=None), epochs)
            sampler = ClassSampler(remedies.sampling, self.labels("train"), self.class_names, epochs)
        if remedies.weights is not None:
            counts = self.class_counts()["train"]
            found = class_weights(counts, remedies.weights.rule, remedies.weights.beta, self.class_names)
            weights = (found, switch_epoch(remedies.weights.start, epochs))
        return replace(self, splits={**self.splits, "train": self.splits["train"].balanced(sampler, weights)})

    def taken(self, chosen: np.ndarray, split: str = "train") -> "ImageData":
        """A data set of some images of a split, by their indices; mean and deviation stay."""
        batches = self.splits[split]
        batch_size = min(self.batch_size, len(chosen)) if split == "train" else self.batch_size
        decoded = None if batches.decoded is None else batches.decoded.take(chosen)
        fewer = Batches(
            batches.examples.take(chosen),
            self.image_shape,
            batch_size,
            self.seed,
            decoded,
            batches.service,
            self.fitting,
        )
        return replace(self, splits={**self.splits, split: fewer}, batch_size=batch_size)

    def relabelled(self, class_names: Sequence[str]) -> "ImageData":
        """The data set with labels that are indices of `class_names`, such as a model's.

        Raises:
            DataError: for a class that is not in it.
        """
        if tuple(class_names) == self.class_names:
            return self
        splits = {}
        for name, batches in self.splits.items():
            examples = relabel(batches.examples, self.class_names, class_names, self.name)
            splits[name] = Batches(
                examples,
                self.image_shape,
                batches.batch_size,
                self.seed,
                batches.decoded,
                batches.service,
                self.fitting,
            )
        return replace(self, class_names=tuple(class_names), splits=splits)

    def train_from(self, step: int, indices: bool = False) -> tf.data.Dataset:
        """Endless augmented batches from global step `step` on, for resuming.

        Args:
            step: global step, counted over all epochs.
            indices: whether to give indices into `device_store()` instead of images.
        """
        return self.splits["train"].training_from(self.augmentation, step, indices)

    @contextmanager
    def one_error(self) -> Iterator[None]:
        """Raise in one line what goes wrong with a file or a data service, in a block that consumes batches.

        Raises:
            DataError: for a file that is gone, cut or another one since it was looked at.
            ServiceLostError: when a data service fails for good.
        """
        with ExitStack() as stack:
            for batches in self.splits.values():
                stack.enter_context(batches.one_error())
            service = self.splits["train"].service
            if service is not None:
                stack.enter_context(service.one_error())
            yield

    def device_store(self) -> np.ndarray | None:
        """The pixels of a training split in memory, for a device that does all of the augmentation; else None.

        Returns:
            (stored images * height * width + 1, channels) uint8; the last pixel is black.
        """
        train, augmentation = self.splits["train"], self.augmentation
        examples = train.examples
        if not isinstance(examples, Arrays) or train.service is not None:
            return None
        if augmentation.host_plan.ops or not augmentation.device_plan.ops:
            return None
        return examples.store.pixels

    def labels(self, split: str) -> np.ndarray:
        """(N,) int32."""
        return self.splits[split].examples.labels

    def files(self, split: str) -> list[str]:
        """Names of the files of a split, as in the source; rows of what was given, where the images came as arrays."""
        examples = self.splits[split].examples
        if not isinstance(examples, Arrays) or examples.names is not None:
            return list(examples.names or ())
        rows = np.arange(len(examples)) if examples.rows is None else examples.rows
        return [str(row) for row in rows.tolist()]

    def class_counts(self) -> dict[str, list[int]]:
        """Images per class of each split."""
        return {name: np.bincount(self.labels(name), minlength=len(self.class_names)).tolist() for name in self.splits}

    def sample(self, count: int = 2048) -> np.ndarray:
        """The first images of a seeded shuffle of the training split, without augmentation: uint8."""
        batches = self.splits["train"]
        chosen = np.random.default_rng(self.seed).permutation(batches.size)[:count]
        examples = batches.examples.take(np.sort(chosen))
        if isinstance(examples, Arrays):
            return examples.images
        part = Batches(examples, self.image_shape, self.batch_size, self.seed, fitting=self.fitting)
        return np.concatenate([images.numpy() for images, _ in part.each()])

    def left_out(self, where: str = "") -> list[str]:
        """Describe the files that were left out: a line for those that are plainly no images, one for all others.

        Args:
            where: where they are named, for the second line.
        """
        kinds = Counter(kind_of(record["file"]) for record in self.skipped if is_no_image(record["file"]))
        lost = [record for record in self.skipped if not is_no_image(record["file"])]
        lines = []
        if kinds:
            lines.append(f"not images: {', '.join(f'{count:,} {kind}' for kind, count in sorted(kinds.items()))}")
        if lost:
            first = f"the first: {lost[0]['file']}: {lost[0]['reason']}"
            lines.append(f"{len(lost)} file(s) left out{where}; {first}")
        return lines

    def describe(self) -> dict[str, Any]:
        """The record of the data that a run keeps, and compares when it is resumed."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "images": {name: batches.size for name, batches in self.splits.items()},
            "class_counts": self.class_counts(),
            "skipped": len(self.skipped),
            "fingerprint": self.fingerprint,
        }
