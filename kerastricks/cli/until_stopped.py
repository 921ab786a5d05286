"""Runs a server until Ctrl-C or SIGTERM."""

import os
import signal
import threading
from typing import Any

import click

from kerastricks.cli.quiet import import_tensorflow


def prepare() -> None:
    """Import TensorFlow for a server, without GPUs: their memory is the trainer's."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import_tensorflow()


def warn_if_open(listening: Any) -> None:
    """Print the address."""
    if not listening.is_loopback:
        click.echo(
            f"warning: port {listening.port} is open on every address of this machine, without password or encryption, "
            f"and who can connect can run code here: private networks only, see docs/data_service.md",
            err=True,
        )


def wait() -> None:
    """Return at the first Ctrl-C or SIGTERM, the regular end of a server: its exit code is 0."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        pass
    click.echo("stopped", err=True)
