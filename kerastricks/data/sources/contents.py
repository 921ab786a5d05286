"""Reads files in TensorFlow functions alone: without Python's lock, and in processes that are not this one."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.shards import ShardReader
from kerastricks.data.sources.source import Files


def read_in_graph(files: Files) -> Callable[[tf.Tensor], tf.Tensor]:
    """A TensorFlow function from the index of a file, a scalar, to its bytes.

    Args:
        files: of a folder, of a table or in shards. The checksums of shards are not compared.
    """
    if isinstance(files.reader, FolderReader):
        root = os.path.abspath(files.reader.path)
        paths = tf.constant([os.fsencode(os.path.join(root, name)) for name in files.names])
        return lambda index: tf.io.read_file(tf.gather(paths, index))
    assert isinstance(files.reader, ShardReader)
    reader = files.reader
    shards = [os.path.join(os.path.abspath(reader.path), name) for name in reader.shards]
    sizes = np.array([os.path.getsize(shard) for shard in shards], np.int64)
    places = np.array([reader.places[name] for name in files.names], np.int64).reshape(len(files), 5)
    shard, offset, size = places[:, 0], places[:, 2], places[:, 3]
    shard_paths = tf.constant([os.fsencode(shard) for shard in shards])
    # A file of one record, with the bytes before it as its header and those behind it as its footer.
    layout = tf.constant(np.stack([shard, offset, size, sizes[shard] - offset - size], axis=1))

    def read_one(index: tf.Tensor) -> tf.Tensor:
        row = tf.gather(layout, index)
        record = tf.data.FixedLengthRecordDataset(
            tf.gather(shard_paths, row[0]), record_bytes=row[2], header_bytes=row[1], footer_bytes=row[3]
        )
        return record.get_single_element()

    return read_one
