"""TensorFlow Serving's gRPC services, asked with the stubs of tensorflow-serving-api."""

import asyncio
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from loopback import MODEL, NAMES, Loopback, images, png
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from kerastricks.serving.server.status import ServingError
from kerastricks.serving.server.tensor_protos import to_array, to_tensor
from kerastricks.serving.warmup import serialized_example

pytestmark = pytest.mark.tensorflow_only

BAD = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(signature="", outputs=(), **inputs):
    found = predict_pb2.PredictRequest(output_filter=outputs)
    found.model_spec.name = MODEL
    found.model_spec.signature_name = signature
    for name, value in inputs.items():
        tensor = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        found.inputs[name].CopyFrom(tensor)
    return found


def classification(count=2, signature="classify"):
    found = classification_pb2.ClassificationRequest()
    found.model_spec.name = MODEL
    found.model_spec.signature_name = signature
    for image in images(count):
        found.input.example_list.examples.add().ParseFromString(serialized_example(png(image)))
    return found


def refused(code, pattern):
    """A context in which a call must fail with a code and a message."""
    raised = pytest.raises(grpc.RpcError, match=pattern)

    class Check:
        def __enter__(self):
            self.info = raised.__enter__()

        def __exit__(self, *error):
            done = raised.__exit__(*error)
            assert self.info.value.code() == code
            return done

    return Check()


def test_predict_of_encoded_images_and_of_pixels(stub, predict):
    expected = predict(images())
    for given in (
        request(bytes=[png(image) for image in images()]),
        request("tensor", images=images().astype("float32")),
    ):
        found = stub.Predict(given)
        np.testing.assert_allclose(tf.make_ndarray(found.outputs["probabilities"]), expected, atol=1e-5)
        assert list(found.outputs["label"].string_val) == [NAMES[i].encode() for i in expected.argmax(axis=1)]
        assert found.model_spec.name == MODEL
        assert found.model_spec.version.value == 1
        assert found.model_spec.signature_name == (given.model_spec.signature_name or "serving_default")


def test_values_of_answers_are_in_typed_fields_as_tensorflow_serving_has_them(stub, predict):
    found = stub.Predict(request("tensor", images=images().astype("float32"))).outputs["probabilities"]
    np.testing.assert_allclose(list(found.float_val), predict(images()).ravel(), atol=1e-5)
    assert not found.tensor_content


def test_the_output_filter_restricts_the_answer(stub):
    found = stub.Predict(request(outputs=["label"], bytes=[png(images()[0])]))
    assert list(found.outputs) == ["label"]
    with refused(BAD, "scores"):
        stub.Predict(request(outputs=["scores"], bytes=[png(images()[0])]))


def test_pixels_in_typed_fields_are_taken(stub, predict):
    values = images().astype("float32")
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=tf.TensorShape(values.shape).as_proto())
    tensor.float_val.extend(values.ravel().tolist())
    found = stub.Predict(request("tensor", images=tensor))
    np.testing.assert_allclose(tf.make_ndarray(found.outputs["probabilities"]), predict(images()), atol=1e-5)


def test_decode_gives_the_pixels(stub):
    found = stub.Predict(request("decode", bytes=[png(image) for image in images()]))
    np.testing.assert_array_equal(tf.make_ndarray(found.outputs["images"]), images())


def test_version_and_model_must_be_there(stub):
    given = request(bytes=[png(images()[0])])
    given.model_spec.version.value = 1
    assert stub.Predict(given).model_spec.version.value == 1
    given.model_spec.version.value = 7
    with refused(grpc.StatusCode.NOT_FOUND, "7"):
        stub.Predict(given)
    given.model_spec.version_label = "stable"
    with refused(grpc.StatusCode.NOT_FOUND, "stable"):
        stub.Predict(given)
    given.model_spec.name = "plants"
    with refused(grpc.StatusCode.NOT_FOUND, "plants"):
        stub.Predict(given)
    with refused(BAD, "Missing ModelSpec"):
        stub.Predict(predict_pb2.PredictRequest())


@pytest.mark.parametrize(
    ("given", "pattern"),
    [
        (request("tensor", images=np.zeros((1, 5, 6, 3), "float32")), "images"),
        (request("tensor", images=np.zeros((1, 8, 6, 3), "float64")), "images"),
        (request("tensor", bytes=[b""]), "images"),
        (request("other", bytes=[b""]), "other"),
        (request(bytes=[b"no image"]), "image"),
    ],
)
def test_predict_refuses_what_the_signature_does_not_take(stub, given, pattern):
    with refused(BAD, pattern):
        stub.Predict(given)


