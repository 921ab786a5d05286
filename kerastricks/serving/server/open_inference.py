"""Open Inference Protocol v2 over HTTP, with the extension for binary tensors.

Reference:
    https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; binary tensors:
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kerastricks.serving.server.engine import Engine, off_loop, values_size
from kerastricks.serving.server.json_tensors import encode, parse
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.open_inference_models import index, infer, is_ready, model_metadata, server_metadata
from kerastricks.serving.server.open_inference_tensors import (
    array_of_bytes,
    array_of_values,
    bytes_of_array,
    datatype_of_array,
    values_of_array,
)
from kerastricks.serving.server.status import ServingError

HEADER_LENGTH = "Inference-Header-Content-Length"
_Value = TypeVar("_Value")


def routes(engine: Engine) -> list[Route]:
    """Routes below `/v2`, for a Starlette application.

    Args:
        engine: runs the requests.

    Returns:
        Server metadata, liveness, readiness; metadata, readiness and inference of models and their versions; an index
        of the models. They raise ServingError, of which the application makes `{"error": "..."}`.
    """

    async def live(request: Request) -> Response:
        return _json({"live": True})

    async def ready(request: Request) -> Response:
        is_up = not engine.draining and engine.models.ready()
        return _json({"ready": is_up}, 200 if is_up else 503)

    async def server(request: Request) -> Response:
        return _json(server_metadata())

    async def model(request: Request) -> Response:
        return _json(model_metadata(engine.models, *_model(request)))

    async def model_ready(request: Request) -> Response:
        name, version = _model(request)
        is_up = not engine.draining and is_ready(engine.models, name, version)
        return _json({"name": name, "ready": is_up}, 200 if is_up else 503)

    async def repository(request: Request) -> Response:
        asked = parse(await request.body() or b"{}")
        return _json(index(engine.models, _get(asked, "ready", bool, False, "the request")))

    async def inference(request: Request) -> Response:
        body = await request.body()
        header_length = request.headers.get(HEADER_LENGTH)
        name, version = _model(request)
        contents, length = await engine.run(respond(engine.models, name, version, body, header_length))
        if length is None:
            return Response(contents, media_type="application/json")
        return Response(contents, media_type="application/octet-stream", headers={HEADER_LENGTH: str(length)})

    found = [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/v2/repository/index", repository, methods=["POST"]),
    ]
    for path in ("/v2/models/{m}", "/v2/models/{m}/versions/{version}"):
        found += [
            Route(path, model),
            Route(f"{path}/ready", model_ready),
            Route(f"{path}/infer", inference, methods=["POST"]),
        ]
    return found


async def respond(
    models: Models, name: str, version: str, body: bytes, header_length: str | None
) -> tuple[bytes, int | None]:
    """Answer an inference request.

    Args:
        models: of the server.
        name: of the model.
        version: its number; "" for the newest.
        body: of the request: JSON, and after it binary tensors.
        header_length: the number of bytes of JSON, as the request's header gives it.

    Returns:
        The answer's body, and the number of bytes of JSON in it where binary tensors follow.

    Raises:
        ServingError: where the request cannot be answered.
    """
    asked = await off_loop(len(body), _request, body, header_length)
    version, found = await infer(models, name, version, asked.inputs, tuple(asked.outputs), asked.parameters)
    return await off_loop(values_size(found), _answer, asked, name, version, found)


@dataclass
class _Asked:
    request: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, dict[str, Any]]
    parameters: dict[str, Any]


def _request(body: bytes, header_length: str | None) -> _Asked:
    request, binary = _split(body, header_length)
    parameters = _get(request, "parameters", dict, {}, "the request")
    inputs = _inputs(_get(request, "inputs", list, None, "the request"), binary)
    wanted: dict[str, dict[str, Any]] = {}
    for place, one in enumerate(_get(request, "outputs", list, [], "the request")):
        where = f"outputs[{place}]"
        wanted[_get(one, "name", str, None, where)] = _get(one, "parameters", dict, {}, where)
    return _Asked(request, inputs, wanted, parameters)


def _answer(asked: _Asked, name: str, version: str, found: Mapping[str, np.ndarray]) -> tuple[bytes, int | None]:
    all_binary = _get(asked.parameters, "binary_data_output", bool, False, "parameters")
    outputs, parts = [], []
    for output, array in found.items():
        given = asked.outputs.get(output, {})
        described: dict[str, Any] = {"name": output, "datatype": datatype_of_array(array), "shape": list(array.shape)}
        if _get(given, "binary_data", bool, all_binary, f"output {output}"):
            parts.append(bytes_of_array(array))
            described["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            described["data"], is_base64 = values_of_array(array)
            if is_base64:
                described["parameters"] = {"content_type": "base64"}
        outputs.append(described)
    answer: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if "id" in asked.request:
        answer["id"] = _get(asked.request, "id", str, None, "the request")
    header = encode(answer)
    return b"".join([header, *parts]), len(header) if parts else None


def _inputs(given: list[Any], binary: memoryview) -> dict[str, np.ndarray]:
    """Arrays by name; those with a `binary_data_size` take their bytes one after the other."""
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for place, one in enumerate(given):
        where = f"inputs[{place}]"
        name = _get(one, "name", str, None, where)
        where = f"input {name}"
        datatype = _get(one, "datatype", str, None, where)
        shape = _get(one, "shape", list, None, where)
        parameters = _get(one, "parameters", dict, {}, where)
        if name in arrays:
            raise _invalid(f"{where}: is given twice")
        if not all(type(size) is int for size in shape):
            raise _invalid(f"{where}: shape must be integers")
        if "binary_data_size" not in parameters:
            is_base64 = _get(parameters, "content_type", str, "", where) == "base64"
            arrays[name] = array_of_values(name, datatype, shape, _get(one, "data", list, None, where), is_base64)
            continue
        size = _get(parameters, "binary_data_size", int, None, where)
        if "data" in one:
            raise _invalid(f"{where}: has both data and binary_data_size")
        if not 0 <= size <= len(binary) - start:
            raise _invalid(f"{where}: binary_data_size is {size}, and {len(binary) - start} bytes follow")
        arrays[name] = array_of_bytes(name, datatype, shape, binary[start : start + size])
        start += size
    if start != len(binary):
        raise _invalid(f"{len(binary) - start} bytes follow the last binary tensor")
    return arrays


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """JSON of a request, and the bytes after it."""
    if header_length is None:
        return parse(body), memoryview(b"")
    if not (header_length.isascii() and header_length.isdigit()) or int(header_length[:19]) > len(body):
        raise _invalid(f"{HEADER_LENGTH} must be at most the body's {len(body)} bytes. Received: {header_length[:40]}")
    length = int(header_length)
    return parse(body[:length]), memoryview(body)[length:]


def _get(given: Any, key: str, kind: type[_Value], otherwise: _Value | None, where: str) -> _Value:
    """A field of a JSON object; `otherwise` where it is missing, and None there says that it must not be."""
    if not isinstance(given, dict):
        raise _invalid(f"{where}: must be a JSON object")
    if otherwise is not None and given.get(key) is None:
        return otherwise
    value = given.get(key)
    if type(value) is not kind:
        names = {str: "a text", list: "a list", dict: "an object", int: "an integer", bool: "true or false"}
        raise _invalid(f"{where}: {key} must be {names[kind]}")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
        raise _invalid(f"{where}: {key} has half of a surrogate pair")
    return value


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


def _model(request: Request) -> tuple[str, str]:
    return request.path_params["m"], request.path_params.get("version", "")


def _invalid(problem: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", problem)
