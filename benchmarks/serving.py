"""`kerastricks serve` against MLServer and KServe's Python SDK, with one SavedModel, on the same cores in turn.

python benchmarks/serving.py --work DIR [--data cifar10.zip] [--run RUN] [--connections 1 16 64] [--rounds 5] [--quick]

All servers stay loaded; each row is measured for `--seconds` in every round, the rows in turn, so that a machine that
slows down slows all of them. The load comes from another process on the same cores. Each request is one JPEG. Every
answer is compared with the SavedModel called in this process. Peers get environments of their own in DIR (2 GB each),
made at the first run. "bare model" is the SavedModel called in this process, one JPEG after the other.
"""

import argparse
import io
import os
import pickle
import shutil
import signal
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from serving_load import Load, Outcome
from serving_servers import HERE, NAME, ROWS, Row, Server, free_port, start

TOLERANCE = 1e-4
BARE = "bare model"


def jpegs(data: Path | None, count: int) -> list[bytes]:
    """JPEG files: of the zip, spread over its test images, or else of smooth noise at 32x32."""
    if data is not None:
        with zipfile.ZipFile(data) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
            names = [name for name in names if name.startswith("test/")] or names
            return [archive.read(name) for name in names[:: max(1, len(names) // count)][:count]]
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), "uint8"))
        file = io.BytesIO()
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(file, "JPEG", quality=75)
        made.append(file.getvalue())
    return made


