"""Limits of size, time and number, the token, and TLS."""

import asyncio
import io
import json
import shutil
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import tensorflow as tf
from model_server import running
from PIL import Image

from kerastricks.errors import UsageError
from kerastricks.serving.server import ServeOptions, loaded_version, serve
from kerastricks.serving.server.loaded_version import LoadedVersion
from kerastricks.serving.server.status import ServingError

pytestmark = pytest.mark.tensorflow_only
MODEL = "/v1/models/half_plus_three"
BODY = {"instances": [1.0]}
CERTIFICATE = Path(__file__).parent / "certificate"


@pytest.fixture(scope="module")
def small(tmp_path_factory, half_plus):
    """A server with small limits."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(half_plus[3], folder / "half_plus_three" / "1")
    with running(folder, max_body=1 << 20, deadline=1.0, token="secret") as where:
        yield where.url


HEADERS = {"authorization": "Bearer secret"}


def test_without_the_token_nothing_but_health_and_the_page_is_answered(small):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
        for method, address in (("POST", f"{MODEL}:predict"), ("GET", "/metrics"), ("GET", "/nothing")):
            found = requests.request(method, small + address, json=BODY, headers=headers, timeout=60)
            assert found.status_code == 401
            assert found.headers["www-authenticate"] == "Bearer"
            assert "token" in found.json()["error"]
    assert requests.post(f"{small}{MODEL}:predict", json=BODY, headers=HEADERS, timeout=60).ok
    assert requests.get(f"{small}/v2/health/live", timeout=60).status_code != 401


def test_a_body_that_is_too_large_is_refused_whether_its_length_is_said_or_not(small):
    large = json.dumps({"instances": [1.0] * 300_000}).encode()

    def chunks():
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    for body in (large, chunks()):
        try:
            found = requests.post(f"{small}{MODEL}:predict", data=body, headers=HEADERS, timeout=60)
        except requests.ConnectionError:  # it was still sending
            continue
        assert found.status_code == 413
        assert "1048576 bytes" in found.json()["error"]
    assert requests.post(f"{small}{MODEL}:predict", json=BODY, headers=HEADERS, timeout=60).ok


def connected(url):
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def everything(connection):
    """All bytes until the other side closes."""
    found = b""
    while part := connection.recv(4096):
        found += part
    return found


def test_a_slow_sender_is_given_up(small):
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: 100\r\n\r\n"
    with connected(small) as body:
        body.sendall(head.encode() + b'{"inst')
        assert everything(body).startswith(b"HTTP/1.1 408 ")
    with connected(small) as header, connected(small) as silent:
        header.sendall(b"POST / HTTP/1.1\r\nHost:")
        assert header.recv(4096) == b""
        assert silent.recv(4096) == b""


def test_a_half_closed_connection_is_answered(small):
    body = json.dumps(BODY).encode()
    head = (
        f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: {len(body)}\r\n"
    )
    with connected(small) as one:
        one.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        assert b'{"predictions":[3.5]}' in everything(one)


def test_a_full_queue_and_the_deadline(repository, monkeypatch):
    let = threading.Event()
    run = LoadedVersion.run

    async def slow(self, *args):
        await asyncio.to_thread(let.wait, 30)
        return await run(self, *args)

    with running(repository, queue=2, deadline=1.0) as where:
        monkeypatch.setattr(LoadedVersion, "run", slow)
        address = f"{where.url}{MODEL}:predict"
        codes = []
        threads = [
            threading.Thread(target=lambda: codes.append(requests.post(address, json=BODY, timeout=60).status_code))
            for _ in range(2)
        ]
        for one in threads:
            one.start()
        end = time.monotonic() + 30
        while "kerastricks_requests_running 2.0" not in requests.get(f"{where.url}/metrics", timeout=60).text:
            assert time.monotonic() < end
        found = requests.post(address, json=BODY, timeout=60)
        assert (found.status_code, found.headers["retry-after"]) == (429, "1")
        assert "try again" in found.json()["error"]
        for one in threads:
            one.join()
        assert codes == [504, 504]
        let.set()
        assert requests.post(address, json=BODY, timeout=60).ok


def run(model, *args):
    return asyncio.run(model.run(*args))


def png(width, height):
    """A PNG that declares a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def model(classifier):
    found = LoadedVersion(
        "images", 1, classifier[1], ServeOptions(classifier[1].parent, max_pixels=1_000_000, max_batch=8)
    )
    yield found
    found.close()


def test_a_decompression_bomb_is_refused_by_its_header(model):
    contents = np.empty(1, object)
    contents[0] = png(30_000, 30_000)
    with pytest.raises(ServingError, match="image 0: decompression bomb: 30000 x 30000 is more than 1000000 pixels"):
        run(model, "", {"bytes": contents})
    with pytest.raises(ServingError, match="image 0: decompression bomb"):
        run(model, "decode", {"bytes": contents})


