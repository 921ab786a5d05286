"""Export as a job: a run's model as SavedModel, ONNX or LiteRT, compared with the Keras model on real images."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks.classifier_file import load_classifier
from kerastricks.data.loading import make_splits
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.sources.classes import relabel
from kerastricks.data.sources.source import Arrays
from kerastricks.errors import DataError, ExportError
from kerastricks.progress import Progress, silent
from kerastricks.runs.configuration import as_path
from kerastricks.runs.evaluation import find_scored_images, read_images
from kerastricks.runs.record import RunRecord
from kerastricks.serving.comparison import Comparison, compare_export
from kerastricks.serving.converting import export_litert, export_onnx
from kerastricks.serving.export import export_saved_model
from kerastricks.serving.formats import check_format

# A float export computes the same in another order; a wrong one differs by far more.
LARGEST_DIFFERENCE = 1e-3
CALIBRATION_IMAGES = 256
_COMPARED_BYTES = 256_000_000


@dataclass(frozen=True)
class ExportReport:
    """An export that was written, and its comparison with the Keras model.

    Args:
        path: the SavedModel's folder, `model.onnx` or `model.tflite`.
        format: "saved_model", "onnx" or "litert".
        quantize: "dynamic" or "int8"; None for float32.
        data: name of the data that both answered for.
        split: which of their images, as words.
        images: how many.
        largest_difference: of two probabilities.
        label_agreement: share of the images for which both name the same class.
        accuracy: of the export on these images.
        keras_accuracy: of the Keras model on them.
        latency_ms: of the export, for one image on the CPU, without decoding: the median in milliseconds.
        keras_latency_ms: of the Keras model on TensorFlow, measured likewise in the same process.
        size_bytes: of the file, or of all files of the SavedModel.
        keras_size_bytes: of `model.keras`.
        calibration_images: how many training images the ranges of an "int8" model are from; 0 for others.
        float_tensors: how many activations of an "int8" model stay float32, without its output; 0 for others.
    """

    path: Path
    format: str
    quantize: str | None
    data: str
    split: str
    images: int
    largest_difference: float
    label_agreement: float
    accuracy: float
    keras_accuracy: float
    latency_ms: float
    keras_latency_ms: float
    size_bytes: int
    keras_size_bytes: int
    calibration_images: int = 0
    float_tensors: int = 0

    def to_json(self) -> dict[str, Any]:
        """All fields, of plain values."""
        return asdict(self) | {"path": str(self.path)}


def export(
    run: RunRecord | str | os.PathLike[str],
    format: str = "saved_model",
    quantize: str | None = None,
    data: Any = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> ExportReport:
    """Export a run's model, and compare the export with it on real images, as `kerastricks export` does.

    The export is `RUN/N`, `RUN/onnx/N/model.onnx` or `RUN/litert/N/model.tflite`, N being the next number; it is
    written atomically. Before it gets its name it is loaded in a fresh process and compared on the images that
    `evaluate` scores: all of them, or a sample where these would take more than 256 MB. Augmentation inside the model
    is left out.

    Args:
        run: a finished one, of a training or an ensemble, or its folder.
        format: "saved_model"; "onnx" and "litert", which take pixels, need the extra `export`.
        quantize: of "litert": "dynamic" for int8 weights, "int8" for int8 weights and activations, whose ranges are
            those of 256 training images, equally many of each class where there are enough.
        data: where the images are now; None for where the run was trained.
        seed: of the samples of images.
        progress: where long work shows how far it is.

    Returns:
        Where it is, and how it compares.

    Raises:
        ConfigError: for an unknown format, or a quantisation that the format does not have.
        MissingExtraError: where a package of the extra `export` is not installed.
        DataError: for images that cannot be read.
        RunFolderError: for a folder that no run wrote, or whose run is not finished.
        ExportError: where it cannot be converted or loaded, a float32 export differs by more than 1e-3, or a
            quantised one gives no probabilities. Nothing is left of it.
        WriteError: where the disk does not take it.
    """
    check_format(format, quantize)
    record = run if isinstance(run, RunRecord) else RunRecord.open(as_path(run))
    names, model_path, fitting = record.summary.class_names, record.folder.model, record.config.fitting
    model = load_classifier(model_path)
    place = record.config.data if data is None else data
    calibration = None
    try:
        fingerprint = str(record.summary.data.get("fingerprint"))
        found = find_scored_images(place, record.config, names, fingerprint, model, progress)
        images, labels = _sample(found.batches, seed, progress)
        if quantize == "int8":
            calibration = _calibration_images(place, record, model, seed, progress)
    except DataError as error:
        if data is not None:
            raise
        raise DataError(f"{error}; an export needs images of the run: give --data where they are now") from None
    compared: list[Comparison] = []

    def verify(exported: Path) -> None:
        compared.append(compare_export(model_path, exported, images, fitting))
        _refuse(record.path / format, compared[0], quantize)

    if format == "saved_model":
        path = export_saved_model(model_path, names, record.path, verify, fitting)
    elif format == "onnx":
        path = export_onnx(model_path, names, record.path / "onnx", verify)
    else:
        path = export_litert(model_path, names, record.path / "litert", quantize, calibration, verify)
    comparison = compared[0]
    return ExportReport(
        path=path,
        format=format,
        quantize=quantize,
        data=found.data,
        split=found.split,
        images=len(images),
        largest_difference=comparison.largest_difference,
        label_agreement=comparison.label_agreement,
        accuracy=float(np.mean(comparison.export.argmax(axis=1) == labels)),
        keras_accuracy=float(np.mean(comparison.keras.argmax(axis=1) == labels)),
        latency_ms=comparison.export_ms,
        keras_latency_ms=comparison.keras_ms,
        size_bytes=sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*"))),
        keras_size_bytes=model_path.stat().st_size,
        calibration_images=0 if calibration is None else len(calibration),
        float_tensors=comparison.float_tensors if quantize == "int8" else 0,
    )


def _refuse(path: Path, comparison: Comparison, quantize: str | None) -> None:
    """Refuse a wrong export; how much accuracy a quantised one may lose is for its user to decide."""
    difference = comparison.largest_difference
    if not np.isfinite(comparison.export).all():
        raise ExportError(f"{path}: the export gives probabilities that are not finite: another format may do")
    if quantize is None and not difference <= LARGEST_DIFFERENCE:
        raise ExportError(
            f"{path}: the export differs from the Keras model by {difference:.2g}, and may by {LARGEST_DIFFERENCE:g}: "
            "another format may do"
        )


def _sample(batches: Batches, seed: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, height, width, channels) and labels (N,): all, or as many as there is room for."""
    most = max(1, _COMPARED_BYTES // int(np.prod(batches.image_shape)))
    if batches.size > most:
        batches = batches.taken(np.sort(np.random.default_rng(seed).permutation(batches.size)[:most]))
    return _read(batches, "reading test images", progress), np.asarray(batches.examples.labels)


def _read(batches: Batches, description: str, progress: Progress) -> np.ndarray:
    found = []
    with progress(description, batches.size) as advance:
        for images, _ in batches.each():
            found.append(images.numpy())
            advance(len(images))
    return np.concatenate(found)


def _calibration_images(data: Any, record: RunRecord, model: keras.Model, seed: int, progress: Progress) -> np.ndarray:
    """Training images of the run, without augmentation: uint8 (N, height, width, channels)."""
    config, image_shape = record.config, tuple(model.inputs[0].shape[1:])
    readable = read_images(data, config, image_shape, progress)
    source = readable.source
    train = make_splits(source, config.validation, config.test, config.seed_of_splits, config.group)["train"]
    train = relabel(train, source.class_names, record.summary.class_names, source.name)
    if isinstance(train, Arrays) and train.image_shape != image_shape:
        raise DataError(f"{source.name}: images are {train.image_shape}, the model takes {image_shape}")
    batches = Batches(train, image_shape, 128, 0, fitting=config.fitting)
    return _read(batches.taken(balanced_sample(train.labels, CALIBRATION_IMAGES, seed)), "calibration", progress)


def balanced_sample(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw images, equally many of each class as far as there are enough.

    Args:
        labels: (N,) classes.
        count: how many images.
        seed: of the draw.

    Returns:
        Indices of `count` images, or of all where there are fewer; sorted.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    turns = np.empty(len(labels), int)  # how many images of its class come before it
    for label in np.unique(labels):
        own = order[labels[order] == label]
        turns[own] = np.arange(len(own))
    return np.sort(order[np.argsort(turns[order], kind="stable")][:count])
