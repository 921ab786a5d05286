"""Answers the warm-up requests of a SavedModel before its version is called ready."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from kerastricks.serving.server.loaded_version import LoadedVersion
from kerastricks.serving.server.status import ServingError
from kerastricks.serving.warmup import FILE

_MOST = 1000  # TensorFlow Serving's limit


def warm_up(loaded: LoadedVersion, folder: Path) -> int:
    """Run the requests that the SavedModel brings, and return how many.

    Raises:
        ServingError: where one cannot be answered: the version would not answer its clients either.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            if count == _MOST:
                break
            _run(loaded, prediction_log_pb2.PredictionLog.FromString(record))
            count += 1
    except ServingError as error:
        raise ServingError(error.code, f"warm-up request {count}: {error}") from None
    except Exception as error:
        raise ServingError("FAILED_PRECONDITION", f"{FILE}: damaged ({type(error).__name__})") from None
    return count


def _run(loaded: LoadedVersion, log: Any) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {name: np.asarray(tf.make_ndarray(one)) for name, one in request.inputs.items()}
        asyncio.run(loaded.run(request.model_spec.signature_name, inputs, tuple(request.output_filter)))
    elif kind == "classify_log":
        request = log.classify_log.request
        examples = [one.SerializeToString() for one in request.input.example_list.examples]
        signature = request.model_spec.signature_name
        array = np.empty(len(examples), object)
        array[:] = examples
        (name,) = loaded.signatures[signature or "serving_default"].inputs
        asyncio.run(loaded.run(signature, {name: array}))
