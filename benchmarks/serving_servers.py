"""The servers that `serving.py` compares: their environments, how each is started, and the requests each is sent."""

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NAME = "bench"

# Pinned so that pip's resolver has nothing to search: both peers want protobuf < 7.
_PINNED = ["tensorflow==2.21.0", "keras==3.15.1", "protobuf==6.33.6", "numpy==2.4.6"]
ENVIRONMENTS = {
    "mlserver": [
        *_PINNED,
        "mlserver==1.7.1",
        "fastapi==0.115.14",
        "grpcio==1.85.3",
        "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
        "opentelemetry-instrumentation-grpc==0.66b2",
        "opentelemetry-sdk==1.45.2",
        "pandas==3.1.1",
        "starlette==0.46.2",
        "tritonclient==2.73.0",
        "uvloop==0.21.0",  # its worker processes end at once with a newer one
    ],
    "kserve": [
        *_PINNED,
        "kserve==0.21.0",
        "fastapi==0.165.0",
        "grpcio==1.85.3",
        "grpcio-tools==1.81.1",
        "kubernetes==37.0.1",
        "pandas==2.3.3",
    ],
}


def python_of(peer: str, work: Path) -> Path:
    """Make the peer's virtual environment in `work`, unless it is there, and return its Python."""
    packages = ENVIRONMENTS[peer]
    folder = work / f"{peer}-{hashlib.sha256(repr(packages).encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {peer} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, timeout=1800)
        (folder / "complete").touch()
    return python


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen
    rest_port: int
    grpc_port: int

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()


def start(kind: str, models: Path, work: Path, own_options: list[str]) -> Server:
    """Start a server of the kind on ports that are free, and wait until it is ready.

    Args:
        kind: "kerastricks", "mlserver" or "kserve".
        models: folder with NAME/1.
        work: where environments, settings and logs go.
        own_options: further options of `kerastricks serve`.
    """
    rest, grpc = free_port(), free_port()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    saved_model = str(models / NAME / "1")
    if kind == "kerastricks":
        program = Path(sys.executable).with_name("kerastricks")
        command = [program, "serve", models, "--port", rest, "--grpc-port", grpc, *own_options]
    elif kind == "mlserver":
        command = [
            python_of(kind, work).with_name("mlserver"),
            "start",
            _mlserver_folder(work, saved_model, rest, grpc),
        ]
    else:
        options = ["--model_name", NAME, "--http_port", rest, "--grpc_port", grpc, "--saved-model", saved_model]
        command = [python_of(kind, work), HERE / "serving_kserve.py", *options]
    with (work / f"{kind}.log").open("w") as log:
        process = subprocess.Popen([str(one) for one in command], env=environment, stdout=log, stderr=log)
    server = Server(process, rest, grpc)
    begun = time.monotonic()
    while not _ready(rest, f"/v1/models/{NAME}" if kind == "kerastricks" else f"/v2/models/{NAME}/ready"):
        if process.poll() is not None or time.monotonic() - begun > 180:
            server.stop()
            sys.exit(f"{kind} did not start:\n" + (work / f"{kind}.log").read_text()[-3000:])
        time.sleep(0.5)
    return server


def _ready(port: int, path: str) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == 200 and b"LOADING" not in answer.read()
    except OSError:
        return False


def _mlserver_folder(work: Path, saved_model: str, rest: int, grpc: int) -> Path:
    folder = work / "mlserver-settings"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(HERE / "serving_mlserver.py", folder)
    settings = {
        "host": "127.0.0.1",
        "http_port": rest,
        "grpc_port": grpc,
        "metrics_endpoint": None,
        "debug": False,
        "gzip_enabled": False,
        # In the server's process, in threads: with a worker process it was slower in most rounds, on two cores.
        "parallel_workers": 0,
    }
    model = {
        "name": NAME,
        "implementation": "serving_mlserver.Classifier",
        "max_batch_size": 32,
        "max_batch_time": 0.002,
        "parameters": {"uri": saved_model, "version": "1"},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return folder


@dataclass
class Row:
    """A server and a way to ask it.

    Args:
        kind: of server.
        protocol: "http" or "grpc".
        encode: from a JPEG to the request's bytes.
        decode: from the answer's bytes to probabilities.
        method: of gRPC.
    """

    kind: str
    protocol: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], np.ndarray]
    method: str = ""


