"""Load generator of `serving.py`, a process of its own: N connections that each send the next request on an answer.

python benchmarks/serving_load.py WORK      # what to send is in WORK, see `run`; answers go there too
python benchmarks/serving_load.py --echo PORT BYTES

Requests are bytes that were made before, answers are kept as bytes and decoded after the clock has stopped, so that
little but sockets is left to pay for: `--echo` is a server that answers at once, to measure the ceiling with.
"""

import asyncio
import pickle
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Load:
    """What to send where.

    Args:
        protocol: "http" or "grpc".
        target: host and port.
        requests: whole HTTP requests, or gRPC messages; sent in turn.
        method: of gRPC, "/package.Service/Method".
        connections: requests that are under way at any time.
        warm_up_seconds: sent before the clock starts.
        seconds: counted.
    """

    protocol: str
    target: tuple[str, int]
    requests: list[bytes]
    method: str = ""
    connections: int = 1
    warm_up_seconds: float = 1.0
    seconds: float = 4.0


@dataclass
class Outcome:
    """What came back.

    Args:
        latencies: seconds of each answer that came while the clock ran.
        answers: (index of the request, body) of them.
        errors: texts of failures, any time.
        seconds: how long the clock ran.
        cpu_seconds: CPU time of this process meanwhile.
    """

    latencies: list[float] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Clock:
    """Counts what is answered between the end of the warm-up and the end."""

    def __init__(self, load: Load, outcome: Outcome) -> None:
        self.load, self.outcome = load, outcome
        self.begin = time.perf_counter() + load.warm_up_seconds
        self.end = self.begin + load.seconds
        self.sent = 0

    def next(self) -> int | None:
        """The next request's index, or None when time is up."""
        if time.perf_counter() >= self.end:
            return None
        self.sent += 1
        return self.sent % len(self.load.requests)

    def answered(self, index: int, since: float, body: bytes) -> None:
        now = time.perf_counter()
        if self.begin <= now <= self.end:
            self.outcome.latencies.append(now - since)
            self.outcome.answers.append((index, body))


class Connection(asyncio.Protocol):
    """A keep-alive connection that sends, waits, and sends again."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.needed = -1
        self.index: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.index = self.clock.next()
        if self.index is None:
            self.transport.close()
            return
        self.since = time.perf_counter()
        self.transport.write(self.clock.load.requests[self.index])

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if self.needed < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                self.fail(f"no Content-Length: {head[:200]!r}")
                return
            length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            self.body, self.needed, self.status = end + 4, end + 4 + length, head.split(b" ", 2)[1]
        if len(self.buffer) >= self.needed:
            body, self.buffer, self.needed = self.buffer[self.body : self.needed], b"", -1
            if self.status == b"200":
                self.clock.answered(self.index, self.since, body)
            else:
                self.clock.outcome.errors.append(f"{self.status.decode()} {body[:200]!r}")
            self.send()

    def fail(self, reason: str) -> None:
        self.clock.outcome.errors.append(reason)
        self.index = None
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.index is not None:
            self.clock.outcome.errors.append(f"connection closed by the server: {error}")
        if not self.done.done():
            self.done.set_result(None)


async def over_http(load: Load, clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(clock), *load.target) for _ in range(load.connections)]
    await asyncio.wait_for(asyncio.gather(*(one.done for _, one in made)), load.warm_up_seconds + load.seconds + 60)


async def over_grpc(load: Load, clock: Clock) -> None:
    import grpc

    # Sixteen calls share a channel, as in a client with a pool.
    channels = [grpc.aio.insecure_channel("{}:{}".format(*load.target)) for _ in range(-(-load.connections // 16))]
    calls = [channel.unary_unary(load.method) for channel in channels]

    async def caller(number: int) -> None:
        call = calls[number % len(calls)]
        while (index := clock.next()) is not None:
            since = time.perf_counter()
            try:
                body = await call(load.requests[index], timeout=60)
            except grpc.aio.AioRpcError as error:
                clock.outcome.errors.append(f"{error.code().name} {error.details()}"[:200])
            else:
                clock.answered(index, since, body)

    await asyncio.gather(*(caller(number) for number in range(load.connections)))
    for channel in channels:
        await channel.close()


def run(work: Path) -> None:
    """Read a pickled `Load` from `work`/load.pickle, write its `Outcome` to `work`/outcome.pickle."""
    load = Load(**pickle.loads((work / "load.pickle").read_bytes()))
    outcome = Outcome(seconds=load.seconds)
    clock = Clock(load, outcome)
    before = time.process_time()
    asyncio.run((over_http if load.protocol == "http" else over_grpc)(load, clock))
    outcome.cpu_seconds = time.process_time() - before
    (work / "outcome.pickle").write_bytes(pickle.dumps(vars(outcome)))


class Echo(asyncio.Protocol):
    """Answers each request with the same bytes, without reading it."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(self.buffer[:end].lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self.buffer) >= end + 4 + length:
            self.buffer = b""
            self.transport.write(self.answer)


async def echo(port: int, size: int) -> None:
    Echo.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "--echo":
        asyncio.run(echo(int(sys.argv[2]), int(sys.argv[3])))
    else:
        run(Path(sys.argv[1]))
