"""Options of the model server."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServeOptions:
    """How models are served.

    Args:
        repository: a folder of models, MODEL/VERSION/saved_model.pb, or one model's folder.
        host: address to listen on; 127.0.0.1 is reached from this machine only.
        port: of REST and the page; 0 takes a free one.
        grpc_port: of gRPC; 0 takes a free one.
        config_file: TensorFlow Serving's `--model_config_file`: base paths inside the repository, versions,
            labels.
        latest: how many of the newest versions of each model are served, without a config file.
        poll_seconds: between two looks at the repository.
        max_batch: largest number of rows that run together.
        batch_delay: most seconds that a batch waits for more requests, which it does while they keep coming, and where
            the last one had several. 0 runs what there is.
        queue: requests that may wait or run; more are refused (429, RESOURCE_EXHAUSTED).
        deadline: seconds that a request may take, and a client may take to send one.
        max_body: largest request, in bytes.
        max_pixels: largest image.
        token: that clients send as `Authorization: Bearer TOKEN`; None for none.
        certificate: PEM file of the server's certificate chain, for TLS.
        key: PEM file of its private key.
        processes: that serve on the same ports, each with its own copy of the models.
        gpu: whether models run on the GPU.
        access_log: whether a line of JSON is printed for each request.
        drain: seconds that running requests have after SIGTERM.
    """

    repository: Path
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int = 8500
    config_file: Path | None = None
    latest: int = 1
    poll_seconds: float = 1.0
    max_batch: int = 32
    batch_delay: float = 0.01
    queue: int = 256
    deadline: float = 30.0
    max_body: int = 32 << 20
    max_pixels: int = 50_000_000
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    processes: int = 1
    gpu: bool = False
    access_log: bool = True
    drain: float = 30.0
