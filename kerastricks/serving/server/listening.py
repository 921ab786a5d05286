"""Sockets of the model server, and where they listen; imports no TensorFlow."""

import socket
from dataclasses import dataclass

from kerastricks.errors import UsageError


@dataclass(frozen=True)
class Serving:
    """Where a server listens.

    Args:
        url: of REST and the page.
        grpc: host and port of gRPC.
        models: names of the models.
    """

    url: str
    grpc: str
    models: list[str]


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: where the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            found.bind(address)
            found.listen(2048)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise UsageError(f"{host}:{port}: cannot be listened on ({error.strerror}): give another --port") from None
    found.setblocking(False)
    return found
