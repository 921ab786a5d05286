"""A web server of a folder that misbehaves as it is told."""

import collections
import contextlib
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
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    return self.connection.close()
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

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def bodies(self):
        return sum(count for (_, path), count in self.asked.items() if path.endswith(".png"))


def with_suppressed(action):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ValueError):
        action()
