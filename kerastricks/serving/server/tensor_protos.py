"""Tensors of TensorFlow's protocol as arrays, and back.

What a message declares is compared with what it brings before memory is taken: a few bytes can declare a shape of 10^12
elements.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from kerastricks.serving.server.status import ServingError

# The field that has the values of a dtype, where tensor_content has not.
_FIELDS = {
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_UINT8: "int_val",
}
_MOST_DIMENSIONS = 32
_MOST_FILLED_BYTES = 32 << 20  # of a tensor whose last value stands for all that follow


def to_array(name: str, tensor: tensor_pb2.TensorProto) -> np.ndarray:
    """The array of a TensorProto; strings are an object array of bytes.

    Numbers are in `tensor_content` or in the field of their dtype. Fewer values than the shape has elements are filled
    up with the last one, as TensorFlow does, up to 32 MiB.

    Args:
        name: of the input, for messages.
        tensor: a message of a client.

    Raises:
        ServingError: INVALID_ARGUMENT where dtype, shape and values do not belong together.
    """
    kind = types_pb2.DataType.Name(tensor.dtype) if tensor.dtype in types_pb2.DataType.values() else str(tensor.dtype)
    if tensor.dtype not in _FIELDS:
        raise invalid(name, f"dtype {kind} is not served")
    if tensor.tensor_shape.unknown_rank:
        raise invalid(name, "the shape must be known")
    shape = checked_shape(name, [dim.size for dim in tensor.tensor_shape.dim])
    values = getattr(tensor, _FIELDS[tensor.dtype])
    if tensor.dtype == types_pb2.DT_STRING:
        if tensor.tensor_content:
            raise invalid(name, "strings must be in string_val, not in tensor_content")
        return object_array(name, list(values), shape)
    dtype = np.dtype(tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype)
    if tensor.tensor_content:
        return buffer_array(name, tensor.tensor_content, dtype, shape)
    count = math.prod(shape)
    is_filled = 0 < len(values) < count and count * dtype.itemsize <= _MOST_FILLED_BYTES
    if len(values) != count and not is_filled:
        raise invalid(name, f"{len(values)} values for the shape {shape}, which has {count}")
    try:
        return np.asarray(tf.make_ndarray(tensor))
    except (OverflowError, TypeError, ValueError):
        raise invalid(name, f"values that are not {dtype.name}") from None


def to_tensor(array: np.ndarray) -> tensor_pb2.TensorProto:
    """The TensorProto of an array, with the values in the field of its dtype, where TensorFlow Serving puts them."""
    kind = types_pb2.DT_STRING if array.dtype == object else tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    if kind not in _FIELDS:
        return tf.make_tensor_proto(array)
    values = array.reshape(-1)
    if _FIELDS[kind] == "half_val":
        values = values.view(np.uint16)
    tensor = tensor_pb2.TensorProto(dtype=kind, tensor_shape=tf.TensorShape(array.shape).as_proto())
    getattr(tensor, _FIELDS[kind]).extend(values.tolist())
    return tensor


def checked_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without negative sizes.

    Raises:
        ServingError: INVALID_ARGUMENT for others.
    """
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(name, f"the shape has {len(shape)} dimensions. At most: {_MOST_DIMENSIONS}")
    if any(size < 0 for size in shape):
        raise invalid(name, f"the shape must have no negative sizes. Received: {tuple(shape)}")
    return tuple(shape)


def buffer_array(name: str, contents: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array over bytes, which are not copied: little-endian numbers, row by row.

    Raises:
        ServingError: INVALID_ARGUMENT where they are not as many as the shape takes.
    """
    expected = math.prod(shape) * dtype.itemsize
    if len(contents) != expected:
        raise invalid(name, f"{len(contents)} bytes for the shape {shape} of {dtype.name}, which takes {expected}")
    if dtype.kind == "b":  # any other byte than 0 and 1 is no bool to what comes next
        return _reshaped(name, np.frombuffer(contents, np.uint8) != 0, shape)
    return _reshaped(name, np.frombuffer(contents, dtype), shape)


def object_array(name: str, values: Sequence[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """An array of strings.

    Raises:
        ServingError: INVALID_ARGUMENT where they are not as many as the shape has elements.
    """
    count = math.prod(shape)
    if len(values) != count:
        raise invalid(name, f"{len(values)} strings for the shape {shape}, which has {count}")
    array = np.empty(len(values), object)
    array[:] = values
    return _reshaped(name, array, shape)


def invalid(name: str, problem: str) -> ServingError:
    """The error of an input that is not as it must be."""
    return ServingError("INVALID_ARGUMENT", f"input {name[:100]}: {problem}")


def _reshaped(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return array.reshape(shape)
    except (OverflowError, ValueError):  # no elements, and other sizes that no array can have
        raise invalid(name, f"no array has the shape {shape}") from None
