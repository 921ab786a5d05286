"""The same JPEGs from a folder, a zip, shards, Parquet and tars: reading alone, and training batches.

python benchmarks/sources.py [--images 2000]         images a second, beside the folder's
python benchmarks/sources.py --rows 10000 1000000    first batch and memory, once the index is there

Rounds alternate between the sources; the table has medians. Memory is what the process holds by itself (anonymous),
mapped are the pages of files that it has touched: of the index and the images, but also of the programs. They are the
system's cache, which it takes back where memory is short.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ROUNDS = 5
FIRST_BATCH = """
import sys, time
import keras, kerastricks
from kerastricks.data.pipeline.batches import Batches
from kerastricks.data.pipeline.stages import StagedOps
from kerastricks.data.sources.reading import find_source
from kerastricks.data.statistics import PixelStatistics
from kerastricks.augment.op import ImageSpec
def first_batch(path):
    batches = Batches(find_source(path).splits["train"], (8, 8, 3), 128, 0)
    return next(iter(batches.training_from(StagedOps("", ImageSpec((8, 8, 3), 10, PixelStatistics(3)), 0), 5)))
first_batch(sys.argv[2])  # imports and functions that are traced once are not the source's
start = time.perf_counter()
first_batch(sys.argv[1])
print(time.perf_counter() - start)
def memory(key):
    with open("/proc/self/smaps_rollup") as file:
        lines = dict(line.split(":") for line in list(file)[1:])
    return int(lines[key].split()[0]) * 1024 / 1e6
print(memory("Anonymous"), memory("Rss") - memory("Anonymous"))
"""


def write_folder(folder, count):
    generator = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"{index % 10:02}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(generator.integers(0, 256, (60, 80, 3)).astype("uint8"))
        small.resize((320, 240)).save(path, quality=95)


def write_sources(root, count):
    """Path of each source."""
    import pyarrow.parquet as pq

    from kerastricks import data

    folder = root / "folder"
    write_folder(folder, count)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for file in sorted(folder.rglob("*.jpg")):
            archive.write(file, file.relative_to(folder))
    for name in ("tfrecord", "webdataset", "parquet"):
        data.pack(folder, root / name, format=name, shard_mb=32)
    compressed = root / "parquet, snappy, groups of 100"
    compressed.mkdir()
    for file in (root / "parquet").glob("*.parquet"):
        pq.write_table(pq.read_table(file), compressed / file.name, row_group_size=100, compression="snappy")
    return {
        "folder": folder,
        "zip": root / "images.zip",
        "shards (TFRecord)": root / "tfrecord",
        "tar": root / "webdataset",
        "Parquet": root / "parquet",
        "Parquet, snappy, row groups of 100": compressed,
    }


def measure(sources, kept_bytes):
    from kerastricks import data
    from kerastricks.data.sources import parquet
    from kerastricks.data.sources.reading import find_source

    parquet._KEPT_BYTES = kept_bytes
    found = {name: find_source(path).splits["train"] for name, path in sources.items()}
    loaded = {name: data.load(path, image_size=64, memory_bytes=0) for name, path in sources.items()}
    order = np.random.default_rng(0).permutation(len(found["folder"]))
    reading = {name: [] for name in sources}
    training = {name: [] for name in sources}
    for _ in range(ROUNDS):
        for name, files in found.items():
            start = time.perf_counter()
            for index in order.tolist():
                files.read(index)
            reading[name].append(len(order) / (time.perf_counter() - start))
        for name, images in loaded.items():
            start = time.perf_counter()
            count = sum(len(labels) for _, labels in images.train)
            training[name].append(count / (time.perf_counter() - start))
    print(f"{'source':36}{'reads/s':>10}{'ratio':>8}{'trained on/s':>14}{'ratio':>8}")
    for name in sources:
        read, trained = statistics.median(reading[name]), statistics.median(training[name])
        ratios = [
            statistics.median(a / b for a, b in zip(rates[name], rates["folder"], strict=True))
            for rates in (reading, training)
        ]
        print(f"{name:36}{read:10,.0f}{ratios[0]:8.2f}{trained:14,.0f}{ratios[1]:8.2f}")


def many_rows(root, count):
    """A Parquet file and a tar of small images: what matters is how many there are."""
    import io
    import tarfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    images = []
    for seed in range(100):
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype("uint8")).save(buffer, "PNG")
        images.append(buffer.getvalue())
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())])
    paths = [root / f"{count}.parquet", root / f"{count}.tar"]
    with pq.ParquetWriter(paths[0], schema, compression="none", use_dictionary=False) as file:
        for start in range(0, count, 1000):
            rows = range(start, min(start + 1000, count))
            columns = {"image": [images[row % 100] for row in rows], "label": [row % 10 for row in rows]}
            file.write_table(pa.table(columns, schema=schema))
    with tarfile.open(paths[1], "w") as tar:
        for row in range(count):
            for name, contents in ((f"{row:08}.png", images[row % 100]), (f"{row:08}.cls", b"%d" % (row % 10))):
                member = tarfile.TarInfo(name)
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
            tar.members = []
    return paths


def measure_rows(root, counts):
    from kerastricks.data.sources.reading import find_source

    few = many_rows(root, 1000)[0]
    print(f"{'source':20}{'index':>10}{'first batch':>14}{'memory':>14}{'mapped':>14}")
    for count in counts:
        for path in many_rows(root, count):
            start = time.perf_counter()
            find_source(path)
            index = time.perf_counter() - start
            done = subprocess.run(
                [sys.executable, "-c", FIRST_BATCH, str(path), str(few)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            first, memory, mapped = map(float, done.stdout.split())
            print(f"{path.name:20}{index:8.1f} s{first:12.2f} s{memory:11,.0f} MB{mapped:11,.0f} MB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="*")
    parser.add_argument("--kept-mb", type=float, default=256, help="row groups kept, to see what no longer fits")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["KERASTRICKS_CACHE"] = f"{name}/cache"
        if arguments.rows:
            measure_rows(Path(name), arguments.rows)
        else:
            measure(write_sources(Path(name), arguments.images), arguments.kept_mb * 1e6)
