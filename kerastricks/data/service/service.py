"""Training batches over a tf.data service."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from kerastricks.data.service.address import Address
from kerastricks.data.service.pending_signal import PendingSignal
from kerastricks.data.service.probe import probe
from kerastricks.data.service.reach import reach
from kerastricks.data.service.stream import Stream
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.shards import ShardReader
from kerastricks.data.sources.source import Arrays, Examples, Source
from kerastricks.errors import DataError, Interrupted, ServiceLostError

MAX_ARRAY_BYTES = 64 * 1024 * 1024  # arrays travel inside the job

# From a data set of global steps (scalar int64) to one of their batches.
MakeBatches = Callable[[tf.data.Dataset], tf.data.Dataset]


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
                        f"{source.name}: {size / 1e6:,.0f} MB of arrays are more than the {MAX_ARRAY_BYTES / 1e6:.0f} "
                        f"MB that are sent to a data service: let kerastricks.data.pack write them where workers read"
                    )
            elif not isinstance(examples.reader, FolderReader | ShardReader):
                raise DataError(
                    f"{source.name}: workers of a data service read folders, tables of files, and what `kerastricks "
                    f"pack` wrote: unpack or pack it where they can read it"
                )

    def check(self, examples: Examples) -> None:
        """Lets each worker that is there read some of the files.

        Raises:
            ServiceError: where there is no worker, or one has not got the same files under the same path.
        """
        probe(self.address, examples)

    def epochs(self, batches: MakeBatches, steps_per_epoch: int) -> tf.data.Dataset:
        """One epoch an iteration, its batches in the order they come."""
        counter = itertools.count()

        def epoch() -> Iterator[Any]:
            first = next(counter) * steps_per_epoch
            return self._stream(batches, first, steps_per_epoch)

        return self._dataset(batches, epoch)

    def endless(self, batches: MakeBatches, first_step: int) -> tf.data.Dataset:
        """Batches from a global step on, in the order they come."""
        return self._dataset(batches, lambda: self._stream(batches, first_step, None))

    @contextmanager
    def one_error(self) -> Iterator[None]:
        """Raises what went wrong with the service, where TensorFlow would say it in forty lines."""
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
    """The data set, made by the workers; whoever asks next makes the next element."""
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    options = tf.data.Options()
    options.autotune.enabled = False  # or ending an iteration takes seconds
    return dataset.apply(tf.data.experimental.service.distribute(policy, str(address))).with_options(options)
