"""The HTTP side: limits of size and time, the token, request ids and the routes of all APIs."""

import asyncio
import hmac
import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kerastricks.serving.server import open_inference, openapi, page, rest
from kerastricks.serving.server.engine import Engine
from kerastricks.serving.server.metrics import Observer, request_id
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError

# A prober has no token, and the page asks for it.
_OPEN = {"/", "/v2/health/live", "/v2/health/ready"}


def application(engine: Engine, options: ServeOptions, observer: Observer) -> ASGIApp:
    """The application of Starlette, within its limits."""

    async def metrics(_: Request) -> Response:
        text = observer.text(engine.running, engine.models.ready() and not engine.draining)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def description(_: Request) -> Response:
        return rest.json_response(openapi.description(engine.models.names(), options.token is not None))

    routes = [
        *page.routes(),
        *rest.routes(engine),
        *open_inference.routes(engine),
        Route("/metrics", metrics),
        Route("/monitoring/prometheus/metrics", metrics),  # TensorFlow Serving's address
        Route("/openapi.json", description),
    ]
    handlers: dict[Any, Any] = {
        ServingError: _refused,
        _Refused: _refused_http,
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        Exception: _failed,
    }
    return _Limits(Starlette(routes=routes, exception_handlers=handlers), options, observer)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 of uvicorn, which ends a connection that does not send the header of a request.

    uvicorn waits for it without limit, so that a few hundred silent connections hold all descriptors.
    """

    header_seconds = 30.0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._have_header()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start to wait for the rest of a header."""
        super().on_message_begin()
        self._wait_for_header()

    def on_headers_complete(self) -> None:
        """Stop waiting: the body has limits of its own."""
        self._have_header()
        super().on_headers_complete()

    def _wait_for_header(self) -> None:
        self._have_header()
        self._header_timer = self.loop.call_later(self.header_seconds, self._give_up)

    def _have_header(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class _Refused(Exception):
    """A request that is refused while its body is read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Limits:
    """Around the application: what holds for every request."""

    def __init__(self, app: ASGIApp, options: ServeOptions, observer: Observer) -> None:
        self._app = app
        self._options = options
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        its_id = request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        status = 500
        body = _Body(receive, self._options)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", its_id.encode()))
            await send(message)

        try:
            refused = self._why_refused(scope, headers)
            if refused is not None:
                await refused(scope, receive, send_with_id)
            else:
                await self._app(scope, body.receive, send_with_id)
        finally:
            path = scope["path"]
            api = "v2" if path.startswith("/v2") else "rest" if path.startswith("/v1") else "page"
            model = scope.get("kerastricks.model", "") or scope.get("path_params", {}).get("m", "")
            client = (scope.get("client") or ("",))[0]
            more = {"method": scope["method"], "path": path[:500], "bytes": body.size, "client": client}
            self._observer.done(api, str(model), str(status), time.perf_counter() - began, its_id, **more)

    def _why_refused(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        if self._options.token is not None and scope["path"] not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, f"Bearer {self._options.token}".encode()):
                return rest.refused(ServingError("UNAUTHENTICATED", "send the token as Authorization: Bearer TOKEN"))
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._options.max_body:
            return _too_large(self._options.max_body)
        return None


class _Body:
    """The body of a request as it comes in, with limits of size and time."""

    def __init__(self, receive: Receive, options: ServeOptions) -> None:
        self._receive = receive
        self._options = options
        self._ends = asyncio.get_running_loop().time() + options.deadline
        self._complete = False
        self.size = 0

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # the end of the connection
        try:
            left = self._ends - asyncio.get_running_loop().time()
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            raise _Refused(408, f"the body was not sent within {self._options.deadline:g} s") from None
        self.size += len(message.get("body", b""))
        if self.size > self._options.max_body:
            raise _Refused(413, f"the body has more than {self._options.max_body} bytes")
        self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


def _too_large(limit: int) -> Response:
    return rest.json_response({"error": f"the body has more than {limit} bytes"}, 413, {"connection": "close"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return rest.refused(error)


async def _refused_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, _Refused)
    return rest.json_response({"error": str(error)}, error.status, {"connection": "close"})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"Malformed request: {request.method} {request.scope['path'][:200]}"
    return rest.json_response({"error": message}, error.status_code, dict(error.headers or {}))


async def _gone(_: Request, error: Exception) -> Response:
    return Response(status_code=499)  # for the log: nobody reads it


async def _failed(_: Request, error: Exception) -> Response:
    return rest.json_response({"error": f"internal error ({type(error).__name__})"}, 500)
