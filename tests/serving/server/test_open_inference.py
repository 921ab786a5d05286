"""The Open Inference Protocol over HTTP, asked as tritonclient does and by hand."""

import base64
import json
from unittest.mock import AsyncMock

import numpy as np
import pytest
import requests
import tritonclient.http
from loopback import MODEL, NAMES, images, png
from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor, serialize_byte_tensor

from kerastricks.serving.server.open_inference_tensors import (
    DATATYPES,
    array_of_bytes,
    array_of_values,
    bytes_of_array,
    values_of_array,
)
from kerastricks.serving.server.status import ServingError

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def client(server):
    with tritonclient.http.InferenceServerClient(server.http) as client:
        yield client


@pytest.fixture(scope="module")
def ask(server):
    """Sends a request by hand, and returns its status and its JSON."""

    def send(path, value=None, data=None, headers=None, method="POST"):
        found = requests.request(
            method, f"http://{server.http}/v2{path}", json=value, data=data, headers=headers, timeout=30
        )
        return found.status_code, found.json()

    return send


def pixels(name="images", **more):
    values = images().astype("float32")
    return {"name": name, "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist(), **more}


def pictures(*contents):
    return {
        "name": "bytes",
        "datatype": "BYTES",
        "shape": [len(contents)],
        "data": [base64.b64encode(one).decode() for one in contents],
        "parameters": {"content_type": "base64"},
    }


def test_tritonclient_finds_server_and_models(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    found = client.get_server_metadata()
    assert found["name"] == "kerastricks"
    assert "binary_tensor_data" in found["extensions"]
    assert client.get_model_repository_index() == [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]


def test_metadata_are_those_of_serving_default(client):
    assert client.get_model_metadata(MODEL) == client.get_model_metadata(MODEL, "1")
    assert client.get_model_metadata(MODEL) == {
        "name": MODEL,
        "versions": ["1"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "bytes", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "classes", "datatype": "BYTES", "shape": [-1, 3]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
def test_tritonclient_sends_pixels_and_gets_outputs(client, predict, binary_input, binary_output):
    values = images().astype("float32")
    tensor = tritonclient.http.InferInput("images", values.shape, "FP32")
    tensor.set_data_from_numpy(values, binary_data=binary_input)
    wanted = [
        tritonclient.http.InferRequestedOutput(name, binary_data=binary_output) for name in ("probabilities", "label")
    ]
    found = client.infer(MODEL, [tensor], outputs=wanted, request_id="7")
    assert found.get_response()["id"] == "7"
    assert [one["name"] for one in found.get_response()["outputs"]] == ["probabilities", "label"]
    expected = predict(images())
    np.testing.assert_allclose(found.as_numpy("probabilities"), expected, atol=1e-5)
    labels = [one.decode() if binary_output else one for one in found.as_numpy("label")]
    assert labels == [NAMES[i] for i in expected.argmax(axis=1)]


def test_tritonclient_sends_encoded_images_as_bytes(client, predict):
    tensor = tritonclient.http.InferInput("bytes", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([png(image) for image in images()], object))
    found = client.infer(MODEL, [tensor], model_version="1")
    np.testing.assert_allclose(found.as_numpy("probabilities"), predict(images()), atol=1e-5)
    assert found.as_numpy("classes").tolist() == [[name.encode() for name in NAMES]] * 2


def test_tritonclient_is_told_errors(client):
    tensor = tritonclient.http.InferInput("bytes", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"no image"], object))
    with pytest.raises(InferenceServerException, match="image") as error:
        client.infer(MODEL, [tensor])
    assert error.value.status() == "400"
    with pytest.raises(InferenceServerException, match="plants") as error:
        client.infer("plants", [tensor])
    assert error.value.status() == "404"


def test_json_goes_in_flat_or_nested_and_comes_out_flat(ask, predict):
    for data in (pixels()["data"], images().astype(float).tolist()):
        status, found = ask(f"/models/{MODEL}/infer", {"id": "a", "inputs": [pixels(data=data)]})
        assert status == 200
        assert (found["model_name"], found["model_version"], found["id"]) == (MODEL, "1", "a")
        outputs = {one["name"]: one for one in found["outputs"]}
        assert outputs["probabilities"]["shape"] == [2, 3]
        np.testing.assert_allclose(outputs["probabilities"]["data"], predict(images()).ravel(), atol=1e-5)
        assert outputs["classes"]["datatype"] == "BYTES"
        assert outputs["classes"]["data"] == NAMES * 2


def test_base64_is_said_by_a_parameter(ask):
    status, found = ask(f"/models/{MODEL}/infer", {"inputs": [pictures(png(images()[0]))]})
    assert status == 200
    assert found["outputs"][0]["name"] == "classes"
    as_text = pictures(png(images()[0]))
    del as_text["parameters"]
    status, found = ask(f"/models/{MODEL}/infer", {"inputs": [as_text]})
    assert status == 400
    assert "image" in found["error"]


def test_the_signature_is_said_or_found_by_inputs_and_outputs(ask):
    given = {"inputs": [pictures(png(images()[0]))]}
    status, found = ask(f"/models/{MODEL}/infer", {**given, "parameters": {"signature_name": "decode"}})
    assert status == 200
    assert found["outputs"][0]["data"] == images()[0].ravel().tolist()
    status, found = ask(f"/models/{MODEL}/infer", {**given, "outputs": [{"name": "images"}]})
    assert [one["datatype"] for one in found["outputs"]] == ["UINT8"]
    status, found = ask(f"/models/{MODEL}/infer", {**given, "parameters": {"signature_name": "other"}})
    assert status == 400
    assert "other" in found["error"]


def test_only_wanted_outputs_are_computed(ask, monkeypatch):
    wanted = []

    async def run(self, signature, inputs, outputs):
        wanted.append((signature, list(outputs)))
        return {name: np.zeros(1, "float32") for name in outputs}

    monkeypatch.setattr("kerastricks.serving.server.loaded_version.LoadedVersion.run", run)
    ask(f"/models/{MODEL}/infer", {"inputs": [pixels()], "outputs": [{"name": "label"}, {"name": "label"}]})
    assert wanted == [("tensor", ["label"])]


def test_binary_outputs_come_when_they_are_asked_for(server):
    def send(**more):
        body = {"inputs": [pictures(png(images()[0]))], **more}
        return requests.post(f"http://{server.http}/v2/models/{MODEL}/infer", json=body, timeout=30)

    assert "Inference-Header-Content-Length" not in send().headers
    found = send(
        parameters={"binary_data_output": True},
        outputs=[
            {"name": "probabilities"},
            {"name": "label", "parameters": {"binary_data": False}},
            {"name": "classes"},
        ],
    )
    length = int(found.headers["Inference-Header-Content-Length"])
    first, second, third = json.loads(found.content[:length])["outputs"]
    assert first["parameters"] == {"binary_data_size": 12}
    assert "data" not in first
    assert second["data"][0] in NAMES
    assert np.frombuffer(found.content[length : length + 12], "float32").sum() == pytest.approx(1)
    assert len(found.content) == length + 12 + third["parameters"]["binary_data_size"]
    assert deserialize_bytes_tensor(found.content[length + 12 :]).tolist() == [name.encode() for name in NAMES]


def test_two_binary_inputs_follow_each_other(server, monkeypatch):
    taken = {}
    monkeypatch.setattr(
        "kerastricks.serving.server.loaded_version.LoadedVersion.run",
        AsyncMock(side_effect=lambda signature, inputs, outputs: taken.update(inputs) or {"x": np.zeros(1, "float32")}),
    )
    first, strings = np.arange(6, dtype="int16"), np.array([b"a", b"bcd"], object)
    second = serialize_byte_tensor(strings).item()
    assert bytes_of_array(strings) == second
    header = json.dumps(
        {
            "inputs": [
                {"name": "a", "datatype": "INT16", "shape": [2, 3], "parameters": {"binary_data_size": 12}},
                {"name": "b", "datatype": "INT8", "shape": [1], "data": [5]},
                {"name": "c", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(second)}},
            ]
        }
    ).encode()
    found = requests.post(
        f"http://{server.http}/v2/models/{MODEL}/infer",
        data=header + first.tobytes() + second,
        headers={"Inference-Header-Content-Length": str(len(header))},
        timeout=30,
    )
    assert found.status_code == 200
    assert {name: one.tolist() for name, one in taken.items()} == {
        "a": [[0, 1, 2], [3, 4, 5]],
        "b": [5],
        "c": [b"a", b"bcd"],
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([pixels(shape=[2, 8, 6])], "images"),
        ([pixels(shape=[10**6, 10**6])], "images"),
        ([pixels(shape=[-1, 8, 6, 3])], "images"),
        ([pixels(shape=[2.0, 8, 6, 3])], "images"),
        ([pixels(datatype="FP64")], "images"),
        ([pixels(datatype="FLOAT")], "images"),
        ([pixels(data=[["a"]])], "images"),
        ([pixels(data=None)], "images"),
        ([pixels(parameters={"binary_data_size": 4})], "images"),
        ([pixels(), pixels()], "images"),
        ([pixels("pixels")], "pixels"),
        ([pictures(b""), pixels()], "bytes"),
        ([{**pictures(b""), "data": ["no base64!"]}], "bytes"),
        ([{**pictures(b""), "data": ["\ud800"], "parameters": {}}], "bytes"),
        ([{**pictures(b""), "data": [1]}], "bytes"),
        ([pixels("\ud800")], "inputs[0]"),
        ([7], "inputs[0]"),
        ("images", "inputs"),
        (None, "inputs"),
    ],
)
def test_inputs_that_are_not_as_they_must_be_are_named(ask, given, named):
    status, found = ask(f"/models/{MODEL}/infer", data=json.dumps({"inputs": given}))
    assert status == 400
    assert named in found["error"]
    assert len(found["error"]) < 300
    assert set(found) == {"error"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object_is_refused(ask, body):
    status, found = ask(f"/models/{MODEL}/infer", data=body)
    assert status == 400
    assert "JSON" in found["error"]


def test_lengths_of_binary_parts_must_be_the_bodys(ask):
    tensor = {"name": "images", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    header = json.dumps({"inputs": [tensor]}).encode()
    for length, more, pattern in (
        (str(len(header)), b"123", "3 bytes follow"),
        (str(len(header)), b"12345", "1 bytes follow"),
        (str(len(header) + 9), b"1234", "Inference-Header-Content-Length"),
        ("-1", b"", "Inference-Header-Content-Length"),
        ("9" * 5000, b"", "Inference-Header-Content-Length"),
    ):
        status, found = ask(
            f"/models/{MODEL}/infer", data=header + more, headers={"Inference-Header-Content-Length": length}
        )
        assert status == 400
        assert pattern in found["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/plants"),
        ("GET", "/models/plants/ready"),
        ("GET", f"/models/{MODEL}/versions/9"),
        ("GET", f"/models/{MODEL}/versions/nine/ready"),
        ("POST", "/models/plants/infer"),
        ("POST", f"/models/{MODEL}/versions/9/infer"),
    ],
)
def test_models_that_are_not_there_are_not_found(ask, method, path):
    status, found = ask(path, {"inputs": [pixels()]} if method == "POST" else None, method=method)
    assert status == 404
    assert set(found) == {"error"}


