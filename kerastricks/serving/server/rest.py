"""TensorFlow Serving's REST API.

Deviations: a method that an address does not take is answered by 405 and not 400, a full queue by 429, a request that
is too large by 413 and one that takes too long by 504; TensorFlow Serving has no such limits but gRPC's.

Reference:
    TensorFlow Serving: RESTful API, https://www.tensorflow.org/tfx/serving/api_rest
"""

import re
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, model_pb2

from kerastricks.serving.server import grpc_tensorflow, json_tensors
from kerastricks.serving.server.engine import Engine, off_loop, values_size
from kerastricks.serving.server.status import HTTP_STATUS, ServingError

_ADDRESS = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<action>/metadata|:predict|:classify|:regress)?"
)


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
        parts = _ADDRESS.fullmatch(request.scope["path"])
        if parts is None:
            raise ServingError("NOT_FOUND", f"Malformed request: {request.method} {request.scope['path'][:200]}")
        name, label, action = parts["name"], parts["label"], parts["action"]
        version = None if parts["version"] is None else int(parts["version"])
        request.scope["kerastricks.model"] = name
        post = action in (":predict", ":classify", ":regress")
        allowed = "POST" if post else "GET, HEAD"
        if request.method not in allowed.split(", "):
            wrong = f"Malformed request: {request.method} {request.scope['path'][:200]}: use {allowed.split(',')[0]}"
            return json_response({"error": wrong}, 405, {"allow": allowed})
        models, spec = self._engine.models, _spec(name, version, label)
        if action is None:
            asked = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            return json_response(_as_json(grpc_tensorflow.get_model_status(models, asked)))
        if action == "/metadata":
            wanted = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
            found = grpc_tensorflow.get_model_metadata(models, wanted)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            found.metadata["signature_def"].Unpack(signatures)
            spec_of_answer = {"name": name, "signature_name": "", "version": str(found.model_spec.version.value)}
            return json_response({"model_spec": spec_of_answer, "metadata": {"signature_def": _as_json(signatures)}})
        if action == ":regress":
            raise ServingError("UNIMPLEMENTED", "classifiers have no :regress: use :predict or :classify")
        body = await request.body()
        job = self._predict if action == ":predict" else self._classify
        return json_response(await self._engine.run(job(body, name, version, label)))

    async def _predict(self, body: bytes, name: str, version: int | None, label: str | None) -> bytes:
        request = await off_loop(len(body), json_tensors.predict_request, body)
        with self._engine.models.lease(name, version, label) as model:
            signature = model.signature(request.signature_name)
            inputs = await off_loop(len(body), json_tensors.to_inputs, request, signature)
            found = await model.run(request.signature_name, inputs)
        return await off_loop(values_size(found), json_tensors.predictions, found, request.in_rows)

    async def _classify(self, body: bytes, name: str, version: int | None, label: str | None) -> bytes:
        request = await off_loop(len(body), _classification, body, _spec(name, version, label))
        found = (await grpc_tensorflow.classify(self._engine.models, request)).result.classifications
        rows = [[(one.label, one.score) for one in row.classes] for row in found]
        return json_tensors.encode({"results": rows})


def _classification(body: bytes, spec: model_pb2.ModelSpec) -> classification_pb2.ClassificationRequest:
    given = json_tensors.parse(body)
    signature_name = given.get("signature_name", "")
    if not isinstance(signature_name, str):
        raise ServingError("INVALID_ARGUMENT", "signature_name: must be a string")
    context = given.get("context", {})
    examples = given.get("examples")
    if not (isinstance(examples, list) and examples and all(isinstance(one, dict) for one in examples)):
        raise ServingError("INVALID_ARGUMENT", "examples: must be a list of objects that is not empty")
    if not isinstance(context, dict):
        raise ServingError("INVALID_ARGUMENT", "context: must be an object")
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.extend(to_example({**context, **one}) for one in examples)
    return request


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


def _spec(name: str, version: int | None, label: str | None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def _as_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
