"""Reads the one kind of pickle that PyTorch's weight files hold: names and tensors.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names. This one knows
the instructions that a dictionary of tensors is written with and no others, and it calls nothing: what a program
names is a `_Name`, which is compared and never run. So there is nothing to escape through, whatever the file says.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.errors import WeightsError

# A network of 10,000 tensors is written with 500,000.
MOST_INSTRUCTIONS = 1_000_000

STORAGES = {
    "torch.BFloat16Storage": "bfloat16",  # NumPy has none
    "torch.BoolStorage": "|b1",
    "torch.ByteStorage": "|u1",
    "torch.CharStorage": "|i1",
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.IntStorage": "<i4",
    "torch.LongStorage": "<i8",
    "torch.ShortStorage": "<i2",
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_NAMES = {_DICT, _TENSOR, _PARAMETER, *STORAGES}

_FORMATS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_GETS_AND_PUTS = {b"h": "<B", b"j": "<I", b"q": "<B", b"r": "<I"}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}


@dataclass(frozen=True)
class Storage:
    """A run of numbers that lies elsewhere in the file.

    Args:
        key: its name there.
        dtype: a NumPy dtype's string, or "bfloat16".
        size: how many numbers.
    """

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: offset, shape and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers of the storage as this tensor sees them, read-only."""
        strides = tuple(stride * numbers.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False)


@dataclass(frozen=True, eq=False)
class _Name:
    """What the program called for."""

    name: str