@pytest.mark.parametrize("with_context", [False, True])
def test_classify_examples(stub, predict, with_context):
    given = classification()
    if with_context:
        examples = list(given.input.example_list.examples)
        given.input.example_list_with_context.examples.extend([tf.train.Example(), *examples])
        shared = given.input.example_list_with_context.context
        shared.ParseFromString(serialized_example(png(images(3)[2])))
    rows = images(3)[[2, 0, 1]] if with_context else images()
    found = stub.Classify(given)
    assert found.model_spec.signature_name == "classify"
    assert found.model_spec.version.value == 1
    labels = [[one.label for one in row.classes] for row in found.result.classifications]
    scores = [[one.score for one in row.classes] for row in found.result.classifications]
    assert labels == [NAMES] * len(rows)
    np.testing.assert_allclose(scores, predict(rows), atol=1e-5)


def test_classify_needs_a_signature_for_it_and_examples(stub):
    pattern = "Expected classification signature method_name to be tensorflow/serving/classify. Was: tensorflow/serving"
    with refused(BAD, pattern):
        stub.Classify(classification(signature=""))
    with refused(BAD, "No signature was found with the name: other"):
        stub.Classify(classification(signature="other"))
    with refused(BAD, "Input is empty"):
        stub.Classify(classification(0))


def test_metadata_are_the_signatures(stub):
    given = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    given.model_spec.name = MODEL
    found = stub.GetModelMetadata(given)
    assert found.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert found.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) >= {"serving_default", "tensor", "classify", "decode"}
    assert signatures.signature_def["classify"].method_name == "tensorflow/serving/classify"
    given.metadata_field.append("other")
    with refused(BAD, "other is not supported"):
        stub.GetModelMetadata(given)
    with refused(BAD, "at least one metadata_field"):
        stub.GetModelMetadata(get_model_metadata_pb2.GetModelMetadataRequest())


def test_regressions_are_not_served(stub):
    with refused(grpc.StatusCode.UNIMPLEMENTED, "Method not found"):
        stub.Regress(regression_pb2.RegressionRequest())


def test_status_of_a_model(channel):
    service = model_service_pb2_grpc.ModelServiceStub(channel)
    given = get_model_status_pb2.GetModelStatusRequest()
    given.model_spec.name = MODEL
    (found,) = service.GetModelStatus(given).model_version_status
    assert (found.version, found.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert (found.status.error_code, found.status.error_message) == (0, "")
    given.model_spec.name = "plants"
    with refused(grpc.StatusCode.NOT_FOUND, "plants"):
        service.GetModelStatus(given)


def test_another_configuration_is_loaded(server, channel, monkeypatch):
    service = model_service_pb2_grpc.ModelServiceStub(channel)
    taken = []
    monkeypatch.setattr(server.models, "reload", taken.append)
    given = model_management_pb2.ReloadConfigRequest()
    given.config.model_config_list.config.add(name="animals", base_path="animals")
    assert service.HandleReloadConfigRequest(given).status.error_code == 0
    assert taken == [given.config]
    with refused(BAD, "Only ModelConfigList"):
        service.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())


def test_the_deadline_of_a_client_is_the_engines(server, stub, monkeypatch):
    seconds, run = [], server.engine.run

    async def noted(job, timeout=None):
        seconds.append(timeout)
        return await run(job, timeout)

    monkeypatch.setattr(server.engine, "run", noted)
    stub.Predict(request(bytes=[png(images()[0])]))
    stub.Predict(request(bytes=[png(images()[0])]), timeout=15)
    assert seconds[0] is None
    assert 10 < seconds[1] < 20  # two clocks


def test_a_client_that_waits_no_longer_gets_its_code_and_is_observed(server, stub, monkeypatch):
    async def wait(*_):
        await asyncio.sleep(20)

    monkeypatch.setattr("kerastricks.serving.server.loaded_version.LoadedVersion.run", wait)
    server.done.clear()
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, "(?i)deadline"):
        stub.Predict(request(bytes=[b""]), timeout=0.3)
    while not server.done:
        time.sleep(0.01)
    assert server.done[0][2] == "DEADLINE_EXCEEDED"


def test_other_errors_say_nothing_of_the_server(server, stub, monkeypatch, caplog):
    async def fail(*_):
        raise RuntimeError("/home/secret")

    monkeypatch.setattr("kerastricks.serving.server.loaded_version.LoadedVersion.run", fail)
    with pytest.raises(grpc.RpcError, match="internal error") as error:
        stub.Predict(request(bytes=[b""]), metadata=[("x-request-id", "abc-1")])
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in error.value.details()
    assert "abc-1" in error.value.details()
    assert "/home/secret" in caplog.text
    assert server.done[-1][2:] == ("INTERNAL", server.done[-1][3], "abc-1")


