"""Warm-up requests of a SavedModel, which TensorFlow Serving answers before it calls the model ready.

The messages are those of tensorflow-serving-api, whose few fields are encoded here: an export must not need a package
of the server's. Each of them is nested bytes with a number and a length.
"""

from pathlib import Path

import tensorflow as tf

FILE = Path("assets.extra") / "tf_serving_warmup_requests"

# Numbers of fields in the messages of tensorflow_serving/apis: PredictionLog, PredictLog, ClassifyLog, PredictRequest,
# ClassificationRequest, ModelSpec, Input and ExampleList; a map is a list of entries with a key and a value.
_CLASSIFY_LOG, _PREDICT_LOG = 2, 6
_REQUEST = 1
_MODEL_SPEC, _SIGNATURE_NAME = 1, 3
_INPUTS, _KEY, _VALUE = 2, 1, 2
_INPUT, _EXAMPLE_LIST, _EXAMPLES = 2, 1, 1


def write_warmup(saved_model: Path, image_shape: tuple[int, int, int]) -> Path:
    """Write a request for each signature of an exported classifier, with one black image.

    TensorFlow Serving runs them when it loads a version, so that the first request of a client does not wait for
    memory, threads and optimized graphs.

    Args:
        saved_model: folder of the SavedModel.
        image_shape: (height, width, channels) of the model.

    Returns:
        `assets.extra/tf_serving_warmup_requests` in it: a TFRecord file of serialized `PredictionLog`s.

    Reference:
        TensorFlow Serving: SavedModel Warmup, https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    image = tf.zeros(image_shape, tf.uint8)
    encoded = tf.io.encode_png(image).numpy()
    path = saved_model / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        file.write(_predict("serving_default", "bytes", tf.constant([encoded])))
        file.write(_predict("tensor", "images", tf.cast(image[None], tf.float32)))
        file.write(_classify("classify", encoded))
    return path


def serialized_example(encoded: bytes) -> bytes:
    """A serialized `tf.train.Example` with an encoded image, as the signature `classify` takes it."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    return tf.train.Example(features=tf.train.Features(feature={"bytes": feature})).SerializeToString()


def _predict(signature: str, name: str, tensor: tf.Tensor) -> bytes:
    """A PredictionLog of a PredictRequest with one input."""
    value = tf.make_tensor_proto(tensor).SerializeToString()
    entry = _field(_KEY, name.encode()) + _field(_VALUE, value)
    request = _model_spec(signature) + _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _classify(signature: str, encoded: bytes) -> bytes:
    """A PredictionLog of a ClassificationRequest with one example."""
    examples = _field(_EXAMPLES, serialized_example(encoded))
    request = _model_spec(signature) + _field(_INPUT, _field(_EXAMPLE_LIST, examples))
    return _field(_CLASSIFY_LOG, _field(_REQUEST, request))


def _model_spec(signature: str) -> bytes:
    """A ModelSpec without the model's name, which the server gives."""
    return _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))


def _field(number: int, contents: bytes) -> bytes:
    """A length-delimited field: its tag, the number of bytes, and these."""
    return _varint(number << 3 | 2) + _varint(len(contents)) + contents


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
