"""The Open Inference Protocol over gRPC, asked with tritonclient in the same process."""

from unittest.mock import AsyncMock

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from google.protobuf import descriptor_pool
from loopback import MODEL, NAMES, images, png
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from kerastricks.serving.server import open_inference_messages as messages

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def client(server):
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request(**contents):
    """A request for pixels in typed contents."""
    found = service_pb2.ModelInferRequest(model_name=MODEL)
    contents = contents or {"fp32_contents": images().astype(float).ravel().tolist()}
    found.inputs.add(name="images", datatype="FP32", shape=(2, 8, 6, 3), contents=contents)
    return found


def fields(descriptor):
    """Number, name and type of all fields, and those of nested messages."""
    found = {}
    for field in descriptor.fields:
        kind = field.message_type.full_name if field.message_type else field.type
        oneof = field.containing_oneof.name if field.containing_oneof else None
        found[descriptor.full_name, field.name] = (field.number, kind, field.is_repeated, field.is_packed, oneof)
    for nested in descriptor.nested_types:
        found.update(fields(nested))
    return found


def test_messages_are_those_of_tritonclient():
    for name in service_pb2.DESCRIPTOR.message_types_by_name:
        if hasattr(messages, name):
            theirs = getattr(service_pb2, name).DESCRIPTOR
            ours = getattr(messages, name).DESCRIPTOR
            assert fields(ours) == fields(theirs)
            assert {key: one.GetOptions().map_entry for key, one in ours.nested_types_by_name.items()} == {
                key: one.GetOptions().map_entry for key, one in theirs.nested_types_by_name.items()
            }
            assert ours.file.pool is not descriptor_pool.Default()


def test_messages_are_read_by_each_other():
    theirs = request(fp32_contents=[1.5, 2])
    theirs.parameters["a"].string_param = "text"
    theirs.parameters["b"].int64_param = -5
    theirs.parameters["c"].bool_param = False
    theirs.raw_input_contents.append(b"\x00\xff")
    theirs.outputs.add(name="label").parameters["d"].double_param = 0.5
    ours = messages.ModelInferRequest.FromString(theirs.SerializeToString())
    assert ours.parameters["c"].WhichOneof("parameter_choice") == "bool_param"
    assert list(ours.inputs[0].contents.fp32_contents) == [1.5, 2]
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs


