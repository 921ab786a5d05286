"""Schemas of requests and answers over HTTP, and examples of requests, for `openapi.py`."""

import itertools
from typing import Any

Schema = dict[str, Any]

# A white picture of 1x1: what an example sends.
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
_DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]


def ref(name: str) -> Schema:
    """A reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str, optional: str = "", **properties: Schema) -> Schema:
    """A schema of an object; names without a schema are strings."""
    names = itertools.chain(required.split(), optional.split())
    found = {"type": "object", "properties": {name: {"type": "string"} for name in names} | properties}
    return found | ({"required": required.split()} if required else {})


_B64 = {
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "additionalProperties": False,
}
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_STRINGS = {"type": "array", "items": {"type": "string"}}
_COUNTS = {"type": "array", "items": {"type": "integer"}}
_ANY_LIST = {"type": "array", "items": {}}
_NAMED = {"type": "object", "minProperties": 1, "additionalProperties": ref("Tensor")}
_PARAMETERS = {"type": ["object", "null"]}
SCHEMAS: Schema = {
    "Error": _object("error"),
    "Tensor": {
        "description": 'A value, {"b64": "..."} for bytes, or nested lists of them.',
        "anyOf": [{"type": ["number", "string", "boolean"]}, _B64, _ANY_LIST],
    },
    "PredictRequest": {
        "type": "object",
        "properties": {
            "signature_name": {"type": "string", "description": "serving_default where it is missing."},
            "instances": {
                "description": "Rows: an input's value, or an object of all inputs' values, for each.",
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [ref("Tensor"), _NAMED]},
            },
            "inputs": {"description": "Columns: a batch, or an object of them.", "anyOf": [ref("Tensor"), _NAMED]},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "Classification": _object("label", probabilities=_NUMBERS, classes=_STRINGS)
    | {"required": ["classes", "label", "probabilities"]},
    "PredictResponse": {
        "description": "In rows or columns, as the request was.",
        "oneOf": [
            _object(
                "predictions",
                predictions={
                    "type": "array",
                    "items": {
                        "description": "A model of kerastricks gives a Classification for each image.",
                        "anyOf": [ref("Classification"), ref("Tensor"), {"type": "object"}],
                    },
                },
            ),
            _object("outputs", outputs={"anyOf": [{"type": "object"}, ref("Tensor")]}),
        ],
    },
    "ClassifyRequest": _object(
        "examples",
        "signature_name",
        context={"type": "object"},
        examples={"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": True}},
    ),
    "ClassifyResponse": _object(
        "results",
        results={
            "type": "array",
            "items": {
                "type": "array",
                "description": "Label and score of each class, for each example.",
                "items": {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 2, "maxItems": 2},
            },
        },
    ),
    "ModelStatus": _object(
        "model_version_status",
        model_version_status={
            "type": "array",
            "items": _object(
                "version state status",
                state={"enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                status=_object("error_code error_message"),
            ),
        },
    ),
    "ModelMetadata": _object(
        "model_spec metadata",
        model_spec=_object("name signature_name version"),
        metadata=_object("signature_def", signature_def={"type": "object"}),
    ),
    "ServerMetadata": _object("name version extensions", extensions=_STRINGS),
    "IndexRequest": _object("", ready={"type": ["boolean", "null"], "description": "Only versions that are ready."}),
    "IndexRow": _object("name version state reason", state={"enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]}),
    "TensorMetadata": _object("name datatype shape", shape=_COUNTS),
    "Metadata": _object(
        "name versions platform inputs outputs",
        versions=_STRINGS,
        inputs={"type": "array", "items": ref("TensorMetadata")},
        outputs={"type": "array", "items": ref("TensorMetadata")},
    ),
    "InferTensor": _object(
        "name datatype shape",
        datatype={"enum": _DATATYPES},
        shape={"type": "array", "items": {"type": "integer", "minimum": 0}},
        data=_ANY_LIST,
        parameters=_PARAMETERS,
    ),
    "InferRequest": _object(
        "inputs",
        "id",
        parameters=_PARAMETERS,
        inputs={"type": "array", "minItems": 1, "items": ref("InferTensor")},
        outputs={"type": ["array", "null"], "items": _object("name", parameters=_PARAMETERS)},
    ),
    "InferResponse": _object(
        "model_name outputs",
        "model_version id",
        parameters=_PARAMETERS,
        outputs={"type": "array", "items": ref("InferTensor")},
    ),
}
_ROW = {"bytes": {"b64": _PNG}}
PREDICT_EXAMPLES = {
    "rows": {"value": {"instances": [_ROW]}},
    "columns": {"value": {"inputs": {"bytes": [{"b64": _PNG}]}}},
    "one input": {"value": {"signature_name": "serving_default", "instances": [{"b64": _PNG}]}},
}
CLASSIFY_EXAMPLES = {"image": {"value": {"signature_name": "classify", "examples": [_ROW]}}}
INFER_EXAMPLES = {
    "image": {
        "value": {
            "inputs": [
                {
                    "name": "bytes",
                    "datatype": "BYTES",
                    "shape": [1],
                    "data": [_PNG],
                    "parameters": {"content_type": "base64"},
                }
            ]
        }
    }
}
