"""Export of a classifier as an ONNX or LiteRT file, from pixels to probabilities."""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.classifier_file import load_classifier
from kerastricks.errors import ConfigError
from kerastricks.files import write_text, written
from kerastricks.serving import export
from kerastricks.serving.formats import check_format

ONNX_FILE, LITERT_FILE, LABELS_FILE = "model.onnx", "model.tflite", "labels.txt"

Verify = Callable[[Path], None]


def export_onnx(model_path: Path, class_names: Sequence[str], base: Path, verify: Verify | None = None) -> Path:
    """Export a `.keras` classifier as ONNX, in the next numbered folder below `base`.

    The input `images` is float32 (batch, height, width, channels), 0 to 255, of any batch; the output `probabilities`
    float32 (batch, K). The names of the classes are in `metadata_props`, key `class_names`, as a JSON list. As in the
    SavedModel, batch normalisations are folded and augmentation is left out.

    Args:
        model_path: file of a model from pixels 0-255 to probabilities.
        class_names: names of the classes, in the order of the probabilities.
        base: the folder of the numbered folders.
        verify: called with the file before its folder gets its number.

    Returns:
        The file, such as `base/1/model.onnx`.

    Raises:
        MissingExtraError: where a package of the extra `export` is not installed.
        ExportError: where tf2onnx cannot convert it.
        WriteError: where the disk does not take it.
    """
    check_format("onnx")
    return _export(model_path, base, ONNX_FILE, verify, class_names=_texts(class_names))


def export_litert(
    model_path: Path,
    class_names: Sequence[str],
    base: Path,
    quantize: str | None = None,
    calibration: np.ndarray | None = None,
    verify: Verify | None = None,
) -> Path:
    """Export a `.keras` classifier as LiteRT (TensorFlow Lite), in the next numbered folder below `base`.

    The signature `serving_default` takes `images` (batch, height, width, channels), of any batch, and returns
    `probabilities` float32 (batch, K). Images are float32, 0 to 255; of an "int8" model uint8, whose quantisation is
    the identity. `labels.txt` has the names of the classes, one a line. Only built-in operations are used. As in the
    SavedModel, batch normalisations are folded and augmentation is left out.

    Args:
        model_path: file of a model from pixels 0-255 to probabilities.
        class_names: names of the classes, in the order of the probabilities.
        base: the folder of the numbered folders.
        quantize: None for float32; "dynamic" for int8 weights whose activations are quantised as they come; "int8"
            for int8 weights and activations, the ranges of which are those of `calibration`. An operation without
            an integer kernel stays float32.
        calibration: uint8 (N, height, width, channels), training images; for "int8" only.
        verify: called with the file before its folder gets its number.

    Returns:
        The file, such as `base/1/model.tflite`.

    Raises:
        ConfigError: for an unknown quantisation, or "int8" without images.
        MissingExtraError: where a package of the extra `export` is not installed.
        ExportError: where TensorFlow cannot convert it.
        WriteError: where the disk does not take it.

    Reference:
        Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
        arXiv 1712.05877; per channel for kernels, as https://ai.google.dev/edge/litert/models/quantization_spec.
    """
    check_format("litert", quantize)
    if (calibration is not None) != (quantize == "int8"):
        raise ConfigError(f"calibration images belong to quantize='int8'. Received: quantize={quantize!r}")
    given = {"quantize": np.array(quantize or ""), "class_names": _texts(class_names)}
    if calibration is not None:
        given["calibration"] = calibration
    return _export(model_path, base, LITERT_FILE, verify, **given)


def _texts(names: Sequence[str]) -> np.ndarray:
    return np.array(json.dumps(list(names)))


def _export(model_path: Path, base: Path, name: str, verify: Verify | None, **given: np.ndarray) -> Path:
    """Write one version in a fresh process: converters print, and a fault of theirs ends the process."""

    def write(begun: Path) -> None:
        with tempfile.TemporaryDirectory(dir=begun) as folder:
            request = Path(folder) / "request.npz"
            np.savez(request, **given)  # type: ignore[arg-type]
            export.run_with_tensorflow("kerastricks.serving.converting", [model_path, begun / name, request])
        if name == LITERT_FILE:
            lines = [" ".join(one.splitlines()) for one in json.loads(str(given["class_names"]))]
            write_text(begun / LABELS_FILE, "".join(f"{line}\n" for line in lines))

    return export.write_version(base, write, None if verify is None else lambda begun: verify(begun / name)) / name


def convert(model_path: Path, file: Path, request: Path) -> None:
    """Convert a `.keras` file; called in the fresh process, with the TensorFlow backend."""
    with np.load(request) as found:
        given = dict(found)
    frozen = _frozen(export.for_inference(load_classifier(model_path)))
    if file.name == ONNX_FILE:
        contents = _onnx(frozen, str(given["class_names"]))
    else:
        contents = _litert(frozen, request.parent, str(given["quantize"]), given.get("calibration"))
    with written(file):
        file.write_bytes(contents)


def _frozen(model: Any) -> Any:
    """The model as a function of constants, from which converters make fewer operations than from variables."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = [None, *model.inputs[0].shape[1:]]
    call = tf.function(lambda images: model(images, training=False))
    return convert_variables_to_constants_v2(call.get_concrete_function(tf.TensorSpec(shape, tf.float32, "images")))


def _onnx(frozen: Any, class_names: str) -> bytes:
    import tf2onnx

    source, target = frozen.inputs[0].name, frozen.outputs[0].name
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[source],
        output_names=[target],
        tensors_to_rename={source: "images", target: "probabilities"},
    )
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.metadata_props.add(key="class_names", value=class_names)
    return model.SerializeToString()


def _litert(frozen: Any, folder: Path, quantize: str, calibration: np.ndarray | None) -> bytes:
    module = tf.Module()
    signature = [tf.TensorSpec(frozen.inputs[0].shape, tf.float32, "images")]
    module.serve = tf.function(lambda images: {"probabilities": frozen(images)[0]}, input_signature=signature)
    # A signature keeps the names of input and output, which a function alone loses.
    tf.saved_model.save(module, str(folder / "frozen"), signatures=module.serve)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "frozen"))
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        converter.representative_dataset = lambda: ({"images": one} for one in whole_range(calibration))
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8
    return converter.convert()


def whole_range(images: np.ndarray) -> np.ndarray:
    """Batches of one image, float32. The first has a black and a white pixel: the input's scale is then exactly 1."""
    batches = images[:, None].astype("float32")
    batches[0, 0, 0, 0], batches[0, 0, -1, -1] = 0.0, 255.0
    return batches


if __name__ == "__main__":
    import kerastricks  # noqa: F401 - registers the custom objects

    convert(*map(Path, sys.argv[1:]))
