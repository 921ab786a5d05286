"""Tensors in JSON, as TensorFlow Serving's REST API has them: in rows (`instances`) or in columns (`inputs`).

Reference:
    TensorFlow Serving: RESTful API, https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from kerastricks.errors import first_line
from kerastricks.serving.server.status import ServingError


@dataclass(frozen=True)
class JsonRequest:
    """A request for predictions.

    Args:
        signature_name: "" for serving_default.
        value: of `instances` or `inputs`.
        in_rows: whether it is `instances`.
    """

    signature_name: str
    value: Any
    in_rows: bool


def parse(body: bytes) -> dict[str, Any]:
    """The object in a request's body.

    Raises:
        ServingError: INVALID_ARGUMENT where it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else first_line(error)
        raise ServingError("INVALID_ARGUMENT", f"JSON Parse error: {reason[:200]}") from None
    if not isinstance(found, dict):
        raise ServingError("INVALID_ARGUMENT", "JSON Parse error: must be an object")
    return found


def predict_request(body: bytes) -> JsonRequest:
    """Parse the body of `:predict`."""
    found = parse(body)
    name = found.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError("INVALID_ARGUMENT", "signature_name: must be a string")
    if ("instances" in found) == ("inputs" in found):
        raise ServingError("INVALID_ARGUMENT", "Request must have either 'instances' (rows) or 'inputs' (columns)")
    if "instances" in found and not (isinstance(found["instances"], list) and found["instances"]):
        raise ServingError("INVALID_ARGUMENT", "instances: must be a list that is not empty")
    return JsonRequest(name, found["instances"] if "instances" in found else found["inputs"], "instances" in found)


def to_inputs(request: JsonRequest, signature: meta_graph_pb2.SignatureDef) -> dict[str, np.ndarray]:
    """Arrays for the inputs of a signature.

    Raises:
        ServingError: INVALID_ARGUMENT with the name of the input.
    """
    names = sorted(signature.inputs)
    value = request.value
    if request.in_rows and all(_is_named(one) for one in value):
        keys = set(value[0])
        if any(set(one) != keys for one in value):
            raise ServingError("INVALID_ARGUMENT", "instances: all must have the same keys")
        columns = {name: [one[name] for one in value] for name in sorted(keys)}
    elif not request.in_rows and _is_named(value):
        columns = value
    elif len(names) == 1:
        columns = {names[0]: value}
    else:
        raise ServingError("INVALID_ARGUMENT", f"inputs must be named: an object with {', '.join(names)}")
    if set(columns) != set(names):
        received = ", ".join(sorted(columns)[:10]) or "none"
        raise ServingError("INVALID_ARGUMENT", f"inputs must be {', '.join(names)}. Received: {received}")
    return {name: to_array(name, columns[name], tf.as_dtype(signature.inputs[name].dtype)) for name in names}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def to_array(name: str, value: Any, dtype: tf.DType) -> np.ndarray:
    """An array of a dtype of nested lists.

    Raises:
        ServingError: INVALID_ARGUMENT where they are ragged, or hold something else.
    """
    try:
        if dtype == tf.string:
            return np.array(_bytes(value, 0), object)
        # As objects first: an array of strings takes the length of the longest for each.
        found = np.asarray(value, object)
        kinds = set(map(type, found.ravel()))
        wanted = np.dtype(dtype.as_numpy_dtype)
        if list in kinds:
            raise ValueError("lists must be of one length")
        taken: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}}
        if kinds - taken.get(wanted.kind, {int, float}):
            raise ValueError(f"must be numbers of {dtype.name}" if wanted.kind != "b" else "must be true or false")
        with np.errstate(over="ignore"):
            return found.astype(wanted)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ServingError("INVALID_ARGUMENT", f"input {name}: {first_line(error)[:200]}") from None


def _bytes(value: Any, depth: int) -> Any:
    """Nested lists of bytes; texts are UTF-8, and {"b64": ...} is base64."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("b64 must be base64 text") from None
    if isinstance(value, list) and depth < 16:
        return [_bytes(one, depth + 1) for one in value]
    raise ValueError('must be strings or {"b64": "..."} of base64')


def predictions(outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
    """The body of an answer, in the form of the request."""
    columns = {name: to_lists(name, array) for name, array in outputs.items()}
    if not in_rows:
        return encode({"outputs": next(iter(columns.values())) if len(columns) == 1 else columns})
    if any(array.ndim == 0 for array in outputs.values()) or len({len(array) for array in outputs.values()}) > 1:
        raise ServingError("INVALID_ARGUMENT", "outputs have no row for each instance: ask in columns, with 'inputs'")
    if len(columns) == 1:
        return encode({"predictions": next(iter(columns.values()))})
    rows = zip(*columns.values(), strict=True)
    return encode({"predictions": [dict(zip(columns, row, strict=True)) for row in rows]})


def to_lists(name: str, array: np.ndarray) -> Any:
    """Nested lists of an output; of strings as text, or base64 where the name ends in _bytes."""
    if array.dtype != object:
        return array.tolist()

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(one) for one in value]
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "replace")

    return convert(array.tolist())


def encode(value: Any) -> bytes:
    """JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
