"""Methods of gRPC services: parsing, running, answering, and what is the same for all of them."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import grpc

from kerastricks.serving.server.engine import Engine, off_loop
from kerastricks.serving.server.metrics import request_id
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.status import ServingError

Observer = Callable[[str, str, str, float, str], None]
"""Called after each request with its method, the model that it names ("" for none), the code, seconds and its id."""

_MOST_DETAILS = 1000  # characters of an error: more than a few thousand do not fit into a trailer
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Args:
        request: class of its request.
        answer: returns the answer to one, or raises ServingError; a coroutine function where its place is the queue.
        model: returns the name of the model that a request is for.
        place: where it runs: in the engine's "queue"; at once in the event "loop", since a server with a full queue is
            alive; or in a "thread" of its own, where it takes longer than requests may.
    """

    request: Any
    answer: Callable[[Models, Any], Any]
    model: Callable[[Any], str] = lambda request: ""
    place: Literal["loop", "queue", "thread"] = "loop"


class Service:
    """Common part of the methods of all services: the token, request ids, codes of errors, and the observer.

    Args:
        engine: runs the requests.
        token: that clients have to send as metadata, `authorization: Bearer TOKEN`; None for none.
        observe: called after each request.
    """

    def __init__(self, engine: Engine, token: str | None = None, observe: Observer | None = None) -> None:
        self._engine = engine
        self._token = None if token is None else f"Bearer {token}".encode()
        self._observe = observe

    def handler(self, name: str, methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
        """Handler of the service `name`, for `grpc.aio.Server.add_generic_rpc_handlers`."""
        calls = {
            key: grpc.unary_unary_rpc_method_handler(self._call(f"{name}/{key}", method))
            for key, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(name, calls)

    def _call(self, api: str, method: Method) -> Callable[[bytes, Any], Any]:
        async def call(message: bytes, context: Any) -> bytes:
            began = time.monotonic()
            metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
            its_id = request_id(metadata.get("x-request-id", ""))
            await context.send_initial_metadata((("x-request-id", its_id),))
            code, problem, answer, model = "OK", "", b"", [""]
            try:
                self._check_token(metadata.get("authorization", ""))
                answer = await self._run(method, message, model, context.time_remaining())
            except ServingError as error:
                code, problem = error.code, str(error)
            except asyncio.CancelledError:
                code = "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
                raise
            except Exception:
                _log.exception("request %s to %s failed", its_id, api)
                code, problem = "INTERNAL", f"internal error: the server's log has it as request {its_id}"
            finally:
                if self._observe is not None:
                    self._observe(api, model[0], code, time.monotonic() - began, its_id)
            if code != "OK":
                await context.abort(grpc.StatusCode[code], problem[:_MOST_DETAILS])
            return answer

        return call

    async def _run(self, method: Method, message: bytes, model: list[str], seconds: float | None) -> bytes:
        async def job() -> Any:
            request = await off_loop(len(message), _parse, method.request, message)
            model[0] = method.model(request)
            if method.place == "queue":
                return await method.answer(self._engine.models, request)
            if method.place == "thread":
                return await asyncio.to_thread(method.answer, self._engine.models, request)
            return method.answer(self._engine.models, request)

        answer = await (self._engine.run(job(), timeout=seconds) if method.place == "queue" else job())
        written: bytes = answer.SerializeToString()
        return written

    def _check_token(self, given: str) -> None:
        if self._token is not None and not hmac.compare_digest(given.encode(), self._token):
            raise ServingError("UNAUTHENTICATED", "metadata must have the server's token, authorization: Bearer TOKEN")


def _parse(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except Exception:  # protobuf's DecodeError, whose class depends on its implementation
        raise ServingError("INVALID_ARGUMENT", f"the message is no {kind.DESCRIPTOR.name}") from None
