"""Export of a classifier as a SavedModel, from encoded images to classes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from kerastricks.classifier_file import load_classifier
from kerastricks.data.decoding.decode import decode_image, fit_image, refuse_large
from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.errors import ExportError
from kerastricks.files import begun_folder, take_name, written
from kerastricks.layers.without_augmentation import without_augmentation
from kerastricks.serving.batch_norm_folding import fold_batch_norm
from kerastricks.serving.warmup import write_warmup

_CLASSIFY = "tensorflow/serving/classify"


class _Classifier(tf.Module):
    """The model with its signatures."""

    def __init__(self, model: keras.Model, class_names: Sequence[str], fitting: Fitting) -> None:
        super().__init__()
        # Of Keras's variables TensorFlow would save copies beside those that the functions read: a loader by objects
        # fills both, TensorFlow Serving, which restores by name, only the copies.
        self.weights = [variable.value for variable in model.variables]
        self.class_names = tf.Variable(list(class_names), trainable=False)  # a constant would not be restored
        height, width, channels = model.inputs[0].shape[1:]

        def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = model(images, training=False)
            rows = tf.shape(probabilities)[0]
            return {
                "probabilities": probabilities,
                "label": tf.gather(self.class_names, tf.argmax(probabilities, axis=1)),
                # One row per image: TensorFlow Serving's row format wants the batch first in every output.
                "classes": tf.tile(self.class_names[None], [rows, 1]),
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "bytes")])
        def decode(contents: tf.Tensor) -> tf.Tensor:
            return tf.map_fn(
                lambda one: fit_image(decode_image(refuse_large(one)), height, width, channels, fitting),
                contents,
                fn_output_signature=tf.TensorSpec([height, width, channels], tf.uint8),
            )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "bytes")])
        def serve_bytes(contents: tf.Tensor) -> dict[str, tf.Tensor]:
            return classify(tf.cast(decode(contents), tf.float32))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "bytes")])
        def serve_pixels(contents: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"images": decode(contents)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def serve_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            contents = tf.io.parse_example(examples, {"bytes": tf.io.FixedLenFeature([], tf.string)})["bytes"]
            found = serve_bytes(contents)
            return {"classes": found["classes"], "scores": found["probabilities"]}

        @tf.function(input_signature=[tf.TensorSpec([None, height, width, channels], tf.float32, "images")])
        def serve_tensor(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return classify(images)

        self.decode = decode
        self.serve_bytes = serve_bytes
        self.serve_examples = serve_examples
        self.serve_pixels = serve_pixels
        self.serve_tensor = serve_tensor


def export_saved_model(
    model_path: Path,
    class_names: Sequence[str],
    base: Path,
    verify: Callable[[Path], None] | None = None,
    fitting: Fitting = WHOLE,
) -> Path:
    """Export a `.keras` classifier as the next numbered SavedModel below `base`.

    Signatures: `serving_default` takes `bytes`, a string tensor (batch,) of encoded images; `tensor` takes
    `images`, float32 (batch, height, width, channels), 0 to 255. Both return `probabilities` float32 (batch, K),
    `label` string (batch,) and `classes` string (batch, K). `classify` is for TensorFlow Serving's Classify API: it
    takes `inputs`, a string tensor (batch,) of serialized `tf.train.Example`s with a bytes feature `bytes`, and returns
    `classes` string (batch, K) and `scores` float32 (batch, K). `decode` takes `bytes` and returns `images`, uint8
    (batch, height, width, channels), the pixels that the model takes: a server that batches the requests of several
    clients decodes them one by one, so that bytes that are no image fail alone. The bytes are decoded, turned by EXIF
    and resized by the functions that training used; bytes that are no image, or one of more than 100,000,000 pixels or
    with 500 scans, end their call in an InvalidArgumentError. Batch normalisations are folded into the convolutions
    before them (`fold_batch_norm`), and augmentation inside the model is left out.

    The loaded object also has the variable `class_names`, string (K,). Requests that warm a server up are where
    TensorFlow Serving looks for them. The folder is written atomically.

    Args:
        model_path: file of a model from pixels 0-255 to probabilities.
        class_names: names of the classes, in the order of the probabilities.
        base: the folder; TensorFlow Serving's base path.
        verify: called with the folder before it gets its number, so that a server never loads a wrong one.
        fitting: how images in `bytes` are cut and resized, as those that the model was evaluated on.

    Returns:
        The folder that was written: `base/1`, `base/2` ...

    Raises:
        ExportError: when TensorFlow cannot write it.
        WriteError: where the disk does not take it.
    """

    def write_it(begun: Path) -> None:
        if keras.backend.backend() == "tensorflow":
            with written(base / "saved_model.pb"):
                write(model_path, class_names, begun, fitting)
        else:
            _write_with_tensorflow(model_path, class_names, begun, fitting)

    return write_version(base, write_it, verify)


def write_version(base: Path, write: Callable[[Path], None], verify: Callable[[Path], None] | None = None) -> Path:
    """Write the next numbered folder below `base`, atomically; an error leaves nothing.

    Args:
        base: the folder of the numbered ones; made where it is not there.
        write: fills an empty folder.
        verify: called with it after that, before it gets its number.

    Returns:
        The numbered folder.

    Raises:
        WriteError: where the disk does not take it.
    """
    made = not base.exists()
    try:
        with written(base):
            base.mkdir(parents=True, exist_ok=True)
        with written(base), begun_folder(base) as begun:
            write(begun)
            if verify is not None:
                verify(begun)
            while True:
                target = base / str(next_number(base))
                try:
                    take_name(begun, target)
                    return target
                except FileExistsError:  # another process was faster
                    continue
    finally:
        if made:
            with suppress(OSError):  # not empty
                base.rmdir()


def for_inference(model: keras.Model) -> keras.Model:
    """The model that is exported: without augmentation, and with batch normalisations folded."""
    return fold_batch_norm(without_augmentation(model))


def write(model_path: Path, class_names: Sequence[str], target: Path, fitting: Fitting) -> None:
    """Write the SavedModel; the backend must be TensorFlow."""
    model = for_inference(load_classifier(model_path))
    module = _Classifier(model, class_names, fitting)
    signatures = {
        "serving_default": module.serve_bytes,
        "tensor": module.serve_tensor,
        "classify": module.serve_examples,
        "decode": module.serve_pixels,
    }
    tf.saved_model.save(module, str(target), signatures=signatures)
    _name_method(target / "saved_model.pb", "classify", _CLASSIFY)
    write_warmup(target, model.inputs[0].shape[1:])


def _name_method(path: Path, signature: str, method: str) -> None:
    """Set the API that a signature is for: TensorFlow writes each as one for Predict."""
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (graph,) = saved_model.meta_graphs
    graph.signature_def[signature].method_name = method
    path.write_bytes(saved_model.SerializeToString(deterministic=True))


def next_number(base: Path) -> int:
    """One more than the highest numbered folder."""
    return max((int(path.name) for path in base.iterdir() if re.fullmatch("[0-9]+", path.name)), default=0) + 1


def _write_with_tensorflow(model_path: Path, class_names: Sequence[str], target: Path, fitting: Fitting) -> None:
    """Write the SavedModel in a process with the TensorFlow backend: JAX and torch models have none of their own."""
    arguments: list[Any] = [model_path, json.dumps(list(class_names)), target, json.dumps(asdict(fitting))]
    run_with_tensorflow("kerastricks.serving.export", arguments)


def run_with_tensorflow(module: str, arguments: Sequence[Any]) -> None:
    """Run a module in a fresh process with the TensorFlow backend, on the CPU.

    Raises:
        ExportError: with the process's last line where it fails.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"{arguments[0]}: {module.rsplit('.', 1)[-1]} failed in a fresh process: {last}")


if __name__ == "__main__":
    write(Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]), Fitting(**json.loads(sys.argv[4])))
