"""Requests that `serving_soak.py` sends to be refused, each with the answers that are right for it."""

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

# What a fault ends in where no status came: the server closed the connection, or did nothing for so long.
CLOSED, HANGS = "closed", "hangs"
PATIENCE_SECONDS = 60.0


@dataclass
class Fault:
    """A bad request.

    Args:
        send: sends it, and returns the status that came back: "400", a gRPC code's name, `CLOSED`.
        expected: those that are right.
        weight: how often it is sent, compared with others.
    """

    send: Callable[[], Awaitable[str]]
    expected: set[str]
    weight: float = 1.0


def http(path: str, body: bytes, headers: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {size}\r\n\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Status and body of an HTTP answer.

    Raises:
        ConnectionError: where the server closed the connection before one came.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]) if b"content-length:" in head else 0
        return head.split(b" ", 2)[1].decode(), await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("closed before the answer") from None


class Faults:
    """Bad requests for a model.

    Args:
        rest_port: of the server.
        predict: gRPC's Predict as a function of the message's bytes, which raises AioRpcError.
        name: of the model.
        image: a good JPEG.
    """

    def __init__(self, rest_port: int, predict: Callable[..., Awaitable[bytes]], name: str, image: bytes) -> None:
        self.port, self.predict, self.name = rest_port, predict, name
        v1, v2 = f"/v1/models/{name}:predict", f"/v2/models/{name}/infer"
        broken = image[: len(image) // 2]
        good = http(v1, rows(image))
        tall = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
        large = base64.b64encode(bytes(15_000_000))
        refused = {"400"}
        invalid = {"INVALID_ARGUMENT"}
        self.all: dict[str, Fault] = {
            "truncated JPEG, v1": self._over_rest(http(v1, rows(broken)), refused, 4),
            "truncated JPEG, v2": self._over_rest(infer(v2, broken), refused, 4),
            "truncated JPEG, gRPC": self._over_grpc(tensor([broken]), invalid, 4),
            "good and truncated in one, v1": self._over_rest(http(v1, rows(image, broken)), refused, 2),
            "PNG of 100,000 x 100,000, v1": self._over_rest(http(v1, rows(tall)), refused),
            "PNG of 100,000 x 100,000, gRPC": self._over_grpc(tensor([tall]), invalid),
            "no image, v2": self._over_rest(infer(v2, b"no image"), refused),
            "empty image, v1": self._over_rest(http(v1, rows(b"")), refused),
            "wrong dtype, v2": self._over_rest(infer(v2, bytes(4), datatype="FP32"), refused, 2),
            "wrong dtype, gRPC": self._over_grpc(tensor([1.5]), invalid, 2),
            "wrong input name, v2": self._over_rest(infer(v2, image, name="pixels"), refused),
            "wrong input name, gRPC": self._over_grpc(tensor([image], key="pixels"), invalid),
            "two images announced, one sent, v2": self._over_rest(infer(v2, image, count=2), refused),
            "binary size beyond the body, v2": self._over_rest(infer(v2, image, size=10**9), refused),
            "header length beyond the body, v2": self._over_rest(infer(v2, image, head_length="999999"), refused),
            "negative header length, v2": self._over_rest(infer(v2, image, head_length="-5"), refused),
            "huge shape without content, gRPC": self._over_grpc(huge_shape(), invalid),
            "empty message, gRPC": self._over_grpc(b"", {"INVALID_ARGUMENT", "NOT_FOUND"}),
            "unknown model, v1": self._over_rest(http("/v1/models/nobody:predict", rows(image)), {"404"}, 2),
            "unknown model, v2": self._over_rest(infer("/v2/models/nobody/infer", image), {"404"}, 2),
            "unknown model, gRPC": self._over_grpc(tensor([image], model="nobody"), {"NOT_FOUND"}, 2),
            "unknown version, v1": self._over_rest(
                http(f"/v1/models/{name}/versions/999999:predict", rows(image)), {"404"}
            ),
            "no base64, v1": self._over_rest(http(v1, b'{"instances": [{"b64": "%%%"}]}'), refused),
            "no JSON, v1": self._over_rest(http(v1, b"instances"), refused),
            "empty body, v1": self._over_rest(http(v1, b""), refused),
            "100,000 brackets, v1": self._over_rest(http(v1, b'{"instances": ' + b"[" * 100_000), refused),
            "100,000 closed brackets, v1": self._over_rest(
                http(v1, b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), refused
            ),
            "100,000 brackets, v2": self._over_rest(http(v2, b'{"inputs": ' + b"[" * 100_000), refused),
            "number of 100,000 digits, v1": self._over_rest(
                http(v1, b'{"instances": [' + b"9" * 100_000 + b"]}"), refused
            ),
            "1e999999, v2": self._over_rest(
                http(v2, b'{"inputs": [{"name": "bytes", "shape": [1e999999], "datatype": "BYTES", "data": ["a"]}]}'),
                refused,
            ),
            "20 MB that are no image, v1": self._over_rest(
                http(v1, b'{"instances": [{"b64": "' + large + b'"}]}'), {"400", "413"}, 0.2
            ),
            "20 MB that are no image, gRPC": self._over_grpc(
                tensor([bytes(20_000_000)]), {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}, 0.2
            ),
            "1 TB announced, v1": self._over_rest(http(v1, b"{", length=10**12), {"400", "413", CLOSED}),
            "negative length, v1": self._over_rest(http(v1, b"{}", length=-1), {"400", CLOSED}),
            "no HTTP": self._over_rest(b"\x00\xff" * 50 + b"\r\n\r\n", {"400", CLOSED}),
            "slow sender, v1": Fault(lambda: self._slowly(good), {"200", "408", CLOSED}, 0.5),
            "half a request, then silence, v1": Fault(lambda: self._raw(good[:-50]), {"408", CLOSED}, 0.1),
            "half-closed after the request, v1": Fault(lambda: self._raw(good, eof=True), {"200", CLOSED}),
            "half-closed inside the request, v1": Fault(lambda: self._raw(good[:-50], eof=True), {"400", CLOSED}),
            "gone without reading, v1": Fault(lambda: self._gone(good), {CLOSED}, 2),
        }

    def _over_rest(self, data: bytes, expected: set[str], weight: float = 1.0) -> Fault:
        return Fault(lambda: self._raw(data), expected, weight)

    def _over_grpc(self, message: bytes, expected: set[str], weight: float = 1.0) -> Fault:
        async def send() -> str:
            import grpc

            try:
                await self.predict(message, timeout=PATIENCE_SECONDS)
            except grpc.aio.AioRpcError as error:
                return HANGS if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else error.code().name
            return "OK"

        return Fault(send, expected, weight)

    async def _raw(self, data: bytes, eof: bool = False) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with suppress(ConnectionError):  # an answer may come before all was sent
                    writer.write(data)
                    await writer.drain()
                    if eof:
                        writer.write_eof()
                return (await read_answer(reader))[0]
        except TimeoutError:
            return HANGS
        except (ConnectionError, OSError):
            return CLOSED
        finally:
            writer.close()

    async def _slowly(self, data: bytes) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        piece = -(-len(data) // 16)
        try:
            for start in range(0, len(data), piece):
                writer.write(data[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0.5)
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await read_answer(reader))[0]
        except TimeoutError:
            return HANGS
        except (ConnectionError, OSError):
            return CLOSED
        finally:
            writer.close()

    async def _gone(self, data: bytes) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await asyncio.sleep(0.001)
        writer.transport.abort()
        return CLOSED


def rows(*images: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}).encode()


def infer(
    path: str,
    content: bytes,
    name: str = "bytes",
    datatype: str = "BYTES",
    count: int = 1,
    size: int | None = None,
    head_length: str | None = None,
) -> bytes:
    """An infer request of the Open Inference Protocol with its binary extension, with chosen faults."""
    raw = struct.pack("<I", len(content)) + content if datatype == "BYTES" else content
    parameters = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps(
        {"inputs": [{"name": name, "shape": [count], "datatype": datatype, "parameters": parameters}]}
    ).encode()
    return http(path, head + raw, f"Inference-Header-Content-Length: {head_length or len(head)}\r\n")


def tensor(values: list[bytes] | list[float], key: str = "bytes", model: str = "soak") -> bytes:
    """A Predict request."""
    request = predict_pb2.PredictRequest(output_filter=["probabilities"])
    request.model_spec.name = model
    request.inputs[key].CopyFrom(tf.make_tensor_proto(values, shape=[len(values)]))
    return request.SerializeToString()


def huge_shape() -> bytes:
    request = predict_pb2.PredictRequest.FromString(tensor([b"x"]))
    request.inputs["bytes"].tensor_shape.dim[0].size = 2**40
    return request.SerializeToString()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
