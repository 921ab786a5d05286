"""Who can connect to a server that TensorFlow opens on every interface."""

import socket

import pytest
from service_processes import outside_address

from kerastricks.data.service.listening import Listening
from kerastricks.errors import ServiceError

pytestmark = pytest.mark.tensorflow_only


def grpc_like(port):
    """A server as gRPC opens it: on all interfaces, both protocols, the port shared."""
    server = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("", port))
    server.listen()
    server.settimeout(0.3)
    return server


def accepts(server, host, port):
    """Whether a connection to that address of this machine reaches the server."""
    try:
        with socket.create_connection((host, port), timeout=2):
            server.accept()[0].close()
            return True
    except (ConnectionError, TimeoutError):
        return False


def test_loopback_is_all_that_gets_through_from_the_first_moment():
    outside = outside_address()
    listening = Listening("127.0.0.1", 0)
    with listening.restricted():
        server = grpc_like(listening.port)
        with server:
            assert accepts(server, "127.0.0.1", listening.port)
            assert not accepts(server, outside, listening.port)
            server = server.dup()
    server.settimeout(0.3)
    with server:
        assert accepts(server, "127.0.0.1", listening.port)
        assert not accepts(server, outside, listening.port)


def test_another_address_opens_it():
    outside = outside_address()
    listening = Listening(outside, 0)
    assert not listening.is_loopback
    with listening.restricted(), grpc_like(listening.port) as server:
        assert accepts(server, outside, listening.port)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost"])
def test_loopback_by_any_name(host):
    assert Listening(host, 0).is_loopback
    assert not Listening("0.0.0.0", 0).is_loopback


def test_a_server_that_does_not_listen_is_told():
    with pytest.raises(ServiceError, match="does not listen"), Listening("127.0.0.1", 0).restricted():
        pass


def test_a_port_is_shared_with_nobody():
    with grpc_like(0) as server, pytest.raises(ServiceError, match=r"cannot be had .*choose another --port"):
        Listening("127.0.0.1", server.getsockname()[1])


@pytest.mark.parametrize("host", ["198.51.100.7", "no-such-host.invalid", "", "a" * 300])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(ServiceError, match=r"--host .*: .*is no address"):
        Listening(host, 0)


def test_a_system_that_cannot_restrict_a_socket_is_refused(monkeypatch):
    monkeypatch.delattr(socket, "SO_BINDTODEVICE")
    listening = Listening("127.0.0.1", 0)
    refused = pytest.raises(ServiceError, match=r"cannot keep .* to the loopback interface")
    with refused, listening.restricted(), grpc_like(listening.port):
        pass
