"""Comparison of an export with its Keras model: both are loaded in a fresh process, and answer for the same images."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.files import begun_folder, written

_BATCH = 64
_WARM_UP_CALLS = 3
_MOST_CALLS, _MOST_SECONDS = 50, 2.0
_SIGNATURE_IMAGES = 16

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """Answers of an export and of its Keras model.

    Args:
        keras: probabilities of the Keras model, float32 (N, K).
        export: probabilities of the export, float32 (N, K).
        keras_ms: milliseconds of the Keras model for one image, median.
        export_ms: milliseconds of the export for one image, median.
        float_tensors: how many activations of a LiteRT file are float32, without its output.
    """

    keras: np.ndarray
    export: np.ndarray
    keras_ms: float
    export_ms: float
    float_tensors: int

    @property
    def largest_difference(self) -> float:
        """Largest absolute difference of two probabilities; NaN where one is not finite."""
        return float(np.max(np.abs(self.keras - self.export)))

    @property
    def label_agreement(self) -> float:
        """Share of the images with the same most probable class."""
        return float(np.mean(self.keras.argmax(axis=1) == self.export.argmax(axis=1)))


def compare_export(model_path: Path, exported: Path, images: np.ndarray, fitting: Fitting = WHOLE) -> Comparison:
    """Load an export and its Keras model in a fresh process, and compare them on images.

    Both run on the CPU, Keras on TensorFlow. Of a SavedModel the signature `tensor` answers for all images, and all
    signatures for the first 16. The process has nothing of kerastricks loaded when the export answers.

    Args:
        model_path: the `.keras` file.
        exported: a SavedModel's folder, `model.onnx` or `model.tflite`.
        images: uint8 (N, height, width, channels).
        fitting: fitting that was exported.

    Raises:
        ExportError: where either cannot be loaded, or a signature of a SavedModel differs by more than 1e-4.
    """
    from kerastricks.serving.export import run_with_tensorflow

    with written(model_path.parent), begun_folder(model_path.parent) as folder:
        request, answer = folder / "images.npy", folder / "answer.npz"
        with written(request):
            np.save(request, images)
        geometry = json.dumps(asdict(fitting))
        run_with_tensorflow("kerastricks.serving.comparison", [model_path, exported, request, answer, geometry])
        with np.load(answer) as found:
            return Comparison(
                found["keras"],
                found["export"],
                float(found["keras_ms"]),
                float(found["export_ms"]),
                int(found["float_tensors"]),
            )


def open_export(path: Path) -> tuple[Predict, int]:
    """Load an export.

    Args:
        path: a SavedModel's folder, `model.onnx` or `model.tflite`.

    Returns:
        A function from pixels uint8 (batch, height, width, channels) to probabilities; and how many activations of a
        LiteRT file are float32, without its output.
    """
    if path.suffix == ".onnx":
        return _open_onnx(path), 0
    if path.suffix == ".tflite":
        return _open_litert(path)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["tensor"]

    def predict(images: np.ndarray, _kept: Any = loaded) -> np.ndarray:  # its variables live as long as it does
        return signature(images=tf.constant(images, tf.float32))["probabilities"].numpy()

    return predict, 0


def _open_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images.astype("float32")})[0]


def _open_litert(path: Path) -> tuple[Predict, int]:
    import os

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    floats = sum(one["dtype"] is np.float32 for one in interpreter.get_tensor_details()) - 1
    shape = tuple(source["shape"])

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            shape = images.shape
            interpreter.resize_tensor_input(source["index"], shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], images.astype(source["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return predict, floats


def milliseconds(predict: Predict, image: np.ndarray) -> float:
    """Median time of a call for one image, after a few that warm it up."""
    for _ in range(_WARM_UP_CALLS):
        predict(image)
    times: list[float] = []
    while len(times) < _MOST_CALLS and sum(times) < _MOST_SECONDS:
        started = time.perf_counter()
        predict(image)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _answers(predict: Predict, images: np.ndarray) -> np.ndarray:
    return np.concatenate([predict(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)])


def _main(model_path: Path, exported: Path, request: Path, answer: Path, fitting: Fitting) -> str:
    """Write the answers; called in the fresh process. Returns a message where signatures differ."""
    images = np.load(request, mmap_mode="r")
    predict, float_tensors = open_export(exported)
    export_ms = milliseconds(predict, images[:1])
    of_export = _answers(predict, images)

    import kerastricks  # noqa: F401 - registers the custom objects
    from kerastricks.classifier_file import load_classifier
    from kerastricks.serving.verify import wrong_signatures

    model = load_classifier(model_path)

    def by_keras(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_on_batch(pixels.astype("float32")))

    keras_ms = milliseconds(by_keras, images[:1])
    of_keras = _answers(by_keras, images)
    np.savez(
        answer,
        keras=of_keras,
        export=of_export,
        keras_ms=keras_ms,
        export_ms=export_ms,
        float_tensors=float_tensors,
    )
    if not exported.is_dir():
        return ""
    first = slice(_SIGNATURE_IMAGES)
    return wrong_signatures(model, exported, np.asarray(images[first]), of_keras[first], fitting)


if __name__ == "__main__":
    model_file, export_file, request_file, answer_file = map(Path, sys.argv[1:5])
    fitting_of_run = Fitting(**json.loads(sys.argv[5]))
    sys.exit(_main(model_file, export_file, request_file, answer_file, fitting_of_run) or 0)
