"""PyTorch weight files, read without PyTorch and without running anything that they hold."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.errors import WeightsError
from kerastricks.weights.tensor_pickle import Storage, Tensor, load_pickle

# The pickle of the number that old files begin with, 0x1950A86A20F9469CFC6C.
_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_VERSION = 1001


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a `.pth` file: a dictionary of names and tensors that `torch.save` wrote.

    Both formats are read, the old one and the zip that PyTorch writes since 1.6. The file is a pickle, which
    could run any program; this reader knows tensors and refuses everything else by its name (`tensor_pickle`). Sizes
    are checked against the storages and the storages against the file, so that no array is larger than the
    file (bfloat16, which NumPy has not, becomes float32, twice its size).

    Args:
        path: the file.

    Returns:
        Names to arrays, read-only views of the file's bytes. From a checkpoint with other things,
        only "state_dict".

    Raises:
        WeightsError: for a file that is missing, damaged, cut short, longer than what it holds, of another format, or
            that calls for anything but tensors.
    """
    source = str(path)
    if not Path(path).is_file():
        raise WeightsError(f"{source}: is no file")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read: {error.strerror or error}") from None
    content, storages = _read_zip(data, source) if data[:4] == b"PK\x03\x04" else _read_old(data, source)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise WeightsError(
            f"{source}: holds no dictionary of tensors: write it with torch.save(model.state_dict(), path)"
        )
    for name, value in content.items():
        if type(name) is not str or type(value) is not Tensor:
            raise WeightsError(
                f"{source}: {str(name)[:80]!r} is no tensor: write it with torch.save(model.state_dict(), path)"
            )
    return {name: _view(tensor, storages[tensor.storage.key], source) for name, tensor in content.items()}


def _read_old(data: bytes, source: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Five pickles (magic number, version, machine, tensors, order of the storages), then the storages."""
    if not data.startswith(_MAGIC):
        raise WeightsError(f"{source}: is no PyTorch file")
    position, loaded = len(_MAGIC), []
    declared: dict[str, Storage] = {}
    for _ in range(4):
        value, position = load_pickle(data, position, declared, source)
        loaded.append(value)
    version, machine, content, order = loaded
    if type(version) is not int or version != _VERSION:
        raise WeightsError(f"{source}: is of another version of PyTorch's old format than {_VERSION}")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise WeightsError(f"{source}: was written on a machine with another byte order: save it again on this one")
    if type(order) is not list or not all(type(key) is str for key in order) or sorted(order) != sorted(declared):
        raise WeightsError(f"{source}: the list of its storages is not that of its tensors")
    storages = {}
    for key in order:
        storage = declared[key]
        size = int.from_bytes(data[position : position + 8], "little", signed=True)
        position += 8
        if size != storage.size:
            raise WeightsError(f"{source}: a storage of {storage.size} numbers says {size}: the file is damaged")
        end = position + size * _itemsize(storage)
        if end > len(data):
            raise WeightsError(f"{source}: ends after {len(data)} bytes, in the middle: copy it again")
        storages[key] = _numbers(data, position, storage)
        position = end
    if position != len(data):
        raise WeightsError(f"{source}: {len(data) - position} bytes follow the last storage: the file is damaged")
    return content, storages


def _read_zip(data: bytes, source: str) -> tuple[Any, dict[str, np.ndarray]]:
    """NAME/data.pkl and one uncompressed NAME/data/KEY per storage."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise WeightsError(f"{source}: is a compressed or encrypted zip, which PyTorch does not write")
            # 22 bytes without a comment end it.
            if sum(entry.file_size for entry in entries) > len(data) or data[-22:-18] != b"PK\x05\x06":
                raise WeightsError(f"{source}: its zip says more or less than the file holds: the file is damaged")
            members = {entry.filename: archive.read(entry) for entry in entries}
    except WeightsError:
        raise
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
        raise WeightsError(f"{source}: is a damaged zip ({error}): copy it again") from None
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1 or len(members) != len(entries):
        raise WeightsError(f"{source}: is a zip, but no PyTorch file: there is not one data.pkl in it")
    root = roots[0]
    if members.get(f"{root}byteorder", b"little") != b"little":
        raise WeightsError(f"{source}: was written on a machine with another byte order: save it again on this one")
    program = members[f"{root}data.pkl"]
    declared: dict[str, Storage] = {}
    content, end = load_pickle(program, 0, declared, source)
    if end != len(program):
        raise WeightsError(f"{source}: {len(program) - end} bytes follow its pickle: the file is damaged")
    storages = {}
    for key, storage in declared.items():
        raw = members.get(f"{root}data/{key}")
        if raw is None or len(raw) != storage.size * _itemsize(storage):
            raise WeightsError(f"{source}: the storage {key[:40]!r} is missing or of another size: the file is damaged")
        storages[key] = _numbers(raw, 0, storage)
    return content, storages


def _itemsize(storage: Storage) -> int:
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _numbers(data: bytes, position: int, storage: Storage) -> np.ndarray:
    if storage.dtype == "bfloat16":  # the upper half of a float32
        halves = np.frombuffer(data, "<u2", storage.size, position)
        return (halves.astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, storage.dtype, storage.size, position)


def _view(tensor: Tensor, numbers: np.ndarray, source: str) -> np.ndarray:
    """The storage's numbers as the tensor sees them, read-only."""
    offset, shape, strides = tensor[1:]
    count, reach = 1, 1
    for size, stride in zip(shape, strides, strict=True):
        count *= size
        reach += (size - 1) * stride
    # A stride of 0 would make a small file a large array.
    if count > numbers.size or (count and offset + reach > numbers.size) or offset > numbers.size:
        raise WeightsError(
            f"{source}: a tensor of shape {shape}, strides {strides} and offset {offset} is not inside its storage of "
            f"{numbers.size}: the file is damaged"
        )
    in_bytes = tuple(stride * numbers.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, in_bytes, writeable=False)
