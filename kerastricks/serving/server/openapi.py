"""The description of the HTTP interfaces, for the generators of clients, testers and readers.

Reference:
    OpenAPI 3.1.0, https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Mapping, Sequence

import kerastricks
from kerastricks.serving.server.openapi_schemas import (
    CLASSIFY_EXAMPLES,
    INFER_EXAMPLES,
    PREDICT_EXAMPLES,
    SCHEMAS,
    Schema,
    ref,
)

_ERRORS = {
    400: "The request is malformed, or not what the model takes: an input, a shape, a file that is no image.",
    401: "The server asks for a token, and it is missing or wrong.",
    404: "There is no such model, version or label.",
    408: "The request was not sent in time.",
    412: "The model is not in a state in which it can be used.",
    413: "The request is too large.",
    429: "Too many requests are waiting: try again after the time in Retry-After.",
    500: "The model or the server failed.",
    503: "The model is being loaded, or the server is stopping: try again after the time in Retry-After.",
    504: "The request took too long.",
}
_ALWAYS = (401, 408, 413)
_OF_A_MODEL = (404, 503)
_OF_A_JOB = (400, 404, 412, 429, 500, 503, 504)


def description(models: Sequence[str], has_token: bool = False) -> Schema:
    """The OpenAPI 3.1 description of REST, of the Open Inference Protocol over HTTP, and of what goes with them.

    Args:
        models: names of the models, to choose from; none leaves the name open.
        has_token: whether requests need a token.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Model server of kerastricks",
            "version": kerastricks.__version__,
            "description": "TensorFlow Serving's REST API and the Open Inference Protocol for image classifiers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": "v1", "description": "TensorFlow Serving's REST API"},
            {"name": "v2", "description": "Open Inference Protocol"},
            {"name": "server", "description": "Page, figures and this description"},
        ],
        "paths": {**_page(), **_tensorflow_serving(), **_open_inference()},
        "components": {
            "schemas": SCHEMAS,
            "parameters": _parameters(models),
            "responses": {str(status): _answer(text, ref("Error")) for status, text in _ERRORS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if has_token else [{}, {"token": []}],
    }


def _page() -> Schema:
    text = {"type": "string"}
    figures = _get("server", "Figures for Prometheus", _answer("Figures", text, "text/plain"))
    page = _get("server", "Page that classifies dropped images", _answer("Page", text, "text/html"), is_open=True)
    return {
        "/": page,
        "/openapi.json": _get("server", "This description", _answer("Description", {"type": "object"})),
        "/metrics": figures,
        "/monitoring/prometheus/metrics": figures,
    }


def _tensorflow_serving() -> Schema:
    paths = {}
    for suffix, parameter in (("", None), ("/versions/{version}", "version"), ("/labels/{label}", "label")):
        path = f"/v1/models/{{model}}{suffix}"
        of = {"parameters": [_parameter(one) for one in ("model", parameter) if one]}
        status = _answer("States of the versions", ref("ModelStatus"))
        metadata = _answer("Signatures", ref("ModelMetadata"))
        paths[path] = of | _get("v1", "Status of a model", status, _OF_A_MODEL)
        paths[f"{path}/metadata"] = of | _get("v1", "Signatures of a model", metadata, _OF_A_MODEL)
        paths[f"{path}:predict"] = of | _post(
            "v1", "Predict", "PredictRequest", _answer("Predictions", ref("PredictResponse")), PREDICT_EXAMPLES
        )
        paths[f"{path}:classify"] = of | _post(
            "v1", "Classify", "ClassifyRequest", _answer("Classes", ref("ClassifyResponse")), CLASSIFY_EXAMPLES
        )
    return paths


def _open_inference() -> Schema:
    flag = {"type": "object", "required": ["live"], "properties": {"live": {"type": "boolean"}}}
    ready = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}
    not_ready = {"503": _answer("Not ready", {"anyOf": [ready, ref("Error")]})}
    server = _answer("Name, version and extensions", ref("ServerMetadata"))
    rows = _answer("Versions of all models", {"type": "array", "items": ref("IndexRow")})
    index = _post("v2", "Versions of all models", "IndexRequest", rows, {"all": {"value": {}}}, (400,))
    index["post"]["requestBody"]["required"] = False
    paths = {
        "/v2": _get("v2", "The server", server),
        "/v2/health/live": _get("v2", "Whether the server answers", _answer("Yes", flag), is_open=True),
        "/v2/health/ready": _get(
            "v2", "Whether all models are loaded", _answer("Yes", ready), is_open=True, more=not_ready
        ),
        "/v2/repository/index": index,
    }
    for suffix, parameter in (("", None), ("/versions/{version}", "version")):
        path = f"/v2/models/{{model}}{suffix}"
        of = {"parameters": [_parameter(one) for one in ("model", parameter) if one]}
        paths[path] = of | _get("v2", "Inputs and outputs of a model", _answer("They", ref("Metadata")), _OF_A_MODEL)
        paths[f"{path}/ready"] = of | _get(
            "v2", "Whether a model is loaded", _answer("Yes", ready), (404,), more=not_ready
        )
        infer = _post("v2", "Infer", "InferRequest", _answer("Outputs", ref("InferResponse")), INFER_EXAMPLES)
        binary = {"schema": {"type": "string", "format": "binary"}}
        infer["post"]["requestBody"]["content"]["application/octet-stream"] = binary
        infer["post"]["responses"]["200"]["content"]["application/octet-stream"] = binary
        infer["post"]["parameters"] = [_parameter("header_length")]
        paths[f"{path}/infer"] = of | infer
    return paths


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _answer(text: str, schema: Schema, media_type: str = "application/json") -> Schema:
    request_id = {"description": "Of the request, or one that the server has given it.", "schema": {"type": "string"}}
    return {
        "description": text,
        "headers": {"X-Request-Id": request_id},
        "content": {media_type: {"schema": schema}},
    }


def _responses(good: Schema, errors: Sequence[int], more: Mapping[str, Schema] | None = None) -> Schema:
    refused = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*errors, *_ALWAYS})}
    return {"200": good, **refused, **(more or {})}


def _get(
    tag: str,
    summary: str,
    good: Schema,
    errors: Sequence[int] = (),
    is_open: bool = False,
    more: Mapping[str, Schema] | None = None,
) -> Schema:
    operation = {"tags": [tag], "summary": summary, "responses": _responses(good, errors, more)}
    return {"get": operation | ({"security": []} if is_open else {})}


def _post(
    tag: str, summary: str, request: str, good: Schema, examples: Schema, errors: Sequence[int] = _OF_A_JOB
) -> Schema:
    content = {"application/json": {"schema": ref(request), "examples": examples}}
    return {
        "post": {
            "tags": [tag],
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": _responses(good, errors),
        }
    }


def _parameters(models: Sequence[str]) -> Schema:
    def of_path(name: str, schema: Schema) -> Schema:
        return {"name": name, "in": "path", "required": True, "schema": schema}

    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of JSON before binary tensors.",
        "schema": {"type": "integer", "minimum": 0},
    }
    chosen = {"enum": sorted(models)} if models else {"pattern": "^[^/:]+$"}
    return {
        "model": of_path("model", {"type": "string", **chosen}),
        "version": of_path("version", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}),
        "label": of_path("label", {"type": "string", "pattern": "^[^/:]+$"}),
        "header_length": header,
    }
