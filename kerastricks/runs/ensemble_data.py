"""Images that an ensemble is chosen and tested with, in its members' size, and members' predictions for them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.data.fitting import Fitting
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.ensemble.build import MemberPredictions
from kerastricks.ensemble.member import Member
from kerastricks.errors import EnsembleError
from kerastricks.progress import Progress
from kerastricks.runs.evaluation import predict
from kerastricks.runs.members import RunMember
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data
from kerastricks.training.fitting import fresh_stage


def shared_config(
    members: Sequence[RunMember],
    data: str | None,
    image_shape: tuple[int | None, ...],
    fitting: Fitting,
    by_features: bool = False,
) -> Config:
    """The configuration that loads the images: the first run's, with the size that all members take.

    Args:
        members: opened.
        data: what `kerastricks.data.load` takes; None for what the first run was trained on.
        image_shape: (height, width, channels) of the ensemble's input.
        fitting: of whole images to it.
        by_features: members need not know the classes of the data: these are the first run's, or all that `data` has.

    Raises:
        EnsembleError: where no member has a run, and `data` is None, or where members take images of any size.
    """
    first = next((member.config for member in members if member.config is not None), None)
    if data is None and first is None:
        raise EnsembleError("--data is missing: the members are files, and no run says what they were trained on")
    height, width, channels = image_shape
    if height is None or width is None:
        raise EnsembleError(
            f"{members[0].path}: takes images of any size, and its run folder or file does not say which: save "
            f"keras.Sequential([keras.Input((224, 224, {channels})), model]) with the size that is meant"
        )
    base = first or Config()
    widest = max((member.config for member in members if member.config), key=_width, default=base)
    classes = widest.classes
    if by_features:
        classes = base.classes if data is None else None
    source = str(data if data is not None else base.data)
    path = Path(os.path.expanduser(source))
    resolved = str(path.resolve()) if path.exists() else source
    return replace(
        base,
        # A pattern is of the names of the data that the first run was trained on; other data have other names.
        group=base.group if resolved == str(base.data) else None,
        data=resolved,
        classes=classes,
        image_size=height if height == width else None,
        crop_fraction=fitting.crop_fraction,
        interpolation=fitting.interpolation,
        seed=base.seed_of_splits,
        split_seed=None,
        bagging=False,
        average="",
        keep="",
    )


def load_for_members(config: Config, image_shape: tuple[int | None, ...], progress: Progress) -> ImageData:
    """Load the images.

    Raises:
        EnsembleError: for images of another shape.
    """
    data = load_data(config.data, config, progress)
    if tuple(data.image_shape) != tuple(image_shape):
        raise EnsembleError(
            f"{data.name}: images are {data.image_shape}, the members take {tuple(image_shape)}: give --data with "
            "images like those they were trained on"
        )
    return data


class TrainingImages:
    """An epoch of augmented training images, equal in each iteration.

    Args:
        data: whose.
    """

    def __init__(self, data: ImageData) -> None:
        self._data = data

    def __iter__(self) -> Iterator[np.ndarray]:
        """(batch, height, width, channels)."""
        data = self._data
        stage = fresh_stage(data.device_stage)
        with data.one_error():
            for images, labels, *_ in data.train_from(0).take(data.steps_per_epoch):
                if stage is None:
                    yield images.numpy()
                else:
                    inputs: Any = (images.numpy(), labels.numpy()) if stage.mixes else images.numpy()
                    found = stage(inputs, training=True)
                    yield keras.ops.convert_to_numpy(found[0] if stage.mixes else found)


def predict_split(model: keras.Model, data: ImageData, split: str, progress: Progress) -> np.ndarray:
    """Compute a model's outputs for the images of a split, in their order."""
    batches = Batches(data.splits[split].examples, data.image_shape, 128, 0, fitting=data.fitting)
    return predict(model, batches, f"{model.name} on {split}", progress)


def member_predictions(
    members: Sequence[Member],
    data: ImageData,
    names: Sequence[str],
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    progress: Progress,
) -> MemberPredictions:
    """Members with their predictions for the validation images, and the data for others; see `MemberPredictions`."""

    def predict_one(model: keras.Model, split: str) -> np.ndarray:
        return predict_split(model, data, split, progress)

    groups = data.splits["validation"].examples.groups
    images = TrainingImages(data)
    return MemberPredictions(members, data, names, log_probabilities, labels, predict_one, images, groups)


def _width(config: Config) -> int:
    """Number of classes of a configuration; "all" counts as the most."""
    return 2**31 if config.class_names is None else len(config.class_names)