def test_a_server_that_drains_lives_and_is_not_ready(server, client, ask, monkeypatch):
    monkeypatch.setattr(server.engine, "draining", True)
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready(MODEL)
    assert ask(f"/models/{MODEL}/infer", {"inputs": [pixels()]})[0] == 200  # sent before the client knew
    monkeypatch.setattr(server.engine, "closed", True)
    status, found = ask(f"/models/{MODEL}/infer", {"inputs": [pixels()]})
    assert status == 503
    assert "shutting down" in found["error"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_tensors_come_back_from_bytes_and_json(datatype):
    dtype = DATATYPES[datatype]
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    if datatype == "BYTES":
        array[:] = [[b"a", b"", "\u00e9".encode()], [b"bb", b"c", b"d"]]
    found = array_of_bytes("x", datatype, array.shape, bytes_of_array(array))
    values, is_base64 = values_of_array(array)
    for one in (found, array_of_values("x", datatype, array.shape, json.loads(json.dumps(values)), is_base64)):
        assert one.dtype == dtype
        assert one.tolist() == array.tolist()


def test_strings_that_are_no_text_come_back_as_base64():
    array = np.array([b"\xff", b"a"], object)
    values, is_base64 = values_of_array(array)
    assert is_base64
    assert array_of_values("x", "BYTES", [2], values, is_base64).tolist() == array.tolist()


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("UINT8", [256]),
        ("UINT8", [-1]),
        ("INT64", [2**63]),
        ("INT32", [1.0]),
        ("INT32", [True]),
        ("BOOL", [1]),
        ("FP32", ["1"]),
        ("FP32", [10**400]),
        ("FP32", [None]),
        ("FP32", [[1], 2]),
        ("FP32", [{}]),
        ("FP32", [[[1]]]),
    ],
)
def test_values_must_be_of_their_datatype(datatype, values):
    with pytest.raises(ServingError, match=r"^input x: data"):
        array_of_values("x", datatype, [1], values)


@pytest.mark.parametrize("contents", [b"\x01", b"\x05\x00\x00\x00abc", b"\xff\xff\xff\xffa", b"\x01\x00\x00\x00a" * 2])
def test_lengths_of_strings_must_be_right(contents):
    with pytest.raises(ServingError, match=r"^input x: "):
        array_of_bytes("x", "BYTES", [1], contents)