def test_tritonclient_finds_server_and_models(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert client.get_server_metadata().name == "kerastricks"
    found = client.get_model_metadata(MODEL, "1", as_json=True)
    assert found["inputs"] == [{"name": "bytes", "datatype": "BYTES", "shape": ["-1"]}]
    assert found["platform"] == "tensorflow_savedmodel"
    (one,) = client.get_model_repository_index().models
    assert (one.name, one.version, one.state) == (MODEL, "1", "READY")


def test_tritonclient_sends_pixels_and_encoded_images(client, predict):
    values = images().astype("float32")
    pixels = tritonclient.grpc.InferInput("images", values.shape, "FP32")
    pixels.set_data_from_numpy(values)
    encoded = tritonclient.grpc.InferInput("bytes", [2], "BYTES")
    encoded.set_data_from_numpy(np.array([png(image) for image in images()], object))
    expected = predict(images())
    for tensor in (pixels, encoded):
        found = client.infer(MODEL, [tensor], request_id="7")
        assert found.get_response().id == "7"
        assert found.get_response().model_version == "1"
        np.testing.assert_allclose(found.as_numpy("probabilities"), expected, atol=1e-5)
        assert found.as_numpy("classes").tolist() == [[name.encode() for name in NAMES]] * 2
    label = tritonclient.grpc.InferRequestedOutput("label")
    found = client.infer(MODEL, [encoded], outputs=[label], parameters={"signature_name": "serving_default"})
    assert [one.name for one in found.get_response().outputs] == ["label"]


def test_typed_contents_are_answered_by_typed_contents(stub, predict):
    found = stub.ModelInfer(request())
    outputs = {one.name: one for one in found.outputs}
    assert not found.raw_output_contents
    np.testing.assert_allclose(outputs["probabilities"].contents.fp32_contents, predict(images()).ravel(), atol=1e-5)
    assert list(outputs["classes"].contents.bytes_contents) == [name.encode() for name in NAMES] * 2
    assert list(outputs["classes"].shape) == [2, 3]


@pytest.mark.parametrize(
    ("datatype", "field"),
    [("UINT8", "uint_contents"), ("INT64", "int64_contents"), ("BOOL", "bool_contents"), ("FP64", "fp64_contents")],
)
def test_other_datatypes_pass_through(stub, monkeypatch, datatype, field):
    taken = {}
    monkeypatch.setattr(
        "kerastricks.serving.server.loaded_version.LoadedVersion.run",
        AsyncMock(side_effect=lambda signature, inputs, outputs: taken.update(inputs) or inputs),
    )
    given = service_pb2.ModelInferRequest(model_name=MODEL)
    given.inputs.add(name="x", datatype=datatype, shape=[1, 2], contents={field: [1, 0]})
    (found,) = stub.ModelInfer(given).outputs
    assert taken["x"].tolist() == [[1, 0]]
    assert (found.name, found.datatype, list(found.shape)) == ("x", datatype, [1, 2])
    assert list(getattr(found.contents, field)) == [1, 0]


def test_half_floats_are_raw(stub, monkeypatch):
    monkeypatch.setattr(
        "kerastricks.serving.server.loaded_version.LoadedVersion.run",
        AsyncMock(return_value={"x": np.ones(2, "float16"), "y": np.ones(1, "float32")}),
    )
    found = stub.ModelInfer(request())
    assert list(found.raw_output_contents) == [np.ones(2, "float16").tobytes(), np.ones(1, "float32").tobytes()]


def changed(**fields):
    found = request()
    for name, value in fields.items():
        if name == "shape":
            found.inputs[0].shape[:] = value
        elif name == "raw":
            found.raw_input_contents.extend(value)
        elif name == "contents":
            found.inputs[0].contents.CopyFrom(service_pb2.InferTensorContents(**value))
        else:
            setattr(found if name.startswith("model") else found.inputs[0], name, value)
    return found


@pytest.mark.parametrize(
    ("given", "code", "pattern"),
    [
        (changed(shape=[2, 8, 6]), "INVALID_ARGUMENT", "input images"),
        (changed(shape=[10**6, 10**6]), "INVALID_ARGUMENT", "input images"),
        (changed(shape=[-2, 8, 6, 3]), "INVALID_ARGUMENT", "input images"),
        (changed(datatype="FP64"), "INVALID_ARGUMENT", "must be in fp64_contents"),
        (changed(datatype="FP16"), "INVALID_ARGUMENT", "raw_input_contents"),
        (changed(datatype="TEXT"), "INVALID_ARGUMENT", "TEXT"),
        (changed(datatype="UINT8", contents={"uint_contents": [300]}), "INVALID_ARGUMENT", "UINT8"),
        (changed(raw=[b""]), "INVALID_ARGUMENT", "both contents and raw"),
        (changed(raw=[b"", b""]), "INVALID_ARGUMENT", "raw_input_contents must have an entry for each of 1"),
        (changed(name="other"), "INVALID_ARGUMENT", "other"),
        (changed(name="x" * 100_000), "INVALID_ARGUMENT", "xxx"),
        (changed(model_name="plants"), "NOT_FOUND", "plants"),
        (changed(model_version="9"), "NOT_FOUND", "9"),
        (changed(model_version="nine"), "NOT_FOUND", "nine"),
    ],
)
def test_requests_that_are_not_as_they_must_be_are_refused(stub, given, code, pattern):
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(given)
    assert error.value.code().name == code
    assert pattern in error.value.details()
    assert len(error.value.details()) <= 1000


def test_tritonclient_is_told_errors(client, server, monkeypatch):
    with pytest.raises(InferenceServerException, match="plants"):
        client.get_model_metadata("plants")
    monkeypatch.setattr(server.engine, "draining", True)
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready(MODEL)


def test_a_full_server_is_alive(client, server, stub, monkeypatch):
    monkeypatch.setattr(server.engine, "_requests", range(10**6))
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request())
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.is_server_live()
    assert client.is_server_ready()
