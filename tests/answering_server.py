"""A small HTTP server that answers as a model server does, or as a test wants."""

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Classifies by the name of a model.

    Args:
        models: those of its list; None for a server that has no list.
        token: that it asks for.
        before: (status, headers) of the first answers, which are sent instead.
    """

    daemon_threads = True

    def __init__(self, models=("digits",), token=None, before=()):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.token, self.before, self.asked = models, token, list(before), []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, path, body):
        if path == "/v2/repository/index":
            if self.models is None:
                return 404, {"error": "Malformed request"}
            return 200, [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in self.models]
        name = path.removeprefix("/v1/models/").partition(":")[0]
        if name.partition("/")[0] not in (self.models or ("digits",)):
            return 404, {"error": f"Servable not found for request: Latest({name})"}
        contents = base64.b64decode(body["instances"][0]["bytes"]["b64"])
        if len(contents) % 2:
            return 400, {"error": "an odd image\nwith a second line"}
        share = 0.75 if contents.startswith(b"\x89PNG") else 0.125
        row = {"probabilities": [1 - share, share], "classes": ["jpeg", "png"]}
        return 200, {"predictions": [{**row, "label": "png" if share > 0.5 else "jpeg"}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers.get("authorization")))
        headers = {}
        if self.server.before:
            status, headers = self.server.before.pop(0)
            content = {"error": f"sent before: {status}"}
        elif self.server.token and self.headers.get("authorization") != f"Bearer {self.server.token}":
            status, content = 401, {"error": "a token is needed"}
        else:
            status, content = self.server.answer(self.path, body)
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def answering(**options):
    """A server in a thread, until the block ends."""
    server = Server(**options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
