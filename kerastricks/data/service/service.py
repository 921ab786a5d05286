"""Training batches from a tf.data service, whose workers are probed before training."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerastricks.data.service.address import WAIT_SECONDS, Address, reach
from kerastricks.data.service.ask import ask, describe
from kerastricks.data.service.stream import PendingSignal, Stream
from kerastricks.data.sources.contents import read_in_graph
from kerastricks.data.sources.extents import ExtentReader
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.shards import ShardReader
from kerastricks.data.sources.source import Arrays, Examples, Source
from kerastricks.errors import DataError, Interrupted, ServiceError, ServiceLostError
from kerastricks.progress import megabytes

MAX_ARRAY_BYTES = 64 * 1024 * 1024  # arrays travel inside the job
_FILES = 16

# From a data set of global steps (scalar int64) to one of their batches.
MakeBatches = Callable[[tf.data.Dataset], tf.data.Dataset]


def probe(address: Address, examples: Examples) -> int:
    """Let every worker read a few files, and compare their contents with those here.

    Args:
        address: address of the dispatcher, which answers.
        examples: training split.

    Returns:
        Number of workers that have answered.

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
    return hashed, [str(Path(some.reader.path) / name) for name in some.names]


class Service:
    """A tf.data service.

    Args:
        address: "grpc://HOST:PORT" of the dispatcher.

    Raises:
        ServiceError: for a malformed address, or if no dispatcher answers within seconds.
    """

    def __init__(self, address: str) -> None:
        self.address = Address.parse(address)
        self.failure: BaseException | None = None
        self._signals = PendingSignal()
        reach(self.address)

    def refuse(self, source: Source) -> None:
        """Raises DataError for images that workers cannot get."""
        for examples in source.splits.values():
            if isinstance(examples, Arrays):
                size = examples.images.nbytes
                if size > MAX_ARRAY_BYTES:
                    raise DataError(
                        f"{source.name}: {megabytes(size)} of arrays are more than the {megabytes(MAX_ARRAY_BYTES)} "
                        f"that are sent to a data service: let kerastricks.data.pack write them where workers read"
                    )
            elif not (
                isinstance(examples.reader, FolderReader | ShardReader)
                or (isinstance(examples.reader, ExtentReader) and examples.reader.is_addressable)
            ):
                raise DataError(
                    f"{source.name}: workers of a data service read folders, tables of files, tars, and what "
                    f"`kerastricks pack` wrote: unpack or pack it where they can read it"
                )

    def check(self, examples: Examples) -> None:
        """Let each registered worker read some of the files.

        Raises:
            ServiceError: where there is no worker, or one has not got the same files under the same path.
        """
        probe(self.address, examples)

    def epochs(self, batches: MakeBatches, steps_per_epoch: int) -> tf.data.Dataset:
        """One epoch per iteration, its batches in order of arrival."""
        counter = itertools.count()

        def epoch() -> Iterator[Any]:
            first = next(counter) * steps_per_epoch
            return self._stream(batches, first, steps_per_epoch)

        return self._dataset(batches, epoch)

    def endless(self, batches: MakeBatches, first_step: int) -> tf.data.Dataset:
        """Batches from a global step on, in order of arrival."""
        return self._dataset(batches, lambda: self._stream(batches, first_step, None))

    @contextmanager
    def one_error(self) -> Iterator[None]:
        """Raise the service's error in one line instead of TensorFlow's forty."""
        self.failure = None
        try:
            yield
        except Exception:
            if self.failure is not None:
                raise self.failure from None
            raise

    def _stream(self, batches: MakeBatches, first: int, count: int | None) -> Iterator[Any]:
        def make() -> tf.data.Dataset:
            # A range, and no endless counter: only its elements can be handed out one by one.
            steps = tf.data.Dataset.range(first, tf.int64.max if count is None else first + count)
            return distribute(batches(steps), self.address)

        try:
            yield from Stream(make, self.address, count, self._signals)
        except (ServiceLostError, Interrupted) as error:
            self.failure = error
            raise

    def _dataset(self, batches: MakeBatches, generator: Callable[[], Iterator[Any]]) -> tf.data.Dataset:
        signature = batches(tf.data.Dataset.range(0)).element_spec
        return tf.data.Dataset.from_generator(generator, output_signature=signature)


def distribute(dataset: tf.data.Dataset, address: Address) -> tf.data.Dataset:
    """Distribute a data set over the workers; the next one to ask makes the next element."""
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    options = tf.data.Options()
    options.autotune.enabled = False  # or ending an iteration takes seconds
    return dataset.apply(tf.data.experimental.service.distribute(policy, str(address))).with_options(options)
