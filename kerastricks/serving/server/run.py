"""Runs the model server until it is told to stop."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any

import grpc
import uvicorn

from kerastricks.errors import UsageError
from kerastricks.serving.server import grpc_server, http
from kerastricks.serving.server.engine import Engine
from kerastricks.serving.server.listening import Serving, listen
from kerastricks.serving.server.metrics import Observer
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.options import ServeOptions

_KEEP_ALIVE = 75  # seconds that an idle connection stays: longer than those of clients and balancers, which then close


def serve(
    options: ServeOptions,
    say: Callable[[str], None] = print,
    ready: Callable[[Serving], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve a folder of models until SIGTERM or Ctrl-C, and answer what runs then.

    Args:
        options: the folder, addresses and limits.
        say: called with a line for what happens to models.
        ready: called when all models are loaded and the ports are open.
        stop: ends the server when it is set, in a thread that gets no signals.

    Raises:
        UsageError: where an address cannot be listened on, or a file of TLS or configuration cannot be read.
    """
    with asyncio.Runner(loop_factory=_event_loop()) as runner:
        runner.run(_serve(options, say, ready, stop or threading.Event()))


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # none for Windows
    except ImportError:
        return None
    found: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return found


async def _serve(
    options: ServeOptions,
    say: Callable[[str], None],
    ready: Callable[[Serving], None] | None,
    stop: threading.Event,
) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
    models = Models(options, say)
    engine = Engine(models, options)
    observer = Observer(models.names, options.access_log)
    server = _uvicorn(http.application(engine, options, observer), options)
    with listen(options.host, options.port, options.processes > 1) as listener:
        rpc, rpc_port = _grpc(engine, options, observer)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await rpc.start()
        try:
            # Health is answered while models are loaded; "ready" says no until then.
            await asyncio.to_thread(models.start)
            if ready is not None and not stop.is_set():
                ready(_where(options, listener.getsockname()[1], rpc_port, models))
            while not stop.is_set() and not running.done():
                await asyncio.sleep(0.2)
        finally:
            engine.draining = True
            # Both stop listening and answer what they have; then the models go.
            server.should_exit = True
            await asyncio.gather(running, rpc.stop(options.drain))
            await engine.drain(options.drain)
            await asyncio.to_thread(models.close)


def _where(options: ServeOptions, port: int, rpc_port: int, models: Models) -> Serving:
    scheme = "http" if options.certificate is None else "https"
    return Serving(f"{scheme}://{_host(options)}:{port}", f"{_host(options)}:{rpc_port}", models.names())


def _host(options: ServeOptions) -> str:
    return f"[{options.host}]" if ":" in options.host else options.host


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave the signals to `serve`."""
        yield


def _uvicorn(app: Any, options: ServeOptions) -> _Server:
    kind = type("Protocol", (http.Protocol,), {"header_seconds": options.deadline})
    config = uvicorn.Config(
        app,
        http=kind,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # or anybody fills the log with wrong requests
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=round(options.drain),
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise UsageError(f"{options.certificate}: no PEM certificate with its key ({error})") from None
    return _Server(config)


def _grpc(engine: Engine, options: ServeOptions, observer: Observer) -> tuple[grpc.aio.Server, int]:
    """The gRPC server and its port."""
    server = grpc_server.create(
        engine,
        max_message_bytes=options.max_body,
        token=options.token,
        observe=observer.done,
        reuse_port=options.processes > 1,
    )
    address = f"{_host(options)}:{options.grpc_port}"
    try:
        if options.certificate is not None and options.key is not None:
            pair = (options.key.read_bytes(), options.certificate.read_bytes())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port(address)
    except (OSError, RuntimeError, ValueError):
        raise UsageError(f"{address}: cannot be listened on: give another --grpc-port") from None
    return server, port
