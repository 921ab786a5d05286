"""Evaluation as a job: the scores of a finished run on images that it was not trained on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastricks.classifier_file import load_classifier
from kerastricks.data.loading import make_splits
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.sources.classes import relabel
from kerastricks.data.sources.names import canonical
from kerastricks.data.sources.reading import Readable, find_source, read_source
from kerastricks.data.sources.source import Arrays, Examples, Source
from kerastricks.errors import DataError
from kerastricks.metrics.classification import scores
from kerastricks.progress import Progress, silent
from kerastricks.runs.configuration import as_path
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.record import Evaluation, RunRecord, training_counts
from kerastricks.training.config import FIELDS, Config


def evaluate(run: RunFolder | RunRecord | str | os.PathLike[str], data: Any, progress: Progress = silent) -> Evaluation:
    """Score `model.keras` of a run, as `kerastricks evaluate` does.

    The images are the test split of the data; the run's own test split where the data are those it was trained on;
    and all images where the data have no splits. A run that was trained on some of the classes (`classes`) is scored
    on these where the data have all of them.

    Args:
        run: a finished one, or its folder.
        data: whatever `kerastricks.data.load` takes. Its classes may be some of the run's.
        progress: where long work shows how far it is.

    Returns:
        The scores, and on which images.

    Raises:
        DataError: for a class that the run does not know.
        RunFolderError: for a run that is not finished.
    """
    if isinstance(run, RunRecord):
        run = run.folder
    elif not isinstance(run, RunFolder):
        run = RunFolder.open(as_path(run))
    record = run.read(run.config)
    summary = run.read(run.summary)
    model = load_classifier(run.model)
    class_names = summary["class_names"]
    config = Config(**{name: value for name, value in record["config"].items() if name in FIELDS})
    found = find_scored_images(data, config, class_names, summary["data"]["fingerprint"], model, progress)
    probabilities = predict(model, found.batches, f"evaluating {found.split}", progress)
    trained = training_counts(summary["data"])
    if trained is not None and len(trained) != len(class_names):  # of a head with other classes
        trained = None
    return Evaluation(
        data=found.data,
        split=found.split,
        skipped=found.skipped,
        classes_left_out=found.classes_left_out,
        training_images=None if trained is None else dict(zip(class_names, trained, strict=True)),
        **scores(found.batches.examples.labels, probabilities, class_names, trained),
    )


@dataclass(frozen=True)
class ScoredImages:
    """Images that a run is scored on.

    Args:
        data: name of the data.
        split: which of their images, as words; begins with "test" for images that are kept for tests.
        skipped: how many files were left out.
        classes_left_out: how many classes of the data the run was not trained on.
        batches: the images, with labels that are indices of the run's classes.
    """

    data: str
    split: str
    skipped: int
    classes_left_out: int
    batches: Batches


def find_scored_images(
    data: Any,
    config: Config,
    class_names: Sequence[str],
    fingerprint: str,
    model: keras.Model,
    progress: Progress = silent,
) -> ScoredImages:
    """Find the images that `evaluate` scores a run on.

    Args:
        data: whatever `kerastricks.data.load` takes.
        config: of the run.
        class_names: of the run, in the order of the probabilities.
        fingerprint: of the data that it was trained on.
        model: whose input decides the size of the images.
        progress: where long work shows how far it is.

    Raises:
        DataError: for images that cannot be read, or a class that the run does not know.
    """
    image_shape = tuple(model.inputs[0].shape[1:])
    source = find_source(data)
    readable = read_images(source, config, image_shape, progress, only_split="test")
    split, examples = _choose(readable, fingerprint, config)
    examples = relabel(examples, readable.source.class_names, class_names, readable.source.name)
    if isinstance(examples, Arrays) and examples.image_shape != image_shape:
        raise DataError(f"{readable.source.name}: images are {examples.image_shape}, the model takes {image_shape}")
    return ScoredImages(
        data=readable.source.name,
        split=split,
        skipped=len(readable.skipped),
        classes_left_out=len(source.class_names) - len(readable.source.class_names),
        batches=Batches(examples, image_shape, 128, 0, fitting=config.fitting),
    )


def read_images(
    data: Any,
    config: Config,
    image_shape: tuple[int, int, int],
    progress: Progress = silent,
    only_split: str | None = None,
) -> Readable:
    """Read images for a finished run, in the size that its model takes, those of its classes where data have them all.

    Args:
        data: whatever `kerastricks.data.load` takes.
        config: of the run.
        image_shape: (height, width, channels) of the model.
        progress: where long work shows how far it is.
        only_split: the only split that is read, where the data have it.

    Raises:
        DataError: for images that cannot be read.
    """
    source = find_source(data)
    return read_source(
        source,
        image_size=None,
        max_pixels=config.max_pixels,
        max_skipped=config.max_skipped,
        memory_bytes=0,
        progress=progress,
        image_shape=image_shape,
        only_split=only_split,
        min_classes=1,
        fitting=config.fitting,
        classes=_subset(source, config),
    )


def predict(model: keras.Model, batches: Batches, description: str, progress: Progress) -> np.ndarray:
    """Predict probabilities (N, K) float32, in the order of the split."""
    found = []
    with progress(description, batches.size) as advance:
        for images, _ in batches.each():
            found.append(model.predict_on_batch(images.numpy()))
            advance(len(images))
    return np.concatenate(found).astype("float32")


def _subset(source: Source, config: Config) -> list[str] | None:
    """The classes of the run, if it was trained on a subset and the source has all of them."""
    chosen = config.class_names
    known = {canonical(name) for name in source.class_names}
    return chosen if chosen is not None and all(canonical(name) in known for name in chosen) else None


def _choose(readable: Readable, fingerprint: str, config: Config) -> tuple[str, Examples]:
    splits = readable.source.splits
    if "test" in splits:
        return "test", splits["test"]
    if readable.fingerprint == fingerprint:
        made = make_splits(readable.source, config.validation, config.test, config.seed_of_splits, config.group)
        return "test (the images the run did not train on)", made["test"]
    if len(splits) > 1:
        return "validation", splits["validation"]
    return "all images", splits["train"]
