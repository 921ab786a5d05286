"""Verification of an export: it is loaded in a fresh process and compared with the model that was trained."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

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


def largest_differences(
    model_path: Path, saved_model: Path, reference: Path, fitting: Fitting = WHOLE
) -> dict[str, float]:
    """Compute the largest difference of each to the reference; called in the fresh process."""
    import tensorflow as tf

    from kerastricks.classifier_file import load_classifier
    from kerastricks.data.decoding.decode import decode_image, fit_image
    from kerastricks.serving.warmup import serialized_example

    with np.load(reference) as file:
        images, expected = file["images"], file["probabilities"]
    signatures = tf.saved_model.load(str(saved_model)).signatures
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    pixels = tf.constant(images, tf.float32)
    model = load_classifier(model_path)
    expected_of_bytes = expected
    if fitting.crop_fraction < 1:
        height, width, channels = images.shape[1:]
        cut = [fit_image(decode_image(one), height, width, channels, fitting) for one in encoded]
        expected_of_bytes = model(tf.cast(tf.stack(cut), tf.float32), training=False)
    examples = tf.constant([serialized_example(one.numpy()) for one in encoded])
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
    return {name: float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for name, (a, b) in found.items()}


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

    fitting_of_run = Fitting(**json.loads(sys.argv[4]))
    differences = largest_differences(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), fitting_of_run)
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        sys.exit(f"differs from the trained model: {json.dumps(wrong)}")
