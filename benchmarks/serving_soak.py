"""Soak of `kerastricks serve`: good and bad requests over REST and gRPC while versions come and go.

python benchmarks/serving_soak.py --work DIR [--data cifar10.zip] [--requests 100000] [--swap-seconds 5]

Counts wrong answers (each is compared with the versions that were there while it was under way), good requests that
failed, and the statuses of bad ones; watches memory, descriptors and threads; stops the server with requests under way.
Exits with 1 where anything is not as it should be. All traffic stays on the loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import grpc
import keras
import numpy as np
import psutil
import tensorflow as tf
from serving import TOLERANCE, Bare, jpegs
from serving_faults import Faults, http, infer, read_answer, rows, tensor
from serving_servers import free_port
from tensorflow_serving.apis import predict_pb2

import kerastricks
from kerastricks.serving import export_saved_model

NAME = "soak"
VARIANTS = 4
GRACE_SECONDS = 15.0  # an answer may come from a version that left its folder so long before
RSS_LIMIT_MB = 50


class Versions:
    """Numbered versions on the disk, and what each answers.

    Args:
        folder: the model's folder.
        work: where the variants are exported once; they are the same network with other weights.
        images: JPEG files that are sent.
    """

    def __init__(self, folder: Path, work: Path, images: list[bytes]) -> None:
        self.folder, self.work = folder, work
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.expected = [self._export(number, images) for number in range(VARIANTS)]
        self.appeared: dict[int, float] = {}
        self.left: dict[int, float] = {}
        self.refused: set[int] = set()
        self.load_seconds: list[float] = []
        self.newest = 0

    def _export(self, number: int, images: list[bytes]) -> np.ndarray:
        base = self.work / "variants" / str(number)
        if not base.exists():
            keras.utils.set_random_seed(number)
            model = kerastricks.models.create("resnet_20", (32, 32, 3), 10, mean=127.5, std=60.0)
            base.parent.mkdir(parents=True, exist_ok=True)
            model.save(base.with_suffix(".keras"))
            export_saved_model(base.with_suffix(".keras"), [str(index) for index in range(10)], base)
        model = Bare(base / "1")
        return np.stack([model(image) for image in images])

    def add(self, broken: bool = False) -> int:
        """Put in the next number, under a temporary name first."""
        self.newest += 1
        begun = self.folder / f".tmp-{self.newest}"
        shutil.copytree(self.work / "variants" / str(self.newest % VARIANTS) / "1", begun)
        if broken:
            file = begun / ("saved_model.pb" if self.newest % 2 else "variables/variables.index")
            file.write_bytes(file.read_bytes()[:100])
            self.refused.add(self.newest)
        self.appeared[self.newest] = time.monotonic()
        begun.rename(self.folder / str(self.newest))
        return self.newest

    def remove(self, number: int) -> None:
        (self.folder / str(number)).rename(self.folder / f".tmp-{number}")
        shutil.rmtree(self.folder / f".tmp-{number}")
        self.left[number] = time.monotonic()

    def there(self) -> list[int]:
        """Good versions on the disk."""
        return sorted(number for number in self.appeared if number not in self.left and number not in self.refused)

    def explains(self, image: int, found: np.ndarray, since: float, version: int | None) -> bool:
        """Whether a version that was there between `since` and now, or the one that is named, answers so."""
        now = time.monotonic()
        for number, appeared in self.appeared.items():
            alive = appeared <= now and self.left.get(number, now) + GRACE_SECONDS >= since
            if alive and number not in self.refused and version in (None, number):
                expected = self.expected[number % VARIANTS][image]
                if found.shape == expected.shape and np.abs(found - expected).max() <= TOLERANCE:
                    return True
        return False


class Soak:
    """One run of it."""

    def __init__(self, arguments: argparse.Namespace, versions: Versions, images: list[bytes]) -> None:
        self.arguments, self.versions, self.images = arguments, versions, images
        self.rest_port, self.grpc_port = free_port(), free_port()
        self.random = random.Random(0)
        self.sent = Counter[str]()
        self.failed: list[str] = []
        self.wrong: list[str] = []
        self.statuses: dict[str, Counter[str]] = {}
        self.unexpected: list[str] = []
        self.measured: list[tuple[float, float, int, int]] = []
        self.reconnected = 0
        self.stop = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.stop.is_set() or self.sent.total() >= self.arguments.requests

    def start(self, log: Path) -> None:
        program = Path(sys.executable).with_name("kerastricks")
        options = ["--port", str(self.rest_port), "--grpc-port", str(self.grpc_port), *self.arguments.own_option]
        with log.open("w") as file:
            command = [program, "serve", str(self.versions.folder.parent), *options]
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        self.watched = psutil.Process(self.process.pid)

    async def status(self) -> dict[int, str]:
        """State of each version, by its number; empty where the server does not answer."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.rest_port)
            writer.write(f"GET /v1/models/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            _, body = await asyncio.wait_for(read_answer(reader), 20)
            writer.close()
            return {int(one["version"]): one["state"] for one in json.loads(body)["model_version_status"]}
        except (OSError, TimeoutError, KeyError, ValueError):
            return {}

    async def until_available(self, version: int, seconds: float = 120) -> bool:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and self.process.poll() is None:
            if (await self.status()).get(version) == "AVAILABLE":
                self.versions.load_seconds.append(time.monotonic() - begun)
                return True
            await asyncio.sleep(0.2)
        return False

    async def swap(self) -> None:
        """A new version every few seconds, every fifth one broken; the oldest goes when the new one is available."""
        swaps = 0
        while not self.over:
            await asyncio.sleep(self.arguments.swap_seconds)
            swaps += 1
            if swaps % 5 == 0:
                broken = await asyncio.to_thread(self.versions.add, True)
                await asyncio.sleep(self.arguments.swap_seconds)
                if (await self.status()).get(broken) == "AVAILABLE":
                    self.unexpected.append(f"broken version {broken} is said to be available")
                await asyncio.to_thread(self.versions.remove, broken)
                continue
            added = await asyncio.to_thread(self.versions.add)
            if not await self.until_available(added):
                self.unexpected.append(f"version {added} did not become available: {await self.status()}")
            while len(there := self.versions.there()) > 2:
                await asyncio.to_thread(self.versions.remove, there[0])

    def check(self, kind: str, image: int, since: float, probabilities: np.ndarray, version: int | None) -> None:
        if not self.versions.explains(image, probabilities, since, version):
            self.wrong.append(f"{kind}: image {image}, version {version}, on disk {self.versions.there()}")

    async def good_rest(self, kind: str, encode: Callable[[bytes], bytes]) -> None:
        """A keep-alive client; a connection that the server closed between requests is opened anew, once."""
        requests = [encode(image) for image in self.images]
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.over:
            image, since = self.random.randrange(len(self.images)), time.monotonic()
            self.sent[kind] += 1
            for _ in range(2):
                fresh = connection is None
                try:
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self.rest_port)
                    connection[1].write(requests[image])
                    status, body = await asyncio.wait_for(read_answer(connection[0]), 60)
                except (OSError, TimeoutError) as error:
                    connection = None
                    if fresh or isinstance(error, TimeoutError):
                        self.failed.append(f"{kind}: {error!r}")
                        break
                    self.reconnected += 1
                    continue
                if status != "200":
                    self.failed.append(f"{kind}: {status} {body[:200]!r}")
                else:
                    self.check(kind, image, since, *(rest_v1_answer if kind == "REST v1" else rest_v2_answer)(body))
                break
        if connection:
            connection[1].close()

    async def good_grpc(self, predict: Callable[..., Awaitable[bytes]]) -> None:
        requests = [tensor([image]) for image in self.images]
        while not self.over:
            image, since = self.random.randrange(len(self.images)), time.monotonic()
            self.sent["gRPC"] += 1
            try:
                response = predict_pb2.PredictResponse.FromString(await predict(requests[image], timeout=60))
            except grpc.aio.AioRpcError as error:
                self.failed.append(f"gRPC: {error.code().name} {error.details()}")
                continue
            version = response.model_spec.version.value if response.model_spec.HasField("version") else None
            self.check("gRPC", image, since, tf.make_ndarray(response.outputs["probabilities"])[0], version)

    async def bad(self, faults: Faults) -> None:
        names = list(faults.all)
        weights = [faults.all[name].weight for name in names]
        while not self.over:
            # A share of everything, however slow some of them are.
            if self.sent["bad"] > self.arguments.bad_share * self.sent.total():
                await asyncio.sleep(0.02)
                continue
            (name,) = self.random.choices(names, weights)
            self.sent["bad"] += 1
            try:
                status = await faults.all[name].send()
            except OSError as error:
                status = type(error).__name__
            self.statuses.setdefault(name, Counter())[status] += 1
            if status not in faults.all[name].expected:
                self.unexpected.append(f"{name}: {status}, expected {' or '.join(sorted(faults.all[name].expected))}")

    async def watch(self) -> None:
        """Memory in MB, descriptors and threads, every two seconds; a line of them every half minute."""
        begun = said = time.monotonic()
        while not self.over:
            with contextlib.suppress(psutil.Error):
                processes = [self.watched, *self.watched.children(recursive=True)]
                rss = sum(one.memory_info().rss for one in processes) / 2**20
                now = time.monotonic()
                self.measured.append((now - begun, rss, self.watched.num_fds(), self.watched.num_threads()))
                if now - said >= 30:
                    said = now
                    seconds, rss, files, threads = self.measured[-1]
                    print(
                        f"{seconds:5.0f} s  {self.sent.total():7,} requests  RSS {rss:6.0f} MB  {files} descriptors  "
                        f"{threads} threads  version {self.versions.newest}  wrong {len(self.wrong)}  "
                        f"failed {len(self.failed)}  unexpected {len(self.unexpected)}",
                        flush=True,
                    )
            if self.process.poll() is not None:
                self.unexpected.append(f"the server ended by itself with {self.process.returncode}")
                self.stop.set()
            if time.monotonic() - begun > 60 * self.arguments.minutes:
                print(f"stopped after {self.arguments.minutes} minutes, before all requests were sent")
                self.stop.set()
            await asyncio.sleep(2)

    async def drain(self) -> str:
        """SIGTERM with requests under way: those are answered, and the process ends with 0."""
        connections = [await asyncio.open_connection("127.0.0.1", self.rest_port) for _ in range(8)]
        data = http(f"/v1/models/{NAME}:predict", rows(*self.images[:16]))
        for _, writer in connections:
            writer.write(data)
        await asyncio.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        answers = await asyncio.gather(
            *(asyncio.wait_for(read_answer(reader), 60) for reader, _ in connections), return_exceptions=True
        )
        statuses = Counter(repr(one) if isinstance(one, BaseException) else one[0] for one in answers)
        if statuses != {"200": 8}:
            self.unexpected.append(f"requests under way at SIGTERM: {dict(statuses)}")
        for _, writer in connections:
            writer.close()
        try:
            code = await asyncio.to_thread(self.process.wait, 60)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            self.unexpected.append(f"exit code {code} at SIGTERM, expected 0")
        return (
            f"SIGTERM: 8 requests under way: {dict(statuses)}; exit code {code} after {time.monotonic() - begun:.1f} s"
        )

    async def run(self) -> str:
        self.versions.add()
        self.start(self.arguments.work / "soak.log")
        if not await self.until_available(1, 180):
            sys.exit("the server did not start:\n" + (self.arguments.work / "soak.log").read_text()[-3000:])
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc_port}", [("grpc.max_send_message_length", -1)])
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        faults = Faults(self.rest_port, predict, NAME, self.images[0])
        clients: list[Awaitable[None]] = []
        for _ in range(3):
            clients.append(self.good_rest("REST v1", lambda image: http(f"/v1/models/{NAME}:predict", rows(image))))
            clients.append(self.good_rest("REST v2", lambda image: infer(f"/v2/models/{NAME}/infer", image)))
            clients.append(self.good_grpc(predict))
            clients += [self.bad(faults), self.bad(faults)]
        await asyncio.gather(*clients, self.swap(), self.watch())
        drained = await self.drain() if self.process.poll() is None else "the server was gone before SIGTERM"
        await channel.close()
        return drained


