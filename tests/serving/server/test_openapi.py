"""The OpenAPI description in itself; test_rest_fuzz.py compares it with the server."""

import json
import re

import jsonschema_rs
import pytest

from kerastricks.serving.server.openapi import description

pytestmark = pytest.mark.tensorflow_only

FOUND = description(["digits", "cats"], has_token=True)
OPERATIONS = [
    (path, method, {**operation, "parameters": [*item.get("parameters", []), *operation.get("parameters", [])]})
    for path, item in FOUND["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
]


def resolve(reference):
    found = FOUND
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_references_lead_somewhere_and_all_parts_are_used():
    references = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(FOUND)))
    for reference in references:
        assert resolve(reference)
    for kind in ("schemas", "parameters", "responses"):
        unused = {f"#/components/{kind}/{name}" for name in FOUND["components"][kind]} - references
        assert unused == set()


def test_every_part_of_a_path_is_a_parameter():
    for path, _, operation in OPERATIONS:
        parameters = [resolve(one["$ref"]) for one in operation["parameters"]]
        assert re.findall(r"{(\w+)}", path) == [one["name"] for one in parameters if one["in"] == "path"]


def test_examples_are_valid_and_wrong_requests_are_not():
    def is_valid(name, value):
        schema = {"$ref": f"#/components/schemas/{name}", "components": FOUND["components"]}
        return jsonschema_rs.is_valid(schema, value)

    seen = set()
    for _, _, operation in OPERATIONS:
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            name = content["schema"]["$ref"].rpartition("/")[2]
            seen.add(name)
            assert all(is_valid(name, one["value"]) for one in content["examples"].values())
    assert seen == {"PredictRequest", "ClassifyRequest", "IndexRequest", "InferRequest"}
    for wrong in ({}, {"instances": []}, {"instances": [1], "inputs": 1}, {"instances": [None]}, {"inputs": None}):
        assert not is_valid("PredictRequest", wrong)


def test_all_but_the_page_and_health_ask_for_the_token():
    without = {path for path, _, operation in OPERATIONS if operation.get("security") == []}
    assert without == {"/", "/v2/health/live", "/v2/health/ready"}
    assert FOUND["security"] == [{"token": []}]
    assert {} in description([])["security"]


def test_names_of_models_are_given_to_choose_from():
    assert FOUND["components"]["parameters"]["model"]["schema"]["enum"] == ["cats", "digits"]
    assert "enum" not in description([])["components"]["parameters"]["model"]["schema"]
