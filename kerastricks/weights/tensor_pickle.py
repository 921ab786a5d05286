"""The pickles of PyTorch's weight files: dictionaries of tensors, and nothing that a file could run.

A pickle is a program for Python's own stack machine. Its instructions are checked before it runs, what it may name is a
list, and tensors are made here: `Storage` and `Tensor` say where the numbers lie.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from kerastricks.errors import WeightsError

# A network of 10,000 tensors is written with 500,000.
MOST_INSTRUCTIONS = 1_000_000
# What protocol 2 writes a dictionary of tensors with, and no more.
_INSTRUCTIONS = {
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"),
}
_CODES = {operation.code.encode("latin-1") for operation in pickletools.opcodes if operation.name in _INSTRUCTIONS}


class Storage(NamedTuple):
    """A run of numbers elsewhere in the file; `dtype` is a NumPy dtype's string or "bfloat16"."""

    key: str
    dtype: str
    size: int


class Tensor(NamedTuple):
    """A view of a storage: offset, shape and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def load_pickle(data: bytes, position: int, storages: dict[str, Storage], source: str) -> tuple[Any, int]:
    """Load the pickle at `position`, and add its storages to `storages`; returns its object and its end."""
    program, end = _checked_program(data, position, source)
    try:
        return _TensorUnpickler(program, storages, source).load(), end
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise WeightsError(f"{source}: its pickle makes no tensors ({reason}): nothing of it was used") from None


def _checked_program(data: bytes, position: int, source: str) -> tuple[bytes, int]:
    """Check the instructions of a pickle before any is run.

    The unpickler would allocate 64 GB for one memo index of 2^32, and hash a tuple of tuples as a dictionary's key
    without end: indices have a limit, and each dictionary is made a `_Dictionary`, which has no such keys.
    """
    file = io.BytesIO(data)
    file.seek(position)
    parts, done = [], position
    argument: Any
    operations = pickletools.genops(file)
    for _ in range(MOST_INSTRUCTIONS):
        start = file.tell()
        code = data[start : start + 1]
        if code and code not in _CODES:
            raise WeightsError(f"{source}: holds the pickle instruction {code!r}, which PyTorch's weights do not need")
        try:
            operation, argument, _ = next(operations)
            if type(argument) is str:
                argument.encode()  # pickle accepts lone surrogates, which cannot be printed
        except ValueError as error:
            reason = str(error).splitlines()[0][:120]
            raise WeightsError(f"{source}: its pickle is cut short or damaged ({reason}): copy it again") from None
        if operation.name == "PROTO" and argument != 2:
            raise WeightsError(f"{source}: is of pickle protocol {argument} instead of 2: write it with torch.save")
        if operation.name == "LONG_BINPUT" and argument > MOST_INSTRUCTIONS:
            raise WeightsError(f"{source}: its pickle has a memo index of {argument}: the file is damaged")
        if operation.name == "EMPTY_DICT":
            parts += [data[done:start], b"ccollections\nOrderedDict\n)R"]
            done = start + 1
        if operation.name == "STOP":
            return b"".join([*parts, data[done : start + 1]]), start + 1
    raise WeightsError(f"{source}: holds a pickle of more than {MOST_INSTRUCTIONS:,} instructions")


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler that makes tensors and calls only the functions of this module, whatever the file names.

    What it puts at a program's disposal is immutable: BUILD could set attributes of anything else.
    """

    def __init__(self, program: bytes, storages: dict[str, Storage], source: str) -> None:
        super().__init__(io.BytesIO(program))
        self.storages = storages
        self.source = source

    def find_class(self, module: str, name: str) -> Any:
        if (full := f"{module}.{name}") not in _GLOBALS:
            raise WeightsError(
                f"{self.source}: calls for {full[:200]!r}, and a file of weights holds tensors and nothing else. "
                "Nothing of it was run; do not open it with torch.load either"
            )
        return _GLOBALS[full]

    def persistent_load(self, pid: Any) -> Storage:
        """("storage", type, key, device, size), and None in the old format."""
        if type(pid) is not tuple or len(pid) not in (5, 6) or (len(pid) == 6 and pid[5] is not None):
            raise pickle.UnpicklingError("a reference outside the pickle that is no storage")
        kind, dtype, key, _, size = pid[:5]
        typed = type(kind) is str and type(dtype) is _StorageType and type(key) is str and _is_size(size)
        if not typed or kind != "storage":
            raise pickle.UnpicklingError("a reference outside the pickle that is no storage")
        storage = Storage(key, dtype.dtype, size)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"a storage {key[:40]!r} of two sizes or types")
        return storage


class _Dictionary(dict):
    """A dictionary of strings and integers; attributes of an ordered one (`_metadata`) are dropped."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) not in (str, int):
            raise pickle.UnpicklingError("a dictionary's key that is neither string nor integer")
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None: ...


class _StorageType(NamedTuple):
    dtype: str


class _Function(NamedTuple):
    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def _ordered_dict() -> _Dictionary:
    return _Dictionary()


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    typed = type(storage) is Storage and _is_size(offset) and type(shape) is tuple and type(strides) is tuple
    if not typed or len(shape) != len(strides) or len(shape) > 8 or not all(map(_is_size, (*shape, *strides))):
        raise pickle.UnpicklingError("a tensor without storage, offset, shape and strides")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    if type(tensor) is not Tensor:
        raise pickle.UnpicklingError("a parameter without tensor")
    return tensor


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


_GLOBALS = {
    "collections.OrderedDict": _Function(_ordered_dict),
    "torch._utils._rebuild_tensor_v2": _Function(_rebuild_tensor),
    "torch._utils._rebuild_parameter": _Function(_rebuild_parameter),
    "torch.BFloat16Storage": _StorageType("bfloat16"),  # NumPy has none
    "torch.BoolStorage": _StorageType("|b1"),
    "torch.ByteStorage": _StorageType("|u1"),
    "torch.CharStorage": _StorageType("|i1"),
    "torch.DoubleStorage": _StorageType("<f8"),
    "torch.FloatStorage": _StorageType("<f4"),
    "torch.HalfStorage": _StorageType("<f2"),
    "torch.IntStorage": _StorageType("<i4"),
    "torch.LongStorage": _StorageType("<i8"),
    "torch.ShortStorage": _StorageType("<i2"),
}
