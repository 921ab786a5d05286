"""Predictions of a model server: addresses, retries, refusals."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from answering_server import answering
from conftest import write_image

from kerastricks.errors import ServiceError, ServiceLostError
from kerastricks.serving import RemoteModel
from kerastricks.serving.client import split_url

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Attempts follow each other at once."""
    monkeypatch.setattr("urllib3.Retry.sleep", lambda *given: None)


def even(path, even=True):
    """The file with an even number of bytes, or an odd one."""
    contents = path.read_bytes()
    path.write_bytes(contents + b"\0" * (len(contents) % 2 == even))
    return path


@pytest.fixture
def images(tmp_path):
    files = [write_image(tmp_path / f"{index}.{'jpg' if index % 3 else 'png'}", (99, 9, 9)) for index in range(20)]
    return [even(file) for file in files]


def test_images_are_predicted_in_order_and_bad_ones_get_their_reason(images, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    files = [*images, tmp_path / "notes.txt", even(write_image(tmp_path / "odd.png", (9, 9, 9)), even=False), tmp_path]
    with answering() as server:
        model = RemoteModel(server.url)
        found = list(model.predict(files))
    assert model.class_names == ("jpeg", "png")
    assert [one.file for one in found] == files
    assert [one.label for one in found[:20]] == ["jpeg" if index % 3 else "png" for index in range(20)]
    np.testing.assert_array_equal(found[0].probabilities, np.array([0.25, 0.75], "float32"))
    assert found[20].error.startswith("not an image")
    assert found[21].error == "an odd image"
    assert found[22].error == "Is a directory"
    assert len(server.asked) == 1 + 21, "what is no image is not sent"


def test_a_busy_server_is_asked_again(images):
    with answering(before=[(503, {}), (429, {"Retry-After": "0"})]) as server:
        (found,) = RemoteModel(f"{server.url}/v1/models/digits/versions/1").predict(images[:1])
        assert found.label == "png"
        assert [path for path, _ in server.asked] == ["/v1/models/digits/versions/1:predict"] * 3


@pytest.mark.parametrize(
    ("options", "path", "error", "message"),
    [
        ({"models": ("cats", "digits")}, "", ServiceError, "the server has the models cats, digits: give http://"),
        ({"models": ()}, "", ServiceError, "the server has no model: give http://"),
        ({"models": None}, "", ServiceError, "the server does not list its models: give http://"),
        ({"token": "secret"}, "", ServiceError, "a token is needed: give its token"),
        ({}, "/v1/models/dogs", ServiceError, "Servable not found for request: Latest"),
        ({"before": [(500, {})]}, "", ServiceLostError, "the server failed (sent before: 500)"),
        ({"before": [(301, {"Location": "https://x/"})]}, "", ServiceError, "leads to https://x/: give that address"),
        ({"before": [(503, {"Retry-After": "0"})] * 9}, "", ServiceLostError, "still busy after several attempts"),
    ],
)
def test_refusals_are_one_line_with_the_way_out(options, path, error, message, images):
    with answering(**options) as server, pytest.raises(error) as raised:
        list(RemoteModel(server.url + path).predict(images[:1]))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_token_is_sent_and_a_password_in_the_address_is_not_shown(images):
    with answering(token="secret") as server:
        (found,) = RemoteModel(server.url, token="secret").predict(images[:1])
        assert found.label == "png"
        with pytest.raises(ServiceError) as raised:
            RemoteModel(server.url.replace("//", "//me:hidden@"))
    assert "hidden" not in str(raised.value)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServiceError, match=r"cannot be reached \(Connection refused\): is the server running\?"):
            RemoteModel(url)


def test_a_model_that_is_no_classifier_of_kerastricks_is_named(images, monkeypatch):
    monkeypatch.setattr("answering_server.Server.answer", lambda *given: (200, {"predictions": [[0.5, 0.5]]}))
    with answering() as server, pytest.raises(ServiceError, match="is none of a classifier of kerastricks"):
        list(RemoteModel(f"{server.url}/v1/models/digits").predict(images[:1]))


def test_addresses_are_split():
    assert split_url("http://h:1/") == ("http://h:1", None, "")
    assert split_url("https://h/a/v1/models/m%20m/labels/x:predict") == ("https://h/a", "m%20m", "/labels/x")
    for wrong in ("h:1", "ftp://h", "http://", "http://h:99999", "http://h/?a=b", "http://[h", "http://h/v1/models"):
        with pytest.raises(ServiceError):
            split_url(wrong)


def test_the_client_imports_no_tensorflow():
    code = "import sys; from kerastricks.serving import RemoteModel; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
