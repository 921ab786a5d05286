"""Writes what `torch.save` writes, byte by byte, and what it never would."""

import io
import struct
import zipfile
from math import prod

import numpy as np
import pytest

from kerastricks.errors import WeightsError
from kerastricks.weights import read_torch_file

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
VERSION = b"\x80\x02M\xe9\x03."
KINDS = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "|u1": "ByteStorage",
}


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value):
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module, attribute):
    return b"c" + f"{module}\n{attribute}\n".encode()


def sizes(values):
    return b"(" + b"".join(integer(value) for value in values) + b"t"


def machine(little_endian=True):
    return b"\x80\x02}" + text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"s."


def storage(key, size, kind="FloatStorage", last=b"N"):
    """A persistent reference; `last` is what only the old format has."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + integer(size) + last + b"tQ"


def tensor(key, size, shape, strides=None, offset=0, kind="FloatStorage", last=b"N"):
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))] if strides is None else strides
    arguments = storage(key, size, kind, last) + integer(offset) + sizes(shape) + sizes(strides)
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"\x89" + name(*ORDERED) + b")RtR"


ORDERED = ("collections", "OrderedDict")


def state(tensors):
    """The program of an ordered dictionary of named programs."""
    items = b"".join(text(key) + program for key, program in tensors.items())
    return b"\x80\x02" + name(*ORDERED) + b")R(" + items + b"u."


def old_file(program, storages, order=None, machine_program=None, end=b""):
    """The old format: `storages` are keys and arrays."""
    order = storages if order is None else order
    parts = [MAGIC, VERSION, machine_program or machine(), program]
    parts.append(b"\x80\x02](" + b"".join(text(key) for key in order) + b"e.")
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return b"".join([*parts, end])


def zip_file(program, storages, byteorder=b"little", compression=zipfile.ZIP_STORED, root="archive"):
    """The format since PyTorch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", program)
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", b"3\n")
    return file.getvalue()


def dump(arrays, form):
    """Named arrays as a file of the format "old" or "zip"."""
    last = b"N" if form == "old" else b""
    storages = {str(number): array for number, array in enumerate(arrays.values())}
    programs = {
        key: tensor(str(number), array.size, array.shape, kind=KINDS[array.dtype.str], last=last)
        for number, (key, array) in enumerate(arrays.items())
    }
    return (old_file if form == "old" else zip_file)(state(programs), storages)


def numbers(count, dtype="<f4"):
    return np.arange(count, dtype=dtype)


def read(tmp_path, data):
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    return read_torch_file(path)


def refusal(tmp_path, data):
    with pytest.raises(WeightsError) as caught:
        read(tmp_path, data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def old(program, **storages):
    """A file of the old format with a program of one's own and a storage "0" of six numbers."""
    return old_file(program, storages or {"0": numbers(6)})