def export(run: Path | None, models: Path) -> None:
    """Put the newest SavedModel of the run, or a ResNet-20 with seeded weights at 32x32, into `models`/NAME/1."""
    shutil.rmtree(models / NAME, ignore_errors=True)
    if run is not None:
        newest = max((path for path in run.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        shutil.copytree(newest, models / NAME / "1")
        return
    import keras

    import kerastricks
    from kerastricks.serving import export_saved_model

    keras.utils.set_random_seed(0)
    model = kerastricks.models.create("resnet_20", (32, 32, 3), 10, mean=127.5, std=60.0)
    models.mkdir(parents=True, exist_ok=True)
    model.save(models / "model.keras")
    export_saved_model(models / "model.keras", [f"class {index}" for index in range(10)], models / NAME)
    (models / "model.keras").unlink()


class Bare:
    """The SavedModel in this process."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        self.constant = tf.constant
        self.loaded = tf.saved_model.load(str(folder))
        self.signature = self.loaded.signatures["serving_default"]

    def __call__(self, image: bytes) -> np.ndarray:
        return self.signature(bytes=self.constant([image]))["probabilities"].numpy()[0]

    def measure(self, images: list[bytes], seconds: float) -> Outcome:
        outcome = Outcome(seconds=seconds)
        end = time.perf_counter() + seconds
        while (since := time.perf_counter()) < end:
            self(images[len(outcome.latencies) % len(images)])
            outcome.latencies.append(time.perf_counter() - since)
        return outcome


def generate(load: Load, work: Path) -> Outcome:
    """Run the load generator in its process."""
    (work / "load.pickle").write_bytes(pickle.dumps(vars(load)))
    limit = load.warm_up_seconds + load.seconds + 120
    subprocess.run([sys.executable, HERE / "serving_load.py", work], check=True, timeout=limit)
    return Outcome(**pickle.loads((work / "outcome.pickle").read_bytes()))


def wrong_answers(row: Row, outcome: Outcome, expected: list[np.ndarray]) -> int:
    wrong = 0
    for index, body in outcome.answers:
        found = row.decode(body)
        wrong += found.shape != expected[index].shape or not np.abs(found - expected[index]).max() <= TOLERANCE
    return wrong


def ceiling(work: Path, requests: list[bytes], connections: int, seconds: float) -> None:
    """Print what the load generator reaches at a server that does nothing."""
    port = free_port()
    echo = subprocess.Popen([sys.executable, HERE / "serving_load.py", "--echo", str(port), "500"])
    time.sleep(1)
    try:
        outcome = generate(Load("http", ("127.0.0.1", port), requests, "", connections, 0.5, seconds), work)
    finally:
        echo.kill()
        echo.wait()
    rate = len(outcome.latencies) / seconds
    print(f"load generator alone, {connections} connections: {rate:,.0f} requests/s of a server that does nothing")


def row_load(row: Row, server: Server, requests: list[bytes], connections: int, seconds: float) -> Load:
    port = server.rest_port if row.protocol == "http" else server.grpc_port
    return Load(row.protocol, ("127.0.0.1", port), requests, row.method, connections, min(1.0, seconds / 2), seconds)


def figures(outcome: Outcome) -> tuple[float, float, float]:
    """Requests per second, median and 99th percentile in milliseconds."""
    if not outcome.latencies:
        return 0.0, float("nan"), float("nan")
    median, high = np.percentile(outcome.latencies, [50, 99]) * 1000
    return len(outcome.latencies) / outcome.seconds, float(median), float(high)


def show(connections: int, found: dict[str, list[tuple[float, float, float]]], faults: dict[str, list[int]]) -> None:
    """A table of medians over rounds, with throughput as a multiple of each peer's best row, paired by round."""
    peers = {
        kind: max(names, key=lambda name: statistics.median(rate for rate, *_ in found[name]))
        for kind in ("MLServer", "KServe")
        if (names := [name for name in found if name.startswith(kind)])
    }
    head = ["", "requests/s (median)", "min - max", "median ms", "p99 ms", *(f"x '{one}'" for one in peers.values())]
    head += ["errors", "wrong"]
    print(f"\n{connections} connection{'s' * (connections > 1)}\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, rounds in found.items():
        rates = [rate for rate, *_ in rounds]
        median, high = (statistics.median(one[column] for one in rounds) for column in (1, 2))
        ratios = [
            statistics.median(a[0] / b[0] if b[0] else float("nan") for a, b in zip(rounds, found[peer], strict=True))
            for peer in peers.values()
        ]
        cells = [name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} - {max(rates):,.0f}"]
        cells += [f"{median:.3g}", f"{high:.3g}", *(f"{one:.2f}" for one in ratios), *map(str, faults[name])]
        print(f"| {' | '.join(cells)} |")


def compare(arguments: argparse.Namespace, work: Path) -> None:
    models = work / "models"
    export(arguments.run, models)
    images = jpegs(arguments.data, 128)
    bare = Bare(models / NAME / "1")
    expected = [bare(image) for image in images]
    sizes = sorted(map(len, images))
    print(f"{len(images)} JPEG files of {sizes[0]} to {sizes[-1]} bytes; cores: {len(os.sched_getaffinity(0))}")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    rows = {name: row for name, row in ROWS.items() if row.kind in arguments.servers}
    requests = {name: [row.encode(image) for image in images] for name, row in rows.items()}
    for connections in arguments.connections:
        ceiling(work, next(iter(requests.values())), connections, arguments.seconds)
    servers: dict[str, Server] = {}
    try:
        for kind in arguments.servers:
            servers[kind] = start(kind, models, work, arguments.own_option)
        for name, row in rows.items():  # programs for every size of batch, threads, buffers
            generate(row_load(row, servers[row.kind], requests[name], 16, 2 * arguments.seconds), work)
        for connections in arguments.connections:
            found: dict[str, list[tuple[float, float, float]]] = {}
            faults: dict[str, list[int]] = {}
            for _ in range(arguments.rounds):
                if connections == 1:
                    found.setdefault(BARE, []).append(figures(bare.measure(images, arguments.seconds)))
                    faults[BARE] = [0, 0]
                for name, row in rows.items():
                    load = row_load(row, servers[row.kind], requests[name], connections, arguments.seconds)
                    outcome = generate(load, work)
                    found.setdefault(name, []).append(figures(outcome))
                    count = faults.setdefault(name, [0, 0])
                    count[0] += len(outcome.errors)
                    count[1] += wrong_answers(row, outcome, expected)
                    if outcome.errors:
                        print(f"{name}: {outcome.errors[0]}", file=sys.stderr)
            show(connections, found, faults)
            if connections == 1:
                bare_median = statistics.median(one[1] for one in found[BARE])
                print(f"\n1.1 x the bare model's median and 3 ms: {1.1 * bare_median + 3:.3g} ms")
    finally:
        for server in servers.values():
            server.stop()
    print(f"\nload of the machine after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of environments, models and logs")
    parser.add_argument("--data", type=Path, help="zip of JPEG files, such as cifar10.zip")
    parser.add_argument("--run", type=Path, help="run folder whose newest SavedModel is served")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--servers", nargs="+", default=["kerastricks", "mlserver", "kserve"])
    parser.add_argument("--own-option", action="append", default=[], help="for the server: --own-option=--latest=2")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are not left behind
    compare(options, options.work)
