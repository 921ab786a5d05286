"""TensorFlow Serving's REST API.

Deviations: a method that an address does not take is answered by 405 and not 400, a full queue by 429, a request that
is too large by 413 and one that takes too long by 504; TensorFlow Serving has no such limits but gRPC's.

Reference:
    TensorFlow Serving: RESTful API, https://www.tensorflow.org/tfx/serving/api_rest
"""

import json
import re
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from kerastricks.serving.server import json_tensors
from kerastricks.serving.server.engine import Engine
from kerastricks.serving.server.status import HTTP_STATUS, ServingError

_ADDRESS = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?P<action>/metadata|:predict|:classify|:regress)?"
)
CLASSIFY = "tensorflow/serving/classify"


def routes(engine: Engine) -> list[Route]:
    """Addresses below /v1/models."""
    route = Route("/v1/models/{address:path}", _Api(engine).answer)
    route.methods = None  # which of them an address takes depends on its action
    return [route]


def refused(error: ServingError) -> Response:
    """An error in TensorFlow Serving's form."""
    status = HTTP_STATUS.get(error.code, 500)
    headers = {"retry-after": "1"} if status in (429, 503) else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return json_response({"error": str(error)}, status, headers)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response of JSON."""
    body = value if isinstance(value, bytes) else json_tensors.encode(value)
    return Response(body, status, headers, media_type="application/json")


class _Api:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(self, request: Request) -> Response:
        found = _ADDRESS.fullmatch(request.scope["path"])
        if found is None:
            raise ServingError("NOT_FOUND", f"Malformed request: {request.method} {request.scope['path'][:200]}")
        name, label, action = found["name"], found["label"], found["action"]
        version = None if found["version"] is None else int(found["version"])
        request.scope["kerastricks.model"] = name
        post = action in (":predict", ":classify", ":regress")
        allowed = "POST" if post else "GET, HEAD"
        if request.method not in allowed.split(", "):
            wrong = f"Malformed request: {request.method} {request.scope['path'][:200]}: use {allowed.split(',')[0]}"
            return json_response({"error": wrong}, 405, {"allow": allowed})
        if action is None:
            return json_response(self._status(name, version, label))
        if action == "/metadata":
            return json_response(self._metadata(name, version, label))
        if action == ":regress":
            raise ServingError("UNIMPLEMENTED", "classifiers have no :regress: use :predict or :classify")
        body = await request.body()
        job = self._predict if action == ":predict" else self._classify
        return json_response(await self._engine.run(lambda: job(body, name, version, label)))

    def _status(self, name: str, version: int | None, label: str | None) -> dict[str, Any]:
        states = self._engine.models.states(name, version, label)
        return {
            "model_version_status": [
                {
                    "version": str(one.version),
                    "state": one.state,
                    "status": {"error_code": one.error_code, "error_message": one.error_message},
                }
                for one in states
            ]
        }

    def _metadata(self, name: str, version: int | None, label: str | None) -> dict[str, Any]:
        with self._engine.models.lease(name, version, label) as model:
            found = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
            number = model.version
        text = json_format.MessageToJson(
            found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return {
            "model_spec": {"name": name, "signature_name": "", "version": str(number)},
            "metadata": {"signature_def": json.loads(text)},
        }

    def _predict(self, body: bytes, name: str, version: int | None, label: str | None) -> bytes:
        request = json_tensors.predict_request(body)
        with self._engine.models.lease(name, version, label) as model:
            inputs = json_tensors.to_inputs(request, _signature(model, request.signature_name))
            found = model.run(request.signature_name, inputs)
        return json_tensors.predictions(found, request.in_rows)

    def _classify(self, body: bytes, name: str, version: int | None, label: str | None) -> bytes:
        request = json_tensors.parse(body)
        signature_name = request.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise ServingError("INVALID_ARGUMENT", "signature_name: must be a string")
        context = request.get("context", {})
        examples = request.get("examples")
        if not (isinstance(examples, list) and examples and all(isinstance(one, dict) for one in examples)):
            raise ServingError("INVALID_ARGUMENT", "examples: must be a list of objects that is not empty")
        if not isinstance(context, dict):
            raise ServingError("INVALID_ARGUMENT", "context: must be an object")
        serialized = np.empty(len(examples), object)
        serialized[:] = [to_example({**context, **one}).SerializeToString() for one in examples]
        with self._engine.models.lease(name, version, label) as model:
            found = classify(model, signature_name, serialized)
        return json_tensors.encode({"results": found})


def classify(model: Any, signature_name: str, examples: np.ndarray) -> list[list[tuple[str, float]]]:
    """Label and score of each class, for serialized examples (batch,)."""
    signature = _signature(model, signature_name)
    if signature.method_name != CLASSIFY:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected classification signature method_name to be {CLASSIFY}. Was: {signature.method_name}",
        )
    found = model.run(signature_name, {"inputs": examples})
    scores = found.get("scores")
    labels = found.get("classes")
    rows = []
    for index in range(len(examples)):
        names = (
            [""] * len(scores[index]) if labels is None else [one.decode("utf-8", "replace") for one in labels[index]]
        )
        rows.append(list(zip(names, [0.0] * len(names) if scores is None else scores[index].tolist(), strict=True)))
    return rows


def to_example(features: dict[str, Any]) -> tf.train.Example:
    """A `tf.train.Example` of an object of JSON: numbers, strings, {"b64": ...}, or flat lists of them."""
    example = tf.train.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        try:
            if all(isinstance(one, int) and not isinstance(one, bool) for one in values):
                feature.int64_list.value.extend(values)
            elif all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(json_tensors.to_array(name, values, tf.string).tolist())
        except (ValueError, TypeError, OverflowError):
            raise ServingError("INVALID_ARGUMENT", f"feature {name[:100]!r}: must be numbers or strings") from None
    return example


def _signature(model: Any, name: str) -> Any:
    key = name or "serving_default"
    if key not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise ServingError("INVALID_ARGUMENT", f"signature {key[:100]!r}: model {model.name} has {known}")
    return model.signatures[key]
