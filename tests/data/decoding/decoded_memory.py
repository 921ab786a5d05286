"""Prints how many bytes of memory decoded images take: python decoded_memory.py FOLDER CACHE, a process of its own.

In a process that ran other tests the allocator gives out what those freed, so that the difference says nothing.
"""

import gc
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerastricks.data.decoding import pixels as originals
from kerastricks.data.decoding.decoded_cache import open_decoded
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.source import Files
from kerastricks.progress import silent

PLENTY = 1 << 40


def anonymous_bytes():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) * 1024


def looked_at(root, names):
    found = Files(names, np.zeros(len(names), np.int32), FolderReader(root))
    headers = read_headers(found, 10**8, "", silent)
    return Files(found.names, found.labels, found.reader, headers.sizes), headers.checksums


def main(root, cache):
    originals._PARALLEL_CALLS = 2
    names = sorted(path.name for path in root.iterdir())
    images = looked_at(root, names)
    few = looked_at(root, names[:8])
    peak = 0

    @contextmanager
    def progress(description, count):
        def advance(done):
            nonlocal peak
            peak = max(peak, anonymous_bytes())

        yield advance

    def read_all(decoded, count):
        whole = tf.data.Dataset.range(count).map(
            lambda index: tf.reduce_sum(tf.cast(decoded.window(index, 0, 0, 520, 520), tf.int32))
        )
        return [int(number) for number in whole]

    def opened(images, cache_dir=None, memory_bytes=0):
        files, checksums = images
        return open_decoded(files, 3, cache_dir, memory_bytes, PLENTY, progress, checksums)

    read_all(opened(few, memory_bytes=PLENTY), 8)  # what TensorFlow keeps from then on
    gc.collect()
    before = peak = anonymous_bytes()
    decoded = opened(images, cache)
    sums = read_all(decoded, len(names))
    in_file = max(peak, anonymous_bytes()) - before
    decoded = opened(images, memory_bytes=PLENTY)
    same = read_all(decoded, len(names)) == sums
    in_memory = anonymous_bytes() - before
    at_most = peak - before
    del decoded
    gc.collect()
    afterwards = anonymous_bytes() - before
    seen = {"in_file": in_file, "in_memory": in_memory, "at_most": at_most, "afterwards": afterwards, "same": same}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