def post(path: str, body: bytes, headers: str = "Content-Type: application/json\r\n") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rest_v1(jpeg: bytes) -> bytes:
    body = json.dumps({"instances": [{"b64": base64.b64encode(jpeg).decode()}]}).encode()
    return post(f"/v1/models/{NAME}:predict", body)


def rest_v1_answer(body: bytes) -> np.ndarray:
    return np.float32(json.loads(body)["predictions"][0]["probabilities"])


def rest_v2_binary(jpeg: bytes) -> bytes:
    raw = struct.pack("<I", len(jpeg)) + jpeg
    tensor = {"name": "bytes", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    headers = f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(head)}\r\n"
    return post(f"/v2/models/{NAME}/infer", head + raw, headers)


def rest_v2_binary_answer(body: bytes) -> np.ndarray:
    end = json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]
    return np.frombuffer(body[end:], "<f4")


def rest_v2_base64(jpeg: bytes) -> bytes:
    data = [base64.b64encode(jpeg).decode()]
    tensor = {
        "name": "bytes",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": data,
    }
    return post(f"/v2/models/{NAME}/infer", json.dumps({"inputs": [tensor]}).encode())


def rest_v2_json_answer(body: bytes) -> np.ndarray:
    outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    return np.float32(outputs["probabilities"]).ravel()


def grpc_predict(jpeg: bytes) -> bytes:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest(output_filter=["probabilities"])
    request.model_spec.name = NAME
    request.inputs["bytes"].CopyFrom(tf.make_tensor_proto([jpeg], shape=[1]))
    return request.SerializeToString()


def grpc_predict_answer(body: bytes) -> np.ndarray:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    return tf.make_ndarray(predict_pb2.PredictResponse.FromString(body).outputs["probabilities"]).ravel()


def grpc_infer(jpeg: bytes) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=NAME)
    request.inputs.add(name="bytes", datatype="BYTES", shape=[1]).contents.bytes_contents.append(jpeg)
    return request.SerializeToString()


def grpc_infer_answer(body: bytes) -> np.ndarray:
    from tritonclient.grpc import service_pb2

    response = service_pb2.ModelInferResponse.FromString(body)
    names = [output.name for output in response.outputs]
    at = names.index("probabilities")
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[at], "<f4")
    contents = response.outputs[at].contents
    return np.float32(contents.fp32_contents or contents.fp64_contents)


_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_INFER = "/inference.GRPCInferenceService/ModelInfer"
# The best that each offers: MLServer's REST has no binary extension, and KServe's is for text and numbers only.
ROWS = {
    "kerastricks v1 REST, base64": Row("kerastricks", "http", rest_v1, rest_v1_answer),
    "kerastricks v2 REST, binary": Row("kerastricks", "http", rest_v2_binary, rest_v2_binary_answer),
    "kerastricks gRPC Predict": Row("kerastricks", "grpc", grpc_predict, grpc_predict_answer, _PREDICT),
    "MLServer v2 REST, base64": Row("mlserver", "http", rest_v2_base64, rest_v2_json_answer),
    "MLServer v2 gRPC": Row("mlserver", "grpc", grpc_infer, grpc_infer_answer, _INFER),
    "KServe v2 REST, base64": Row("kserve", "http", rest_v2_base64, rest_v2_json_answer),
    "KServe v2 gRPC": Row("kserve", "grpc", grpc_infer, grpc_infer_answer, _INFER),
}
