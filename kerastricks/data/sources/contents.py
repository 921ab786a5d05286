"""Contents of files as TensorFlow functions of their indices: by the reader in Python, or by TensorFlow itself."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerastricks.data.sources.extents import ExtentReader
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.shards import ShardReader
from kerastricks.data.sources.source import UNREADABLE, Files


def read_contents(files: Files, or_empty: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a TensorFlow function from indices (n,) to the contents of those files (n,), which calls their reader.

    Args:
        files: to read.
        or_empty: whether a file that cannot be read gives no bytes, instead of an error for all of them.
    """

    def read_one(index: int) -> bytes:
        try:
            return files.read(index)
        except UNREADABLE:
            if or_empty:
                return b""
            raise

    def read(indices: np.ndarray) -> np.ndarray:
        return np.array([read_one(i) for i in indices.tolist()], dtype=object)

    def from_indices(indices: tf.Tensor) -> tf.Tensor:
        contents = tf.numpy_function(read, [indices], tf.string, stateful=False)
        contents.set_shape(indices.shape)
        return contents

    return from_indices


def read_in_graph(files: Files) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a TensorFlow function from the index of a file, a scalar, to its contents, which needs no Python.

    It does not wait for Python's lock, and runs in other processes too. The checksums of shards are not compared.

    Args:
        files: files of a folder, of a table, in shards, or in other large files where all have offsets.
    """
    if isinstance(files.reader, FolderReader):
        root = os.path.abspath(files.reader.path)
        paths = tf.constant([os.fsencode(os.path.join(root, name)) for name in files.names])
        return lambda index: tf.io.read_file(tf.gather(paths, index))
    if isinstance(files.reader, ExtentReader):
        shards, columns = files.reader.files, files.reader.index
        rows = np.array([files.reader.find(name) for name in files.names], np.int64)
        shard, offset, size = (columns[name][rows].astype(np.int64) for name in ("file", "offset", "size"))
    else:
        assert isinstance(files.reader, ShardReader)
        reader = files.reader
        shards = [os.path.join(os.path.abspath(reader.path), name) for name in reader.shards]
        records = np.array([reader.records[name] for name in files.names], np.int64).reshape(len(files), 5)
        shard, offset, size = records[:, 0], records[:, 2], records[:, 3]
    sizes = np.array([os.path.getsize(shard) for shard in shards], np.int64)
    shard_paths = tf.constant([os.fsencode(shard) for shard in shards])
    # A file of one record, with the bytes before it as its header and those after it as its footer.
    layout = tf.constant(np.stack([shard, offset, size, sizes[shard] - offset - size], axis=1))

    def read_one(index: tf.Tensor) -> tf.Tensor:
        row = tf.gather(layout, index)
        record = tf.data.FixedLengthRecordDataset(
            tf.gather(shard_paths, row[0]), record_bytes=row[2], header_bytes=row[1], footer_bytes=row[3]
        )
        return record.get_single_element()

    return read_one
