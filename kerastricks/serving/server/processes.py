"""Several server processes on the same ports, and one that looks after them."""

import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kerastricks.errors import RunFailedError
from kerastricks.serving.server.listening import Serving, listen
from kerastricks.serving.server.options import ServeOptions

_LEAST_SECONDS = 5.0  # a process that ends sooner after its start would do so again and again


def serve_process(options: ServeOptions, reports: Any) -> None:
    """Serve in one of several processes.

    Args:
        options: of all of them.
        reports: a queue for its messages and its addresses.
    """
    from kerastricks.serving.server.run import serve

    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    serve(
        options,
        say=lambda line: reports.put(("say", f"[{os.getpid()}] {line}")),
        ready=lambda where: reports.put(("ready", where)),
    )


def _end_with_parent() -> None:
    """Drain and end when the one that looks after this process was killed: nobody would start or stop it again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def serve_processes(
    options: ServeOptions,
    say: Callable[[str], None] = print,
    ready: Callable[[Serving], None] | None = None,
    process: Callable[[ServeOptions, Any], None] = serve_process,
) -> None:
    """Serve with `options.processes` processes until SIGTERM or Ctrl-C; one that dies is started again.

    The kernel hands each connection to one of them. Each has the models in memory.

    Args:
        options: with the number of processes.
        say: called with a line for what happens.
        ready: called when all processes answer.
        process: runs in each of them; a function of a module, which is imported there.

    Raises:
        UsageError: where an address cannot be listened on.
        RunFailedError: where processes die at once.
    """
    # Bound here, so that all processes get the same free port and nobody else takes it meanwhile.
    held = [_hold(options.host, port) for port in (options.port, options.grpc_port)]
    port, grpc_port = (one.getsockname()[1] for one in held)
    options = replace(options, port=port, grpc_port=grpc_port)
    shared = tempfile.TemporaryDirectory(prefix="kerastricks-metrics-", ignore_cleanup_errors=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared.name
    context = multiprocessing.get_context("spawn")
    reports: Any = context.SimpleQueue()
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopping.append(got))
    children: list[tuple[Any, float]] = []

    def start() -> tuple[Any, float]:
        child = context.Process(target=process, args=(options, reports), daemon=False)
        child.start()
        return child, time.monotonic()

    try:
        children = [start() for _ in range(options.processes)]
        waiting = options.processes
        while not stopping:
            while not reports.empty():
                kind, value = reports.get()
                if kind == "say":
                    say(value)
                elif waiting:
                    waiting -= 1
                    if waiting == 0 and ready is not None:
                        ready(value)
            for index, (child, began) in enumerate(children):
                if not child.is_alive() and not stopping:
                    if time.monotonic() - began < _LEAST_SECONDS or waiting:
                        raise RunFailedError(f"a server process ended with code {child.exitcode}")
                    say(f"process {child.pid} ended with code {child.exitcode}: started again")
                    children[index] = start()
            time.sleep(0.05)
    finally:
        for child, _ in children:
            if child.is_alive():
                os.kill(child.pid, signal.SIGTERM)
        for child, _ in children:
            child.join(options.drain + 10)
            if child.is_alive():
                child.kill()
        for one in held:
            one.close()
        shared.cleanup()


def _hold(host: str, port: int) -> socket.socket:
    """A port that others of this user may listen on, by a socket that does not listen itself."""
    listen(host, port, False).close()  # or two servers would share it unawares
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(address)
    return found
