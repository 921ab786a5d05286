"""Loads what was written in a fresh process and holds it against the model that was trained."""

import json
import sys
from pathlib import Path

import numpy as np

TOLERANCE = 1e-4


def verify_export(model_path: Path, saved_model: Path, images: np.ndarray, probabilities: np.ndarray) -> None:
    """Compares the `.keras` file and both signatures of the SavedModel with given answers.

    Args:
        model_path: the `.keras` file.
        saved_model: the numbered folder.
        images: uint8 (N, height, width, channels).
        probabilities: float32 (N, K), what the trained model says to them.

    Raises:
        ExportError: where any of the three differs by more than 1e-4, or cannot be loaded.
    """
    from kerastricks.serving.export import run_with_tensorflow

    reference = model_path.with_name(".tmp-reference.npz")
    np.savez(reference, images=images, probabilities=probabilities)
    try:
        run_with_tensorflow("kerastricks.serving.verify", [model_path, saved_model, reference])
    finally:
        reference.unlink(missing_ok=True)


def largest_differences(model_path: Path, saved_model: Path, reference: Path) -> dict[str, float]:
    """The largest difference of each way to the reference; called in the fresh process."""
    import keras
    import tensorflow as tf

    with np.load(reference) as file:
        images, expected = file["images"], file["probabilities"]
    signatures = tf.saved_model.load(str(saved_model)).signatures
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    pixels = tf.constant(images, tf.float32)
    found = {
        "model.keras": keras.models.load_model(model_path)(pixels, training=False),
        "signature tensor": signatures["tensor"](images=pixels)["probabilities"],
        "signature serving_default": signatures["serving_default"](bytes=encoded)["probabilities"],
    }
    return {name: float(np.max(np.abs(np.asarray(value) - expected))) for name, value in found.items()}


if __name__ == "__main__":
    import kerastricks  # noqa: F401 - registers the custom objects

    differences = largest_differences(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        sys.exit(f"differs from the trained model: {json.dumps(wrong)}")
