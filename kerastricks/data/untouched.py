"""Reads from a tf.data.Dataset without moving it."""

from typing import Any

import tensorflow as tf

from kerastricks.errors import DataError, first_line


def is_dataset(source: Any) -> bool:
    """Whether it is a tf.data.Dataset."""
    return isinstance(source, tf.data.Dataset)


def untouched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A copy whose iterations do not count as the dataset's own.

    Each iteration over `shuffle(reshuffle_each_iteration=True)`, which is the default, moves a generator that all
    iterations share. The copy has generators of its own, which begin where the dataset's began. What a Python
    function inside the dataset remembers is out of reach.

    Raises:
        DataError: for a dataset that shuffles and is too large, or too peculiar, to be copied.
    """
    try:
        variant = tf.data.experimental.to_variant(dataset)
        if not _shuffles(dataset):
            return dataset
        serialized = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, external_state_policy=1)  # state is ignored
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        _renew_generators(graph)
        copied = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        return tf.data.experimental.from_variant(copied, dataset.element_spec)
    except (tf.errors.OpError, ValueError) as error:
        reason = first_line(error)[:120]
        raise DataError(
            f"dataset: it shuffles, and cannot be read without moving its order ({reason}): give a list of its "
            "batches, list(dataset.take(100))"
        ) from None


def _shuffles(dataset: Any) -> bool:
    """Whether it, or a dataset that it is made of, shuffles; true where that cannot be told."""
    inputs = getattr(dataset, "_inputs", None)
    if inputs is None:
        return True
    return "Shuffle" in type(dataset).__name__ or any(map(_shuffles, inputs()))


def _renew_generators(graph: Any) -> None:
    """Gives every shuffle a generator of its own, of the same seeds, instead of the one that is shared."""
    for node in list(graph.node):
        if node.op in ("ShuffleDatasetV3", "ShuffleAndRepeatDatasetV2"):
            _renew(graph, node)


def _renew(graph: Any, node: Any) -> None:
    """Inputs end in seed, seed2, [count,] and the generator, which is a handle to what all iterations share."""
    seeds = node.input[2:4]
    again = graph.node.add(name=f"{node.name}/reshuffle", op="Const")
    again.attr["dtype"].type = tf.bool.as_datatype_enum
    again.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(True))
    fresh = graph.node.add(name=f"{node.name}/generator", op="AnonymousSeedGenerator")
    fresh.input.extend([*seeds, again.name])
    node.input[4 if node.op == "ShuffleDatasetV3" else 5] = fresh.name
