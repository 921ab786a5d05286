"""TensorFlow Serving's documented REST examples, as requests and expected answers."""

import base64
import shutil

import numpy as np
import pytest
import requests
from model_server import running

pytestmark = pytest.mark.tensorflow_only
MODEL = "/v1/models/half_plus_three"
OK = {"error_code": "OK", "error_message": ""}


def b64(contents):
    return {"b64": base64.b64encode(contents).decode()}


@pytest.fixture(scope="module")
def server(tmp_path_factory, half_plus, classifier):
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(half_plus[3], folder / "half_plus_three" / "123")
    shutil.copytree(classifier[1], folder / "images" / "1")
    with running(folder) as where:
        yield where.url


def several(tag, signal, sensor):
    return {"tag": tag, "signal": signal, "sensor": sensor}


FOO, BAR = several("foo", [1, 2, 3, 4, 5], [[1, 2], [3, 4]]), several("bar", [3, 4, 1, 2, 5], [[4, 5], [6, 8]])
ANSWERS = [
    # rows and columns of one input, named and not
    ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [3.5, 4.0, 5.5]}),
    ({"instances": [{"x": 1.0}, {"x": 2.0}]}, {"predictions": [3.5, 4.0]}),
    ({"inputs": [1.0, 2.0, 5.0]}, {"outputs": [3.5, 4.0, 5.5]}),
    ({"inputs": {"x": [1, 2, 5]}}, {"outputs": [3.5, 4.0, 5.5]}),
    ({"signature_name": "serving_default", "instances": [5]}, {"predictions": [5.5]}),
    # a single value in columns
    ({"signature_name": "scalar", "inputs": 1}, {"outputs": 4.0}),
    # several inputs and outputs; strings, and bytes by the name of the output
    (
        {"signature_name": "several", "instances": [FOO, BAR]},
        {
            "predictions": [
                {"flag": False, "sensor": [[1, 2], [3, 4]], "tag": "foo", "tag_bytes": {"b64": "Zm9v"}, "total": 15.0},
                {"flag": True, "sensor": [[4, 5], [6, 8]], "tag": "bar", "tag_bytes": {"b64": "YmFy"}, "total": 15.0},
            ]
        },
    ),
    (
        {
            "signature_name": "several",
            "inputs": {"tag": [b64(b"foo")], "signal": [[1, 2]], "sensor": [[[1, 2], [3, 4]]]},
        },
        {
            "outputs": {
                "flag": [False],
                "sensor": [[[1, 2], [3, 4]]],
                "tag": ["foo"],
                "tag_bytes": [{"b64": "Zm9v"}],
                "total": [3.0],
            }
        },
    ),
]


@pytest.mark.parametrize(("request_", "answer"), ANSWERS, ids=range(len(ANSWERS)))
def test_a_documented_request_for_predictions_has_the_documented_answer(server, request_, answer):
    for address in (MODEL, f"{MODEL}/versions/123"):
        found = requests.post(f"{server}{address}:predict", json=request_, timeout=60)
        assert (found.status_code, found.json()) == (200, answer)
        assert found.headers["content-type"] == "application/json"


def test_nan_and_infinity_go_in_and_come_out(server):
    found = requests.post(f"{server}{MODEL}:predict", data='{"instances": [NaN, -Infinity, 1e400]}', timeout=60)
    assert found.text == '{"predictions":[NaN,-Infinity,Infinity]}'


def test_classify_gives_labels_with_scores(server):
    body = {"signature_name": "classify_x", "context": {"x": 1.0}, "examples": [{}, {"x": 2.0}, {"x": [5.0]}]}
    found = requests.post(f"{server}{MODEL}:classify", json=body, timeout=60)
    assert found.json() == {"results": [[["1.0", 3.5]], [["2.0", 4.0]], [["5.0", 5.5]]]}