def test_request_ids_are_the_clients_or_made(server, stub):
    for given, expected in (("abc-1", "abc-1"), ("with space", None), (None, None)):
        _, call = stub.Predict.with_call(
            request(bytes=[png(images()[0])]), metadata=[("x-request-id", given)] if given else ()
        )
        (sent,) = [value for key, value in call.initial_metadata() if key == "x-request-id"]
        api, model, code, seconds, request_id = server.done[-1]
        assert (api, model, code) == ("tensorflow.serving.PredictionService/Predict", MODEL, "OK")
        assert seconds > 0
        assert sent == request_id
        assert sent == expected if expected else len(sent) == 32


def test_a_message_that_is_none_is_refused(channel):
    with refused(BAD, "no PredictRequest"):
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"\xff\xff")


def test_token_size_and_draining(models):
    given = request(bytes=[png(images()[0])])
    with (
        Loopback(models, token="secret", max_message_bytes=5000) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        states = health_pb2.HealthCheckResponse
        for wrong in ((), (("authorization", "Bearer other"),), (("authorization", "secret"),)):
            with refused(grpc.StatusCode.UNAUTHENTICATED, "token"):
                stub.Predict(given, metadata=wrong)
        right = (("authorization", "Bearer secret"),)
        assert stub.Predict(given, metadata=right).model_spec.name == MODEL
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "5000"):
            stub.Predict(request(bytes=[b"0" * 5001]), metadata=right)

        for service in ("", MODEL):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == states.SERVING
        with refused(grpc.StatusCode.NOT_FOUND, "unknown service"):
            health.Check(health_pb2.HealthCheckRequest(service="plants"))
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == states.SERVING
        running.engine.draining = running.engine.closed = True
        assert [one.status for one in watch] == [states.NOT_SERVING]
        for service in ("", MODEL):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == states.NOT_SERVING
        with refused(grpc.StatusCode.UNAVAILABLE, "shutting down"):
            stub.Predict(given, metadata=right)


def tensor(dtype, shape, **values):
    found = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        found.tensor_shape.dim.add(size=size)
    return found


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        "bfloat16",
    ],
)
def test_numbers_come_back(dtype):
    array = tf.cast([[0, 1, 1], [2, 0, 3]], dtype).numpy()
    for proto in (to_tensor(array), tf.make_tensor_proto(array)):
        found = to_array("x", tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(tf.make_ndarray(to_tensor(array)), array)


def test_strings_and_filled_tensors_come_back():
    strings = np.array([[b"a", b""], [b"\xff\x00", b"bb"]], object)
    assert to_array("x", to_tensor(strings)).tolist() == strings.tolist()
    np.testing.assert_array_equal(to_array("x", tf.make_tensor_proto(7, "int32", (2, 3))), np.full((2, 3), 7))
    assert to_array("x", tensor(types_pb2.DT_FLOAT, (0, 3))).shape == (0, 3)
    assert to_array("x", tensor(types_pb2.DT_FLOAT, (), float_val=[2])) == 2


@pytest.mark.parametrize(
    "given",
    [
        tensor(types_pb2.DT_FLOAT, (10**6, 10**6), float_val=[0]),
        tensor(types_pb2.DT_FLOAT, (10**6, 10**6), tensor_content=b"0000"),
        tensor(types_pb2.DT_STRING, (10**6, 10**6), string_val=[b"a"]),
        tensor(types_pb2.DT_STRING, (2,), string_val=[b"a"]),
        tensor(types_pb2.DT_STRING, (1,), tensor_content=b"\x01a"),
        tensor(types_pb2.DT_FLOAT, (2, -1), float_val=[0]),
        tensor(types_pb2.DT_FLOAT, (0, 2**62, 2**62)),
        tensor(types_pb2.DT_FLOAT, (1,) * 40, float_val=[0]),
        tensor(types_pb2.DT_FLOAT, (2,), float_val=[0, 1, 2]),
        tensor(types_pb2.DT_FLOAT, (2,)),
        tensor(types_pb2.DT_FLOAT, (2,), tensor_content=b"1234567"),
        tensor(types_pb2.DT_UINT8, (1,), int_val=[300]),
        tensor(types_pb2.DT_HALF, (1,), half_val=[70000]),
        tensor(types_pb2.DT_COMPLEX64, (1,), scomplex_val=[0, 0]),
        tensor(types_pb2.DT_INVALID, (1,)),
        tensor(99, (1,)),
    ],
)
def test_what_a_message_declares_and_brings_must_agree(given):
    with pytest.raises(ServingError, match=r"^input x: ") as error:
        to_array("x", given)
    assert error.value.code == "INVALID_ARGUMENT"


def test_an_unknown_rank_is_refused():
    given = tensor(types_pb2.DT_FLOAT, (), float_val=[1])
    given.tensor_shape.unknown_rank = True
    with pytest.raises(ServingError, match="shape must be known"):
        to_array("x", given)
