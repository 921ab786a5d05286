"""Restrict TensorFlow's servers to the loopback interface.

They listen on every interface of the machine, and no setting of theirs changes that. Linux can tie a socket to one
interface, also one that listens already, and sends everybody else away as if the port were closed.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kerastricks.errors import ServiceError

LOOPBACK = "lo"


class Listening:
    """Host and port that a server is to listen on.

    Args:
        host: name or address of this machine; with a loopback address nobody else can connect, with any other
            everybody can who reaches the machine on any of its addresses.
        port: 0 takes a free one.

    Raises:
        ServiceError: for an address that is not this machine's, a port that is taken, or a system that cannot keep a
            socket to the loopback interface.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        addresses = _resolve(host)
        self.is_loopback = all(address.is_loopback for address in addresses)
        self.is_unspecified = any(address.is_unspecified for address in addresses)
        self.port = _claim(port)

    @contextmanager
    def restricted(self) -> Iterator[None]:
        """Start a server inside this context; afterwards it accepts connections only as `host` allows.

        Others cannot connect meanwhile either: until then sockets on all other interfaces stand in front of it.
        """
        if not self.is_loopback:
            yield
            return
        with ExitStack() as decoys:
            for _, interface in socket.if_nameindex():
                if interface != LOOPBACK:
                    decoys.enter_context(self._listener(interface))
            yield
            self._keep_to_loopback()

    def _listener(self, interface: str) -> socket.socket:
        decoy = _both_protocols()
        try:
            decoy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC's
            _tie(decoy, interface)
            decoy.bind(("", self.port))
            decoy.listen(1)
        except BaseException:
            decoy.close()
            raise
        return decoy

    def _keep_to_loopback(self) -> None:
        found = False
        for one in _own_sockets():
            with one:
                is_inet = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
                if not is_inet or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                if one.getsockname()[1] == self.port and not _tied_to(one):
                    _tie(one, LOOPBACK)
                    found = True
        if not found:
            raise ServiceError(f"port {self.port}: the server does not listen on it: choose another --port")


def _own_sockets() -> Iterator[socket.socket]:
    """A duplicate of each socket of this process, including those opened by C++."""
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptor = os.dup(int(name))
        except OSError:
            continue  # the folder itself
        try:
            yield socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)


def _resolve(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise ServiceError(f"--host {host}: is no address ({getattr(error, 'strerror', None) or error})") from None
    addresses = [ipaddress.ip_address(str(address).partition("%")[0]) for address in sorted(map(str, found))]
    for address in addresses:
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((str(address), 0))
            except OSError as error:
                raise ServiceError(
                    f"--host {host}: {address} is no address of this machine ({error.strerror}): give one of its own"
                ) from None
    return addresses


def _claim(port: int) -> int:
    """The port, if it is free: gRPC would share it with another server of the same user."""
    with _both_protocols() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last owner's connections may still be closing
        try:
            trial.bind(("", port))
        except OSError as error:
            raise ServiceError(f"port {port} cannot be had ({error.strerror}): choose another --port") from None
        return int(trial.getsockname()[1])


def _both_protocols() -> socket.socket:
    """A socket for IPv6 and IPv4 at once, as gRPC's, where the system has IPv6."""
    if socket.has_dualstack_ipv6():
        one = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return one
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _tie(one: socket.socket, interface: str) -> None:
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except (AttributeError, OSError) as error:
        raise ServiceError(
            f"this system cannot keep TensorFlow's server to the loopback interface ({error}; Linux 5.7 or later can): "
            f"give --host another address of this machine, behind a firewall"
        ) from None


def _tied_to(one: socket.socket) -> str:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()
