"""A web server of a folder, and a proxy before another server, that misbehave as they are told."""

import collections
import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
import urllib.parse


class Server:
    """The server, on a free port of this machine."""

    def __init__(self, root):
        self.faults = collections.defaultdict(list)  # path to what happens to its next requests
        self.heads = []  # statuses of the next questions about images
        self.always = None
        self.login = self.token = None
        self.asked = collections.Counter()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(root))

            def log_message(self, *args):
                pass

            def do_GET(self):
                path, _, query = urllib.parse.unquote(self.path).partition("?")
                outer.asked["GET", path] += 1
                if outer.login is not None and self.headers.get("Authorization") != outer.login:
                    return self.send_error(401)
                if outer.token is not None and query != outer.token:
                    return self.send_error(403)
                fault = outer.faults[path].pop(0) if outer.faults[path] else outer.always
                if fault == "reset":
                    return reset(self)
                if fault == "slow":
                    time.sleep(1.5)
                if fault == "truncated":
                    contents = (root / path.lstrip("/")).read_bytes()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(contents)))
                    self.end_headers()
                    self.wfile.write(contents[: len(contents) // 2])
                    self.close_connection = True
                    return self.connection.shutdown(socket.SHUT_WR)
                if isinstance(fault, int):
                    return self.send_error(fault)
                with_suppressed(super().do_GET)

            def do_HEAD(self):
                path = urllib.parse.unquote(self.path)
                if outer.heads and path.endswith(".png"):
                    return self.send_error(outer.heads.pop())
                if self.headers.get("Authorization") != outer.login and outer.login is not None:
                    return self.send_error(401)
                super().do_HEAD()

        self.server = started(Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"

    def bodies(self):
        return sum(count for (_, path), count in self.asked.items() if path.endswith(".png"))


class Proxy:
    """A proxy before an object store, on a free port of this machine: GET of an object may meet a fault.

    Args:
        host: name and port of the store.
    """

    def __init__(self, host):
        self.faults = collections.defaultdict(list)  # end of a path to what happens to the next requests of it
        self.always = None
        self.met = collections.Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self):
                path = urllib.parse.unquote(self.path.partition("?")[0])
                waiting = next((faults for end, faults in outer.faults.items() if path.endswith(end)), [])
                fault = waiting.pop(0) if self.command == "GET" and waiting else outer.always
                outer.met[fault] += 1
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if fault == "reset":
                    return reset(self)
                if fault == "slow":
                    time.sleep(1.5)
                store = http.client.HTTPConnection(host)
                store.request(self.command, self.path, sent, dict(self.headers))
                response = store.getresponse()
                contents = response.read()
                store.close()
                if isinstance(fault, int):
                    self.send_response(fault)
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server", "content-length"):
                        self.send_header(name, value)
                length = response.getheader("Content-Length") if self.command == "HEAD" else len(contents)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if fault == "truncated":
                    self.wfile.write(contents[: len(contents) // 2])
                    self.close_connection = True
                    return self.connection.shutdown(socket.SHUT_WR)
                return with_suppressed(lambda: self.wfile.write(contents))

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        self.server = started(Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def started(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def reset(handler):
    """Ends a connection as a crash does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def with_suppressed(action):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ValueError):
        action()