def test_one_bad_image_fails_alone_among_concurrent_requests(model, classifier, pictures):
    encoded, pixels = pictures
    expected = classifier[0].predict_on_batch(pixels)
    damaged = encoded[0][:-30]
    results = {}

    def ask(index):
        contents = np.empty(1, object)
        contents[0] = damaged if index % 4 == 3 else encoded[index]
        try:
            results[index] = run(model, "", {"bytes": contents}, ("probabilities",))["probabilities"][0]
        except ServingError as error:
            results[index] = error

    for _ in range(3):
        threads = [threading.Thread(target=ask, args=(index,)) for index in range(40)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        for index, found in results.items():
            if index % 4 == 3:
                assert found.code == "INVALID_ARGUMENT"
                assert str(found).startswith("image 0: ")
            else:
                np.testing.assert_allclose(found, expected[index], atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.ones(1, "float32")}, "inputs must be images. Received: x"),
        ({"images": np.ones((1, 8, 8, 1), "float64")}, "input images: must be float32. Received: float64"),
        ({"images": np.ones((8, 8, 1), "float32")}, r"must have the shape \(batch, 8, 8, 1\). Received: \(8, 8, 1\)"),
        ({"images": np.ones((1, 8, 8, 3), "float32")}, "must have the shape"),
    ],
)
def test_wrong_tensors_are_named(model, inputs, message):
    with pytest.raises(ServingError, match=message) as error:
        run(model, "tensor", inputs)
    assert error.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ServingError, match="output 'nothing'"):
        run(model, "tensor", {"images": np.ones((1, 8, 8, 1), "float32")}, ("nothing",))


def test_rows_beyond_a_batch_and_none_at_all(model, classifier, pictures):
    images = pictures[1].astype("float32")
    found = run(model, "tensor", {"images": images}, ("probabilities",))["probabilities"]
    np.testing.assert_allclose(found, classifier[0].predict_on_batch(images), atol=1e-5)
    assert run(model, "tensor", {"images": images[:0]}, ("probabilities",))["probabilities"].shape == (0, 3)


def test_an_example_without_an_image_is_named(model):
    examples = np.empty(2, object)
    examples[:] = [b"", b"\xff\xff"]
    with pytest.raises(ServingError, match="example 0: must have one value in the bytes feature 'bytes'"):
        run(model, "classify", {"inputs": examples})
    with pytest.raises(ServingError, match="example 0: must be a serialized"):
        run(model, "classify", {"inputs": examples[1:]})


def test_tls_by_files(repository):
    files = {"certificate": CERTIFICATE / "cert.pem", "key": CERTIFICATE / "key.pem"}
    with running(repository, **files) as where:
        assert where.url.startswith("https://")
        found = requests.post(f"{where.url}{MODEL}:predict", json=BODY, verify=str(files["certificate"]), timeout=60)
        assert found.json() == {"predictions": [3.5]}
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(where.url + MODEL, timeout=60)


def test_a_port_that_is_taken_and_a_wrong_certificate_are_one_line(repository, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot be listened on"):
            serve(ServeOptions(repository, port=taken.getsockname()[1], grpc_port=0))
    (tmp_path / "wrong.pem").write_text("nothing")
    wrong = tmp_path / "wrong.pem"
    with pytest.raises(UsageError, match="no PEM certificate"):
        serve(ServeOptions(repository, port=0, grpc_port=0, certificate=wrong, key=wrong))


def test_huge_images_are_decoded_two_at_a_time_and_outside_of_batches(classifier, monkeypatch):
    model = LoadedVersion("images", 1, classifier[1], ServeOptions(classifier[1].parent))
    decode, lock, running, most = model._calls["decode"].values, threading.Lock(), [], []

    def counted(*args):
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(0.1)
        with lock:
            running.pop()
        return decode(*args)

    monkeypatch.setattr(model._calls["decode"], "values", counted)
    monkeypatch.setattr(loaded_version, "_decoders", ThreadPoolExecutor(6))
    contents = np.empty(1, object)
    contents[0] = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 3)).astype("uint8").repeat(2100, 0).repeat(2100, 1)
    Image.fromarray(pixels).save(contents[0], "PNG")
    contents[0] = contents[0].getvalue()

    async def ask(signature):
        return await asyncio.gather(*(model.run(signature, {"bytes": contents}) for _ in range(6)))

    for one in asyncio.run(ask("decode")):
        assert one["images"].shape == (1, 8, 8, 1)
    assert max(most) == 2
    found = asyncio.run(ask(""))
    grey = tf.image.rgb_to_grayscale(pixels[:1, :1]).numpy().repeat(8, 0).repeat(8, 1)
    expected = classifier[0].predict_on_batch(grey[None])
    for one in found:
        np.testing.assert_allclose(one["probabilities"], expected, atol=1e-4)
    assert max(most) == 2
    model.close()
