"""Array functions of TensorFlow with the names, arguments and results of `keras.ops`.

Ops are written with them, so that the host can execute them in tf.data under every backend.
"""

import builtins
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

abs = tf.abs
cast = tf.cast
convert_to_tensor = tf.convert_to_tensor
cos = tf.cos
erfinv = tf.math.erfinv
exp = tf.exp
expand_dims = tf.expand_dims
floor = tf.floor
log = tf.math.log
logical_and = tf.logical_and
logical_not = tf.logical_not
logical_or = tf.logical_or
matmul = tf.matmul
maximum = tf.maximum
minimum = tf.minimum
reshape = tf.reshape
roll = tf.roll
round = tf.round
sin = tf.sin
sqrt = tf.sqrt
tan = tf.tan
transpose = tf.transpose
zeros_like = tf.zeros_like
ones_like = tf.ones_like


def arange(start: Any, stop: Any = None, step: int = 1, dtype: str = "int32") -> tf.Tensor:
    """As `keras.ops.arange`."""
    return tf.cast(tf.range(start, delta=step) if stop is None else tf.range(start, stop, step), dtype)


def argmax(x: Any, axis: int) -> tf.Tensor:
    """As `keras.ops.argmax`."""
    return tf.argmax(x, axis, tf.int32)


def clip(x: Any, low: Any, high: Any) -> tf.Tensor:
    """As `keras.ops.clip`."""
    return tf.clip_by_value(x, tf.cast(low, x.dtype), tf.cast(high, x.dtype))


def concatenate(parts: Sequence[Any], axis: int = -1) -> tf.Tensor:
    """As `keras.ops.concatenate`."""
    return tf.concat(parts, axis)


def cumsum(x: Any, axis: int) -> tf.Tensor:
    """As `keras.ops.cumsum`."""
    return tf.cumsum(x, axis)


def full(shape: Sequence[int], value: float, dtype: str = "float32") -> tf.Tensor:
    """As `keras.ops.full`."""
    return tf.fill(shape, tf.cast(value, dtype))


def max(x: Any, axis: Any = None, keepdims: bool = False) -> tf.Tensor:
    """As `keras.ops.max`."""
    return tf.reduce_max(x, axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> tf.Tensor:
    """As `keras.ops.mean`."""
    return tf.reduce_mean(x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> tf.Tensor:
    """As `keras.ops.min`."""
    return tf.reduce_min(x, axis, keepdims)


def one_hot(x: Any, num_classes: int, dtype: str = "float32") -> tf.Tensor:
    """As `keras.ops.one_hot`."""
    return tf.one_hot(x, num_classes, dtype=dtype)


def ones(shape: Sequence[int], dtype: str = "float32") -> tf.Tensor:
    """As `keras.ops.ones`."""
    return tf.ones(shape, dtype)


def pad(x: Any, widths: Any, mode: str = "constant", constant_values: float = 0) -> tf.Tensor:
    """As `keras.ops.pad`."""
    return tf.pad(x, widths, mode.upper(), tf.cast(constant_values, x.dtype))


def segment_sum(data: Any, segment_ids: Any, num_segments: int, sorted: bool = False) -> tf.Tensor:
    """As `keras.ops.segment_sum`."""
    return tf.math.unsorted_segment_sum(data, segment_ids, num_segments)


def shape(x: Any) -> tuple[Any, ...]:
    """As `keras.ops.shape`: numbers where they are known."""
    dynamic = tf.shape(x)
    return tuple(dynamic[axis] if size is None else size for axis, size in enumerate(x.shape))


def stack(parts: Sequence[Any], axis: int = 0) -> tf.Tensor:
    """As `keras.ops.stack`."""
    return tf.stack(parts, axis)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> tf.Tensor:
    """As `keras.ops.sum`."""
    return tf.reduce_sum(x, axis, keepdims)


def take(x: Any, indices: Any, axis: int = 0) -> tf.Tensor:
    """As `keras.ops.take`, for indices that are inside."""
    return tf.gather(x, indices, axis=axis)


def tile(x: Any, repeats: builtins.tuple[int, ...]) -> tf.Tensor:
    """As `keras.ops.tile`."""
    return tf.tile(x, repeats)


def where(condition: Any, x: Any, y: Any) -> tf.Tensor:
    """As `keras.ops.where`: two numbers give float32."""
    if not isinstance(x, tf.Tensor) and not isinstance(y, tf.Tensor):
        x = tf.cast(x, tf.float32)
    if not isinstance(x, tf.Tensor):
        x = tf.cast(x, y.dtype)
    return tf.where(condition, x, tf.cast(y, x.dtype))


def zeros(shape: Sequence[int], dtype: str = "float32") -> tf.Tensor:
    """As `keras.ops.zeros`."""
    return tf.zeros(shape, dtype)
