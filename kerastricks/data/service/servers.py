"""Servers of a data service: the dispatcher, which hands out steps and survives a restart, and workers."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import tensorflow as tf

from kerastricks.data.service.address import Address
from kerastricks.data.service.listening import Listening
from kerastricks.errors import ServiceError, first_line

HEARTBEAT_MS = 5000  # what a finished job held is given back that late


@contextmanager
def dispatcher(listening: Listening, work_dir: Path) -> Iterator[Address]:
    """Run a dispatcher within the context.

    Args:
        listening: host and port.
        work_dir: folder of its journal; made if it is not there, readable by its owner only. A dispatcher that is
            started again with the same one resumes the jobs of the last.

    Raises:
        ServiceError: for a folder that cannot be written to, that another dispatcher uses, or whose journal is damaged.
    """
    with _owned(work_dir):
        config = tf.data.experimental.service.DispatcherConfig(
            port=listening.port, protocol="grpc", work_dir=str(work_dir), fault_tolerant_mode=True
        )
        server = tf.data.experimental.service.DispatchServer(config, start=False)
        with listening.restricted():
            try:
                server.start()
            except (tf.errors.OpError, RuntimeError) as error:
                reason = first_line(error)
                raise ServiceError(
                    f"{work_dir}: the dispatcher cannot start from it ({reason}): name another --work-dir, or delete it"
                ) from None
        try:
            yield Address(listening.host, listening.port)
        finally:
            server.stop()


@contextmanager
def _owned(work_dir: Path) -> Iterator[None]:
    """Make the folder, and lock it against a second dispatcher."""
    with ExitStack() as stack:
        try:
            work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context((work_dir / "lock").open("w"))
        except OSError as error:
            raise ServiceError(
                f"{work_dir}: cannot be written to ({error.strerror}): name another --work-dir"
            ) from None
        with suppress(ImportError):  # not on Windows
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ServiceError(f"{work_dir}: another dispatcher uses it: name another --work-dir") from None
        yield


@contextmanager
def worker(dispatcher: Address, listening: Listening) -> Iterator[Address]:
    """Run a worker within the context.

    Args:
        dispatcher: address of the dispatcher; it must answer, or the start blocks the whole process.
        listening: host and port; trainers are sent to this address.

    Raises:
        ServiceError: where the dispatcher does not take it.
    """
    address = Address(listening.host, listening.port)
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=dispatcher.target,
        worker_address=address.target,
        port=listening.port,
        protocol="grpc",
        heartbeat_interval_ms=HEARTBEAT_MS,
    )
    server = tf.data.experimental.service.WorkerServer(config, start=False)
    with listening.restricted(), _stoppable():
        try:
            server.start()
        except (tf.errors.OpError, RuntimeError) as error:
            reason = first_line(error)
            raise ServiceError(f"{dispatcher}: the dispatcher does not take the worker ({reason})") from None
    try:
        yield address
    finally:
        server.stop()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C end the process: starting waits for the dispatcher in C++, where Python handles no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
