"""Verification of an export: it is loaded in a fresh process and compared with the model that was trained."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.fitting import WHOLE, Fitting
from kerastricks.files import begun_folder, written

TOLERANCE = 1e-4


def verify_export(
    model_path: Path, saved_model: Path, images: np.ndarray, probabilities: np.ndarray, fitting: Fitting = WHOLE
) -> None:
    """Compare the `.keras` file and all signatures of the SavedModel with given probabilities.

    Args:
        model_path: the `.keras` file.
        saved_model: the numbered folder.
        images: uint8 (N, height, width, channels).
        probabilities: float32 (N, K), predictions of the trained model for them.
        fitting: fitting that was exported. Where it cuts, encoded images are compared with the model's predictions for
            their cut.

    Raises:
        ExportError: where any of them differs by more than 1e-4, or cannot be loaded.
    """
    from kerastricks.serving.export import run_with_tensorflow

    with written(model_path.parent), begun_folder(model_path.parent) as folder:
        reference = folder / "reference.npz"
        with written(reference):
            np.savez(reference, images=images, probabilities=probabilities)
        geometry = json.dumps(asdict(fitting))
        run_with_tensorflow("kerastricks.serving.verify", [model_path, saved_model, reference, geometry])


def wrong_signatures(
    model: Any, saved_model: Path, images: np.ndarray, expected: np.ndarray, fitting: Fitting = WHOLE
) -> str:
    """Compare all signatures of a SavedModel, and the model, with given probabilities; TensorFlow backend.

    Args:
        model: Keras model of the file.
        saved_model: the numbered folder.
        images: uint8 (N, height, width, channels).
        expected: float32 (N, K).
        fitting: fitting that was exported.

    Returns:
        A message that names those that differ by more than 1e-4, and by how much; "" for none.
    """
    import tensorflow as tf

    from kerastricks.data.decoding.decode import decode_image, fit_image
    from kerastricks.serving.warmup import serialized_example

    signatures = tf.saved_model.load(str(saved_model)).signatures
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    examples = tf.constant([serialized_example(one.numpy()) for one in encoded])
    pixels = tf.constant(images, tf.float32)
    expected_of_bytes = expected
    if fitting.crop_fraction < 1:
        height, width, channels = images.shape[1:]
        cut = [fit_image(decode_image(one), height, width, channels, fitting) for one in encoded]
        expected_of_bytes = model(tf.cast(tf.stack(cut), tf.float32), training=False)
    found = {
        "model.keras": (model(pixels, training=False), expected),
        "signature tensor": (signatures["tensor"](images=pixels)["probabilities"], expected),
        "signature serving_default": (
            signatures["serving_default"](bytes=encoded)["probabilities"],
            expected_of_bytes,
        ),
        "as TensorFlow Serving loads it": (_restored_by_name(saved_model, images), expected),
        "signature classify": (signatures["classify"](inputs=examples)["scores"], expected_of_bytes),
    }
    differences = {name: float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for name, (a, b) in found.items()}
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    return f"differs from the trained model: {json.dumps(wrong)}" if wrong else ""


def _restored_by_name(saved_model: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities of the signature `tensor` where the graph's restore operation fills the variables."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(saved_model)).signature_def
        signature = signatures["tensor"]
        return session.run(
            signature.outputs["probabilities"].name, {signature.inputs["images"].name: images.astype("float32")}
        )


if __name__ == "__main__":
    import kerastricks  # noqa: F401 - registers the custom objects
    from kerastricks.classifier_file import load_classifier

    with np.load(sys.argv[3]) as file:
        given = file["images"], file["probabilities"]
    fitting_of_run = Fitting(**json.loads(sys.argv[4]))
    message = wrong_signatures(load_classifier(Path(sys.argv[1])), Path(sys.argv[2]), *given, fitting_of_run)
    if message:
        sys.exit(message)
