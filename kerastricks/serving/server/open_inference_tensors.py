"""Tensors of the Open Inference Protocol as arrays, and back: as JSON, as bytes, and in fields of messages."""

import base64
import binascii
import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from kerastricks.serving.server.status import ServingError
from kerastricks.serving.server.tensor_protos import buffer_array, checked_shape, invalid, object_array

DATATYPES = {
    "BOOL": np.dtype(bool),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_OF_TENSORFLOW = {
    types_pb2.DT_BFLOAT16: "BF16",
    types_pb2.DT_BOOL: "BOOL",
    types_pb2.DT_DOUBLE: "FP64",
    types_pb2.DT_FLOAT: "FP32",
    types_pb2.DT_HALF: "FP16",
    types_pb2.DT_STRING: "BYTES",
}
# The classes of values that a datatype's kind is written as, in JSON and in messages.
_CLASSES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str, bytes}}
_LENGTH = struct.Struct("<I")


def array_of_values(
    name: str, datatype: str, shape: Sequence[int], values: Sequence[Any], is_base64: bool = False
) -> np.ndarray:
    """The array of a list of values, flat or nested as the shape says.

    Args:
        name: of the input, for messages.
        datatype: of the protocol.
        shape: that the client gives.
        values: numbers, booleans, texts, or bytes.
        is_base64: whether texts are base64 instead of themselves.

    Raises:
        ServingError: INVALID_ARGUMENT where they do not belong together.
    """
    dtype, sizes = dtype_of(name, datatype), checked_shape(name, shape)
    flat = _flat(name, values, sizes)
    # Before NumPy sees them: it would take texts for numbers, cut fractions off, and make room for the longest text.
    if not set(map(type, flat)) <= _CLASSES[dtype.kind]:
        raise invalid(name, f"data must be {datatype}")
    if dtype.hasobject:
        return object_array(name, _strings(name, flat, is_base64), sizes)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype)
    except OverflowError:
        raise invalid(name, f"data must be in the range of {datatype}") from None
    if array.size != math.prod(sizes):
        raise invalid(name, f"{array.size} values for the shape {sizes}")
    return array.reshape(sizes)


def array_of_bytes(name: str, datatype: str, shape: Sequence[int], contents: bytes | memoryview) -> np.ndarray:
    """The array of a tensor's binary form: little-endian numbers, or strings after their lengths.

    Raises:
        ServingError: INVALID_ARGUMENT where bytes, datatype and shape do not belong together.
    """
    dtype, sizes = dtype_of(name, datatype), checked_shape(name, shape)
    if not dtype.hasobject:
        return buffer_array(name, contents, dtype, sizes)
    strings, start = [], 0
    while start < len(contents):
        if start + _LENGTH.size > len(contents):
            raise invalid(name, f"a string's length of 4 bytes is cut off at byte {start}")
        (length,) = _LENGTH.unpack_from(contents, start)
        start += _LENGTH.size
        if start + length > len(contents):
            raise invalid(name, f"a string of {length} bytes at byte {start}, of {len(contents)}")
        strings.append(bytes(contents[start : start + length]))
        start += length
    return object_array(name, strings, sizes)


def values_of_array(array: np.ndarray) -> tuple[list[Any], bool]:
    """Values for JSON, flat, and whether strings are base64: those that are not valid UTF-8."""
    values = array.reshape(-1).tolist()
    if array.dtype != object:
        return values, False
    try:
        return [one.decode() for one in values], False
    except UnicodeDecodeError:
        return [base64.b64encode(one).decode() for one in values], True


def bytes_of_array(array: np.ndarray) -> bytes:
    """The binary form of an array: little-endian numbers, or strings after their lengths."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(part for one in array.reshape(-1).tolist() for part in (_LENGTH.pack(len(one)), one))


def datatype_of_array(array: np.ndarray) -> str:
    """The protocol's name of an array's dtype.

    Raises:
        ServingError: UNIMPLEMENTED where it has none.
    """
    if array.dtype not in _NAMES:
        raise ServingError("UNIMPLEMENTED", f"the Open Inference Protocol has no datatype for {array.dtype.name}")
    return _NAMES[array.dtype]


def datatype_of_tensorflow(dtype: int) -> str:
    """The protocol's name of a TensorFlow dtype, given by its number; those that it lacks keep TensorFlow's."""
    return _OF_TENSORFLOW.get(dtype) or types_pb2.DataType.Name(dtype).removeprefix("DT_")


def dtype_of(name: str, datatype: str) -> np.dtype:
    """The dtype of a datatype of the protocol.

    Raises:
        ServingError: INVALID_ARGUMENT where there is none.
    """
    if datatype not in DATATYPES:
        raise invalid(name, f"datatype must be one of {', '.join(DATATYPES)}. Received: {datatype!r:.40}")
    return DATATYPES[datatype]


def _flat(name: str, values: Sequence[Any], shape: tuple[int, ...]) -> Sequence[Any]:
    """Values without their nesting, which must be the shape's."""
    if not values or not isinstance(values[0], list):
        return values
    rows: list[Any] = [values]
    for size in shape:
        if not all(isinstance(row, list) and len(row) == size for row in rows):
            raise invalid(name, f"data is not nested as the shape {shape} says")
        rows = list(itertools.chain.from_iterable(rows))
    return rows


def _strings(name: str, values: Sequence[str | bytes], is_base64: bool) -> list[bytes]:
    try:
        if is_base64:
            return [base64.b64decode(one, validate=True) for one in values]
        return [one if isinstance(one, bytes) else one.encode() for one in values]
    except (binascii.Error, ValueError):  # no ASCII in base64; half of a surrogate pair in a text
        raise invalid(name, f"data must be {'base64' if is_base64 else 'valid UTF-8'}") from None