def test_status_and_metadata(server):
    state = {"version": "123", "state": "AVAILABLE", "status": OK}
    for address in (MODEL, f"{MODEL}/versions/123"):
        assert requests.get(server + address, timeout=60).json() == {"model_version_status": [state]}
    found = requests.get(f"{server}{MODEL}/metadata", timeout=60).json()
    assert found["model_spec"] == {"name": "half_plus_three", "signature_name": "", "version": "123"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "classify_x", "several", "scalar"}
    assert signatures["serving_default"]["inputs"]["x"] == {
        "name": "serving_default_x:0",
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert signatures["classify_x"]["method_name"] == "tensorflow/serving/classify"


REFUSED = [
    ("POST", f"{MODEL}:predict", "{", 400, "JSON Parse error"),
    ("POST", f"{MODEL}:predict", "[1]", 400, "must be an object"),
    ("POST", f"{MODEL}:predict", "[" * 100_000, 400, "nested too deeply"),
    ("POST", f"{MODEL}:predict", '{"instances": [' + "9" * 5000 + "]}", 400, "JSON Parse error"),
    ("POST", f"{MODEL}:predict", "{}", 400, "'instances' (rows) or 'inputs' (columns)"),
    ("POST", f"{MODEL}:predict", '{"instances": [1], "inputs": [1]}', 400, "either"),
    ("POST", f"{MODEL}:predict", '{"instances": []}', 400, "not empty"),
    ("POST", f"{MODEL}:predict", '{"instances": [[1, 2], [3]]}', 400, "lists must be of one length"),
    ("POST", f"{MODEL}:predict", '{"instances": [[1, 2]]}', 400, "must have the shape (batch)"),
    ("POST", f"{MODEL}:predict", '{"instances": ["1"]}', 400, "input x: must be numbers of float32"),
    ("POST", f"{MODEL}:predict", '{"instances": [true]}', 400, "input x: must be numbers of float32"),
    ("POST", f"{MODEL}:predict", '{"instances": [{"y": 1}]}', 400, "inputs must be x. Received: y"),
    ("POST", f"{MODEL}:predict", '{"signature_name": "nothing", "instances": [1]}', 400, "signature 'nothing'"),
    ("POST", f"{MODEL}:predict", '{"signature_name": 1, "instances": [1]}', 400, "signature_name"),
    ("POST", f"{MODEL}:classify", '{"examples": [{"x": 1.0}]}', 400, "Was: tensorflow/serving/predict"),
    ("POST", f"{MODEL}:classify", '{"signature_name": "classify_x", "examples": [1]}', 400, "examples"),
    ("POST", f"{MODEL}:regress", '{"examples": [{"x": 1.0}]}', 501, ":regress"),
    ("POST", "/v1/models/images:predict", '{"instances": [{"b64": "no base64!"}]}', 400, "b64 must be base64"),
    ("POST", "/v1/models/images:predict", '{"instances": [{"b64": "AAAA"}]}', 400, "image 0: "),
    ("POST", "/v1/models/nothing:predict", '{"instances": [1]}', 404, "nothing"),
    ("POST", f"{MODEL}/versions/7:predict", '{"instances": [1]}', 404, "version 7"),
    ("POST", f"{MODEL}/labels/stable:predict", '{"instances": [1]}', 404, "label: stable"),
    ("GET", f"{MODEL}/versions/7", "", 404, "half_plus_three"),
    ("GET", f"{MODEL}:predict", "", 405, "use POST"),
    ("POST", MODEL, "{}", 405, "use GET"),
    ("GET", "/v1/models/..%2f..%2fetc", "", 404, "Malformed request"),
    ("GET", "/v1/models/../../etc/passwd", "", 404, "Malformed request"),
    ("GET", f"{MODEL}/versions/-1", "", 404, "Malformed request"),
    ("GET", f"{MODEL}/versions/{2**63}", "", 404, "Malformed request"),
    ("POST", f"{MODEL}/versions/{2**64}:predict", '{"instances": [1]}', 404, "Malformed request"),
    ("DELETE", MODEL, "", 405, "Malformed request"),
    ("GET", "/nothing", "", 404, "Malformed request"),
]


@pytest.mark.parametrize(("method", "address", "body", "status", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_request_is_refused_in_one_line(server, method, address, body, status, message):
    prepared = requests.Request(method, server, data=body).prepare()
    prepared.url = server + address  # as it stands, with ".."
    found = requests.Session().send(prepared, timeout=60)
    assert (found.status_code, list(found.json())) == (status, ["error"])
    assert message in found.json()["error"]
    assert "\n" not in found.json()["error"]


def test_images_have_the_probabilities_of_the_keras_model(server, classifier, pictures):
    encoded, pixels = pictures
    body = {"instances": [b64(one) for one in encoded]}
    found = requests.post(f"{server}/v1/models/images:predict", json=body, timeout=60).json()["predictions"]
    expected = classifier[0].predict_on_batch(pixels)
    np.testing.assert_allclose([one["probabilities"] for one in found], expected, atol=1e-5)
    assert found[0]["classes"] == ["ant", "bee", "cat"]
    assert [one["label"] for one in found] == [["ant", "bee", "cat"][row.argmax()] for row in expected]
    tensor = {"signature_name": "tensor", "instances": pixels[:3].tolist()}
    found = requests.post(f"{server}/v1/models/images:predict", json=tensor, timeout=60).json()["predictions"]
    np.testing.assert_allclose([one["probabilities"] for one in found], expected[:3], atol=1e-5)
    classify = {"signature_name": "classify", "examples": [{"bytes": b64(encoded[1])}]}
    ((row,),) = [requests.post(f"{server}/v1/models/images:classify", json=classify, timeout=60).json()["results"]]
    assert [label for label, _ in row] == ["ant", "bee", "cat"]
    np.testing.assert_allclose([score for _, score in row], expected[1], atol=1e-5)


def test_the_bad_image_of_a_request_is_named_by_its_index(server, pictures):
    damaged = pictures[0][0][:60]
    body = {"instances": [b64(pictures[0][0]), b64(pictures[0][1]), b64(damaged)]}
    found = requests.post(f"{server}/v1/models/images:predict", json=body, timeout=60)
    assert found.status_code == 400
    assert found.json()["error"].startswith("image 2: ")


def test_a_request_id_is_kept_and_metrics_count(server):
    found = requests.get(server + MODEL, headers={"x-request-id": "mine-1"}, timeout=60)
    assert found.headers["x-request-id"] == "mine-1"
    forged = requests.get(server + MODEL, headers={"x-request-id": "a b"}, timeout=60)
    assert forged.headers["x-request-id"] not in ("a b", "mine-1")
    for address in ("/metrics", "/monitoring/prometheus/metrics"):
        text = requests.get(server + address, timeout=60).text
        assert 'kerastricks_requests_total{api="rest",code="200",model="half_plus_three"}' in text
        assert 'model="nothing"' not in text  # or anybody could make any number of series


def test_a_request_of_more_rows_than_a_batch_is_answered_whole(server):
    values = np.arange(100.0)
    found = requests.post(f"{server}{MODEL}:predict", json={"instances": values.tolist()}, timeout=60).json()
    np.testing.assert_allclose(found["predictions"], values / 2 + 3)


def test_an_example_of_numbers_has_their_kind():
    from kerastricks.serving.server.rest import to_example

    found = to_example({"a": 1, "b": [1.5, 2], "c": "x", "d": b64(b"\0")}).features.feature
    assert found["a"].int64_list.value == [1]
    assert found["b"].float_list.value == [1.5, 2.0]
    assert found["c"].bytes_list.value == [b"x"]
    assert found["d"].bytes_list.value == [b"\0"]