def rest_v1_answer(body: bytes) -> tuple[np.ndarray, int | None]:
    return np.float32(json.loads(body)["predictions"][0]["probabilities"]), None


def rest_v2_answer(body: bytes) -> tuple[np.ndarray, int | None]:
    found = json.loads(body)
    (output,) = [one for one in found["outputs"] if one["name"] == "probabilities"]
    return np.float32(output["data"]).ravel(), int(found["model_version"]) if found.get("model_version") else None


def report(soak: Soak, drained: str) -> bool:
    """Print what was found; whether all is well."""
    print(f"\n{sum(soak.sent.values()):,} requests: " + ", ".join(f"{n:,} {kind}" for kind, n in soak.sent.items()))
    print(f"versions: {soak.versions.newest}, {len(soak.versions.refused)} of them broken; ", end="")
    print(f"seconds until available: median {statistics.median(soak.versions.load_seconds):.1f}, ", end="")
    print(f"largest {max(soak.versions.load_seconds):.1f}")
    print(f"wrong answers: {len(soak.wrong)}\nfailed good requests: {len(soak.failed)}")
    print(f"connections that were opened anew: {soak.reconnected}")
    for title, found in (("wrong", soak.wrong), ("failed", soak.failed), ("unexpected", soak.unexpected)):
        for text, count in Counter(found).most_common(12):
            print(f"  {title}: {count} x {text}")
    print("\n| bad request | answers |\n|---|---|")
    for name, counts in sorted(soak.statuses.items()):
        print(f"| {name} | {', '.join(f'{count} x {status}' for status, count in counts.most_common())} |")
    # The first third is warm-up: programs, buffers, versions that are kept.
    warm = soak.measured[len(soak.measured) // 3 :] or [(0.0, 0.0, 0, 0)]
    part = max(1, len(warm) // 5)
    first, last = (
        [statistics.median(one[i] for one in some) for i in (1, 2, 3)] for some in (warm[:part], warm[-part:])
    )
    largest = max(one[1] for one in warm)
    print(f"\nRSS {first[0]:.0f} MB after the warm-up, {last[0]:.0f} MB at the end; largest {largest:.0f}")
    print(f"descriptors {first[1]:.0f} and {last[1]:.0f}; threads {first[2]:.0f} and {last[2]:.0f}\n{drained}")
    grown = last[0] - first[0] > RSS_LIMIT_MB or last[1] - first[1] > 20
    return not (soak.wrong or soak.failed or soak.unexpected or grown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of models and logs")
    parser.add_argument("--data", type=Path, help="zip of JPEG files, such as cifar10.zip")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many, whatever was sent")
    parser.add_argument("--swap-seconds", type=float, default=5.0)
    parser.add_argument("--bad-share", type=float, default=0.15)
    parser.add_argument("--own-option", action="append", default=[], help="for the server: --own-option=--latest=2")
    options = parser.parse_args()
    options.work = options.work.resolve()
    pictures = jpegs(options.data, 64)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is not left behind
    run_of_it = Soak(options, Versions(options.work / "soak" / NAME, options.work, pictures), pictures)
    try:
        found = asyncio.run(run_of_it.run())
    finally:
        run_of_it.process.kill()
    sys.exit(0 if report(run_of_it, found) else 1)
