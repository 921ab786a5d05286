"""kerastricks serve"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerastricks.cli import job_options, options
from kerastricks.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from kerastricks.serving.server import ServeOptions
    from kerastricks.serving.server.listening import Serving


@click.command()
@click.argument("repository", type=options.FOLDER, default=Path("saved_models"))
@click.option("--host", type=options.TEXT, default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=options.PORT, default=8501, show_default=True, help="Port of REST and the page.")
@click.option("--grpc-port", type=options.PORT, default=8500, show_default=True, help="Port of gRPC.")
@click.option("--config", "config_file", type=options.FILE, help="TensorFlow Serving's file of models and versions.")
@click.option("--latest", type=options.number(1, 1000), default=1, show_default=True, help="Newest versions to serve.")
@click.option(
    "--poll", type=options.SECONDS, default=1.0, show_default=True, help="Seconds between looks for versions."
)
@click.option(
    "--max-batch", type=options.number(1, 4096), default=32, show_default=True, help="Images that run together."
)
@click.option(
    "--batch-delay",
    type=options.number(0, 10_000, whole=False),
    default=10.0,
    show_default=True,
    help="Most milliseconds that a batch waits while requests keep coming.",
)
@click.option(
    "--queue", type=options.number(1, 100_000), default=256, show_default=True, help="Requests that may wait."
)
@click.option(
    "--deadline",
    type=options.number(0, 3600, whole=False, above=True),
    default=30.0,
    show_default=True,
    help="Seconds that a request may take.",
)
@click.option(
    "--max-body", type=options.number(1, 2000), default=32, show_default=True, help="Largest request, in MiB."
)
@click.option(
    "--max-pixels",
    type=options.number(1, 100_000_000),
    default=50_000_000,
    show_default=True,
    help="Largest image, in pixels.",
)
@click.option(
    "--token-file", type=options.FILE, help="File with a token that clients must send.  [default: $KERASTRICKS_TOKEN]"
)
@click.option("--certificate", type=options.FILE, help="PEM file of the certificate chain, for TLS.")
@click.option("--key", type=options.FILE, help="PEM file of its private key.")
@click.option("--processes", type=options.number(1, 256), default=1, show_default=True, help="Server processes.")
@click.option("--gpu", is_flag=True, help="Run models on the GPU.")
@click.option("--drain", type=options.SECONDS, default=30.0, show_default=True, help="Seconds to answer after SIGTERM.")
@click.option("--access-log/--no-access-log", default=True, help="Print a line of JSON for each request.")
@job_options.as_json("Print the addresses as JSON, and no access log.")
def serve(
    repository: Path,
    host: str,
    port: int,
    grpc_port: int,
    config_file: Path | None,
    latest: int,
    poll: float,
    max_batch: int,
    batch_delay: float,
    queue: int,
    deadline: float,
    max_body: int,
    max_pixels: int,
    token_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    processes: int,
    gpu: bool,
    drain: float,
    access_log: bool,
    as_json: bool,
) -> None:
    """Serve the models in REPOSITORY (saved_models/ by default) until Ctrl-C or SIGTERM.

    REPOSITORY is in TensorFlow Serving's layout, as `kerastricks train` writes it: MODEL/VERSION/. Clients of
    TensorFlow Serving (REST, gRPC) and of the Open Inference Protocol (KServe, Triton) reach it, and the page at /
    takes images.
    New versions are loaded while the old one serves; one that cannot be loaded is refused.

    \b
    kerastricks serve
    curl http://127.0.0.1:8501/v1/models/RUN
    kerastricks predict --url http://127.0.0.1:8501 image.jpg

    Whoever can write to REPOSITORY can run code here: see docs/serving.md.
    """
    if not repository.is_dir():
        raise UsageError(
            f"{repository}: no such folder: give one with trained runs, as `kerastricks train` writes them"
        )
    if (certificate is None) != (key is None):
        raise UsageError("--certificate and --key are given together")
    token = _token(token_file)
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import tensorflow_serving.apis  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(str(error.name), "serve") from None
    from kerastricks.cli.quiet import import_tensorflow
    from kerastricks.serving.server import ServeOptions
    from kerastricks.serving.server.processes import serve_processes

    if processes == 1:  # or each of them imports it, and the one that looks after them does without
        import_tensorflow()
    chosen = ServeOptions(
        repository=repository,
        host=host,
        port=port,
        grpc_port=grpc_port,
        config_file=config_file,
        latest=latest,
        poll_seconds=max(poll, 0.05),
        max_batch=max_batch,
        batch_delay=batch_delay / 1000,
        queue=queue,
        deadline=deadline,
        max_body=max_body << 20,
        max_pixels=max_pixels,
        token=token,
        certificate=certificate,
        key=key,
        processes=processes,
        gpu=gpu,
        access_log=access_log and not as_json,
        drain=drain,
    )
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        click.echo(
            f"warning: {host} is reached from other machines, and without --token-file anybody may use the models",
            err=True,
        )
    ready = _as_json if as_json else _ready
    if processes == 1:
        from kerastricks.serving.server import serve as run

        run(chosen, say=_say, ready=ready)
    else:
        serve_processes(chosen, say=_say, ready=ready, process=_process)
    click.echo("stopped", err=True)


def _process(chosen: "ServeOptions", reports: Any) -> None:
    """One of several processes, which imports TensorFlow without its messages."""
    from kerastricks.cli.quiet import import_tensorflow

    import_tensorflow()
    from kerastricks.serving.server.processes import serve_process

    serve_process(chosen, reports)


def _token(path: Path | None) -> str | None:
    try:
        text = os.environ.get("KERASTRICKS_TOKEN") if path is None else path.read_text(errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    if text is None:
        return None
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or len(token) > 1000:
        where = path or "KERASTRICKS_TOKEN"
        raise UsageError(f"{where}: a token is one line of printable ASCII, up to 1,000 characters")
    return token


def _say(line: str) -> None:
    click.echo(line, err=True)


def _ready(where: "Serving") -> None:
    models = ", ".join(where.models) or "no model yet"
    click.echo(f"{where.url}, gRPC at {where.grpc}: {models}; Ctrl-C stops", err=True)


def _as_json(where: "Serving") -> None:
    addresses = {"url": where.url, "grpc": where.grpc, "models": where.models, "pid": os.getpid()}
    click.echo(json.dumps(addresses))
