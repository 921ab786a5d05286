"""Addresses of gRPC servers, "grpc://10.0.0.5:5050", and whether one answers there.

The answer comes within seconds: TensorFlow's own clients would wait for ever.
"""

import re
import socket
import time
from dataclasses import dataclass

from kerastricks.errors import ServiceError

WAIT_SECONDS = 15.0
_PATTERN = re.compile(r"grpc://(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):(\d{1,5})/?", re.ASCII)
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"  # RFC 9113, 3.4: preface and empty SETTINGS
_SETTINGS = 4
_FOREIGN = "no gRPC"


@dataclass(frozen=True)
class Address:
    """Host and port of a gRPC server.

    Args:
        host: name or IP address, an IPv6 address without brackets.
        port: 1 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, name: str = "data_service") -> "Address":
        """Parse "grpc://HOST:PORT".

        Raises:
            ServiceError: for anything else; the message calls it `name`.
        """
        found = _PATTERN.fullmatch(text)
        if found is None or not 1 <= int(found[3]) <= 65535:
            raise ServiceError(f"{name} must be grpc://HOST:PORT, such as grpc://127.0.0.1:5050. Received: {text!r}")
        return cls(found[1] or found[2], int(found[3]))

    @property
    def target(self) -> str:
        """HOST:PORT, as gRPC takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"grpc://{self.target}"


def reach(address: Address, seconds: float | None = None) -> None:
    """Wait until a gRPC server answers.

    Args:
        address: address of the dispatcher.
        seconds: longest wait; WAIT_SECONDS by default.

    Raises:
        ServiceError: if none does in time, or something else answers.
    """
    deadline = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds)
    while (reason := _ask(address, max(deadline - time.monotonic(), 0.1))) is not None:
        if reason is _FOREIGN:
            raise ServiceError(f"{address}: what answers there is no dispatcher: give the dispatcher's address")
        if time.monotonic() + 0.2 > deadline:
            raise ServiceError(
                f"{address}: no dispatcher answers ({reason}): start one: kerastricks data-dispatcher --port "
                f"{address.port}"
            )
        time.sleep(0.2)


def is_reachable(address: Address) -> bool:
    """Whether a gRPC server answers within two seconds."""
    return _ask(address, 2.0) is None


def _ask(address: Address, seconds: float) -> str | None:
    """Connect, and return why no gRPC server answers; None where one does."""
    try:
        with socket.create_connection((address.host, address.port), timeout=seconds) as connection:
            connection.settimeout(min(seconds, 5.0))
            try:
                connection.sendall(_HELLO)
                answer = connection.recv(9, socket.MSG_WAITALL)
            except ConnectionError:
                answer = b""
            return None if len(answer) == 9 and answer[3] == _SETTINGS else _FOREIGN
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