class TensorPickle:
    """Runs the programs of a file, one after the other.

    Args:
        data: the bytes of the file.
        position: where the first starts; afterwards, where the last ended.
        source: what the messages call the file.
    """

    def __init__(self, data: bytes, position: int, source: str) -> None:
        self.data = data
        self.position = position
        self.source = source
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def error(self, reason: str) -> WeightsError:
        """The error for what is wrong with the file."""
        return WeightsError(f"{self.source}: {reason}, which a file of PyTorch weights has not: nothing of it was used")

    def load(self) -> Any:
        """Runs one program to its end.

        Returns:
            What the program made: None, numbers, strings, tuples, lists, dictionaries, `Tensor`.

        Raises:
            WeightsError: for an instruction or name that is not allowed, or a file that ends too early.
        """
        self._stack, self._marks, self._memo = [], [], {}
        for _ in range(MOST_INSTRUCTIONS):
            code = self._read(1)
            if code == b".":
                if len(self._stack) != 1 or self._marks:
                    raise self.error("a pickle that leaves more or less than one value")
                return self._stack[0]
            self._run(code)
        raise self.error(f"a pickle of more than {MOST_INSTRUCTIONS:,} instructions")

    def _run(self, code: bytes) -> None:
        if code in _CONSTANTS:
            self._stack.append(_CONSTANTS[code])
        elif code in _FORMATS:
            self._stack.append(self._number(_FORMATS[code]))
        elif code in _GETS_AND_PUTS:
            self._remember_or_recall(code)
        elif code in _TUPLES:
            items = self._pop(_TUPLES[code])
            self._stack.append(tuple(items))
        elif code in _INSTRUCTIONS:
            _INSTRUCTIONS[code](self)
        else:
            raise self.error(f"the pickle instruction {code!r}")

    def _read(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise WeightsError(f"{self.source}: ends after {len(self.data)} bytes, in the middle: copy it again")
        found = self.data[self.position : end]
        self.position = end
        return found

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._read(struct.calcsize(layout)))[0]

    def _remember_or_recall(self, code: bytes) -> None:
        number = self._number(_GETS_AND_PUTS[code])
        if code in b"qr":
            self._memo[number] = self._top()
        elif number in self._memo:
            self._stack.append(self._memo[number])
        else:
            raise self.error("a reference to what is not there")

    def _pop(self, count: int) -> list[Any]:
        """The last values, from behind the last mark."""
        least = self._marks[-1] if self._marks else 0
        if len(self._stack) - count < least:
            raise self.error("a pickle that takes more values than it has")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    def _top(self) -> Any:
        [top] = self._pop(1)
        self._stack.append(top)
        return top

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise self.error("a pickle without the mark that it goes back to")
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _protocol(self) -> None:
        if (version := self._number("<B")) != 2:
            raise self.error(f"pickle protocol {version} in place of 2")

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _text(self) -> None:
        raw = self._read(self._number("<I"))
        try:
            self._stack.append(raw.decode())
        except UnicodeDecodeError:
            raise self.error("a string that is not UTF-8") from None

    def _integer(self) -> None:
        self._stack.append(int.from_bytes(self._read(self._number("<B")), "little", signed=True))

    def _tuple(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _dict(self) -> None:
        self._stack.append({})

    def _list(self) -> None:
        self._stack.append([])

    def _append(self) -> None:
        self._extend(self._pop(1))

    def _appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(target := self._top()) is not list:
            raise self.error("a value added to what is no list")
        target.extend(items)

    def _set_item(self) -> None:
        self._update(self._pop(2))

    def _set_items(self) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        keys = items[::2]
        if type(target := self._top()) is not dict or len(items) % 2 or not all(type(k) in (str, int) for k in keys):
            raise self.error("a dictionary entry that is none")
        target.update(zip(keys, items[1::2], strict=True))

    def _name(self) -> None:
        lines = []
        for _ in range(2):
            end = self.data.find(b"\n", self.position, self.position + 200)
            if end < 0:
                raise self.error("a name that does not end")
            lines.append(self._read(end - self.position + 1)[:-1].decode("latin-1"))
        if (name := ".".join(lines)) not in _NAMES:
            raise WeightsError(
                f"{self.source}: calls for {name!r}, and a file of weights holds tensors and nothing else. Nothing of "
                "it was run; do not open it with torch.load either"
            )
        self._stack.append(_Name(name))

    def _call(self) -> None:
        function, arguments = self._pop(2)
        name = function.name if type(function) is _Name else ""
        if type(arguments) is tuple and name == _DICT and not arguments:
            self._stack.append({})
        elif type(arguments) is tuple and name == _TENSOR and len(arguments) in (6, 7):
            self._stack.append(self._tensor(*arguments[:4]))
        elif type(arguments) is tuple and name == _PARAMETER and arguments and type(arguments[0]) is Tensor:
            self._stack.append(arguments[0])
        else:
            raise self.error(f"a call of {name or 'a value'} with other arguments than a tensor's")

    def _build(self) -> None:
        """Attributes of an ordered dictionary (`_metadata`) are dropped."""
        self._pop(1)
        if type(self._top()) is not dict:
            raise self.error("attributes of what is no dictionary")

    def _storage(self) -> None:
        """("storage", type, key, place, size), and None in the old format."""
        [named] = self._pop(1)
        if type(named) is not tuple or len(named) not in (5, 6) or (len(named) == 6 and named[5] is not None):
            raise self.error("a reference outside the pickle that is no storage")
        kind, dtype, key, _, size = named[:5]
        known = type(dtype) is _Name and dtype.name in STORAGES
        if type(kind) is not str or kind != "storage" or not known or type(key) is not str or not _is_size(size):
            raise self.error("a reference outside the pickle that is no storage")
        storage = Storage(key, STORAGES[dtype.name], size)
        if self.storages.setdefault(key, storage) != storage:
            raise self.error(f"a storage {key[:40]!r} of two sizes or types")
        self._stack.append(storage)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
        known = type(storage) is Storage and _is_size(offset) and type(shape) is tuple and type(strides) is tuple
        if not known or len(shape) != len(strides) or len(shape) > 8 or not all(map(_is_size, (*shape, *strides))):
            raise self.error("a tensor without storage, offset, shape and strides")
        numbers, reach = 1, 1
        for size, stride in zip(shape, strides, strict=True):
            numbers *= size
            reach += (size - 1) * stride
        # A stride of 0 would make a small file a large array.
        if numbers > storage.size or (numbers and offset + reach > storage.size) or offset > storage.size:
            raise self.error(
                f"a tensor of shape {shape}, strides {strides} and offset {offset} in a storage of {storage.size}"
            )
        return Tensor(storage, offset, shape, strides)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


_INSTRUCTIONS: dict[bytes, Callable[[TensorPickle], None]] = {
    b"\x80": TensorPickle._protocol,
    b"(": TensorPickle._mark,
    b"X": TensorPickle._text,
    b"\x8a": TensorPickle._integer,
    b"t": TensorPickle._tuple,
    b"}": TensorPickle._dict,
    b"]": TensorPickle._list,
    b"a": TensorPickle._append,
    b"e": TensorPickle._appends,
    b"s": TensorPickle._set_item,
    b"u": TensorPickle._set_items,
    b"c": TensorPickle._name,
    b"R": TensorPickle._call,
    b"b": TensorPickle._build,
    b"Q": TensorPickle._storage,
}
