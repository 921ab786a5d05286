"""The server against its own OpenAPI description: requests that schemathesis makes of it, valid and not.

Every answer must have a documented status, type, headers and schema, and none may be 5xx; what the schema refuses and
other methods must be refused. Valid requests need not be answered: no schema says what a file with an image is.
"""

import os
import subprocess
import sys

import keras
import pytest
import requests
from service_processes import Server

from kerastricks.serving import export_saved_model

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]

TOKEN = "secret"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a server with one classifier, which asks for a token."""
    folder = tmp_path_factory.mktemp("fuzz")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(inputs)))
    model.save(folder / "model.keras")
    export_saved_model(folder / "model.keras", ["ant", "bee", "cat"], folder / "models" / "insects")
    (folder / "token").write_text(TOKEN)
    server = Server(
        "serve", str(folder / "models"), "--port", "0", "--grpc-port", "0", "--token-file", str(folder / "token")
    )
    try:
        yield server.ready()["url"]
    finally:
        server.kill()


def schemathesis(url, folder, *options):
    """Runs it; output and exit code."""
    line = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("-H", f"Authorization: Bearer {TOKEN}", "--seed", "1", "--generation-database", "none", "--no-color"),
        *("--exclude-checks", "positive_data_acceptance", "--warnings", "off", *options),
    ]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_examples_of_the_description_are_answered(url):
    found = requests.get(f"{url}/openapi.json", headers=AUTHORIZATION, timeout=60).json()
    asked = 0
    for path, item in found["paths"].items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or "{label}" in path:
            continue
        address = url + path.replace("{model}", "insects").replace("{version}", "1")
        for example in content["examples"].values():
            answer = requests.post(address, json=example["value"], headers=AUTHORIZATION, timeout=60)
            assert answer.status_code == 200, (path, answer.text)
            asked += 1
    assert asked == 11


def test_made_requests_are_answered_as_described(url, tmp_path):
    phases = "examples,coverage,fuzzing"
    code, output = schemathesis(url, tmp_path, "--phases", phases, "--max-examples", "50", "--continue-on-failure")
    assert code == 0, output
    assert requests.get(f"{url}/v2/health/ready", timeout=60).json() == {"ready": True}
