"""Whether workers are there and have the same files, before anything is trained."""

import numpy as np
import tensorflow as tf

from kerastricks.data.service.address import Address
from kerastricks.data.service.ask import ask
from kerastricks.data.service.describe import describe
from kerastricks.data.service.reach import WAIT_SECONDS
from kerastricks.data.sources.graph_reading import read_in_graph
from kerastricks.data.sources.source import Arrays, Examples
from kerastricks.errors import ServiceError

_FILES = 16


def probe(address: Address, examples: Examples) -> int:
    """Lets every worker read a few files, and compares.

    Args:
        address: of the dispatcher, which answers.
        examples: of the training split.

    Returns:
        How many workers have answered.

    Raises:
        ServiceError: if none answers, or one has not got the files.
    """
    dataset, names = _readings(examples)
    expected = next(iter(dataset)).numpy()
    try:
        answers = ask(dataset, address, WAIT_SECONDS)
    except tf.errors.OpError as error:
        raise ServiceError(
            f"{address}: {describe(error)}: dispatcher and workers must be of this TensorFlow ({tf.__version__}), and "
            f"workers must read the images under the path they have here"
        ) from None
    if not answers:
        raise ServiceError(f"{address}: no worker answers: start some: kerastricks data-worker --dispatcher {address}")
    for answer in answers:
        wrong = np.flatnonzero(answer != expected)
        if len(wrong):
            raise ServiceError(f"{address}: a worker reads another file than is here: {names[wrong[0]]}")
    return len(answers)


def _readings(examples: Examples) -> tuple[tf.data.Dataset, list[str]]:
    """One element, a hash for each of some files, and their names."""
    once = tf.data.Dataset.range(1)
    if isinstance(examples, Arrays):
        return once.map(lambda _: tf.zeros([1], tf.int64)), [""]
    some = examples.take(np.unique(np.linspace(0, len(examples) - 1, _FILES).astype(int)))
    read_one = read_in_graph(some)

    def hashes(_: tf.Tensor) -> tf.Tensor:
        contents = tf.stack([read_one(index) for index in range(len(some))])
        return tf.strings.to_hash_bucket_fast(contents, tf.int64.max)

    hashed = once.map(hashes)
    return hashed, [str(some.reader.path / name) for name in some.names]
