"""HDF5 files: every link, data set and attribute is checked before anything of it is read."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t

from kerastricks.interop.report import MOST_FINDINGS, FileFinding, shortened

_MOST_OBJECTS = 200_000
_MOST_ATTRIBUTES = 2_000  # of an object: Keras writes long lists of names in parts
_MOST_ATTRIBUTE = 8_000_000  # bytes
_MOST_RANK = 16
_MOST_LEVELS = 64
_FREE_SIZE = 1_000_000  # bytes, up to which data may be declared and not stored
_LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}
# Of data sets that a version of Keras writes: also bfloat16 and float8, which HDF5 knows as bytes.
_DATA_TYPES = {h5t.FLOAT: (2, 4, 8), h5t.INTEGER: (1, 2, 4, 8), h5t.ENUM: (1,), h5t.OPAQUE: (1, 2)}
_ATTRIBUTE_TYPES = {**_DATA_TYPES, h5t.STRING: None}


@dataclass(frozen=True)
class StoredArray:
    """A data set: path without the leading "/", shape, dtype's name and bytes."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    size: int

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass
class HDF5Contents:
    """Contents of an HDF5 file without values; attributes of the root are read where they are texts."""

    arrays: list[StoredArray] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)
    root_attributes: set[str] = field(default_factory=set)
    findings: list[FileFinding] = field(default_factory=list)


def walk_hdf5(file: Any, size: int) -> HDF5Contents:
    """Walk over a file without following soft or external links and without reading values of data sets.

    Args:
        file: seekable, open for reading; HDF5 opens no other file.
        size: in bytes.

    Raises:
        Exception: whatever h5py raises for a damaged file.
    """
    contents = HDF5Contents()
    with h5py.File(file, "r", rdcc_nbytes=0) as opened:
        _Walk(contents, size).run(opened.id)
    return contents


class _Walk:
    """One walk, with the objects that were met."""

    def __init__(self, contents: HDF5Contents, size: int) -> None:
        self.contents, self.size = contents, size
        self.met: set[Any] = set()
        self.stored = 0
        self.declared = 0

    def refuse(self, code: str, path: str, why: str) -> None:
        if len(self.contents.findings) < MOST_FINDINGS:
            self.contents.findings.append(FileFinding(code=code, where="/" + shortened(path), why=why))

    def run(self, file: h5f.FileID) -> None:
        root = h5g.open(file, b"/")
        self.met.add(_address(root))
        pending = [(root, "")]
        while pending:
            group, path = pending.pop()
            self.contents.groups.add(path)
            self.check_attributes(group, path)
            for name, kind in self.links(group, path):
                inner = f"{path}/{name}" if path else name
                if kind != h5l.TYPE_HARD:
                    self.refuse("link", inner, f"is {_LINKS.get(kind, 'a link of an unknown kind')}")
                    continue
                opened = h5o.open(group, name.encode("utf-8", "surrogateescape"))
                if _address(opened) in self.met:
                    self.refuse("link", inner, "is a second name of another object, or a cycle")
                    continue
                self.met.add(_address(opened))
                if len(self.met) > _MOST_OBJECTS:
                    self.refuse("size", inner, f"is one of more than {_MOST_OBJECTS:,} objects")
                    return
                if inner.count("/") >= _MOST_LEVELS:
                    self.refuse("size", inner, f"is more than {_MOST_LEVELS} levels deep")
                elif isinstance(opened, h5g.GroupID):
                    pending.append((opened, inner))
                elif isinstance(opened, h5d.DatasetID):
                    self.check_attributes(opened, inner)
                    self.check_data(opened, inner)
                else:
                    self.refuse("dtype", inner, "is a named data type")
        if self.stored > self.size or self.declared - self.stored > _FREE_SIZE:
            self.refuse("size", "", f"declares {self.declared:,} bytes and stores {self.stored:,} in {self.size:,}")

    def links(self, group: h5g.GroupID, path: str) -> Iterator[tuple[str, int]]:
        number = group.get_num_objs()
        if number > _MOST_OBJECTS:
            self.refuse("size", path, f"has {number:,} members")
            return
        names: list[bytes] = []
        group.links.iterate(names.append)
        for name in names:
            yield name.decode("utf-8", "surrogateescape"), group.links.get_info(name).type

    def check_data(self, data: h5d.DatasetID, path: str) -> None:
        """Check where the values are before the shape is asked for: a virtual data set opens other files for that."""
        creation = data.get_create_plist()
        if creation.get_layout() == h5d.VIRTUAL:
            self.refuse("link", path, "is a virtual data set, whose values are in other files")
            return
        if creation.get_external_count():
            self.refuse(
                "link", path, f"has its values in another file ({shortened(os.fsdecode(creation.get_external(0)[0]))})"
            )
            return
        kind = data.get_type()
        width = kind.get_size()
        if width not in _DATA_TYPES.get(kind.get_class(), ()):
            self.refuse("dtype", path, f"is of a data type that Keras does not write (class {kind.get_class()})")
            return
        if creation.get_nfilters():
            self.refuse("filter", path, "is compressed or filtered, as Keras never writes: h5repack -f NONE removes it")
            return
        space = data.get_space()
        shape = () if space.get_simple_extent_type() != h5s.SIMPLE else tuple(space.get_simple_extent_dims())
        empty = space.get_simple_extent_type() == h5s.NULL
        declared = 0 if empty else math.prod(shape) * width
        stored = data.get_storage_size()
        self.declared += declared
        self.stored += stored
        chunk = math.prod(creation.get_chunk()) * width if creation.get_layout() == h5d.CHUNKED else 0
        offset = data.get_offset() or 0
        if len(shape) > _MOST_RANK or chunk > max(_FREE_SIZE, 2 * declared):
            self.refuse("size", path, f"has {len(shape)} dimensions, or chunks of {chunk:,} bytes")
        elif declared > stored and declared > _FREE_SIZE:
            self.refuse("size", path, f"declares {declared:,} bytes and stores {stored:,}")
        elif offset + (stored if offset else 0) > self.size:
            self.refuse("size", path, "ends after the file")
        self.contents.arrays.append(StoredArray(path, shape, self.dtype(data, kind), declared))

    def dtype(self, data: h5d.DatasetID, kind: h5t.TypeID) -> str:
        """Name of a checked type: bfloat16 and float8 are bytes, whose name is an attribute."""
        if kind.get_class() != h5t.OPAQUE:
            return kind.dtype.name
        if h5a.exists(data, b"dtype") and (text := _text(h5a.open(data, b"dtype"))):
            return text
        return f"opaque{8 * kind.get_size()}"

    def check_attributes(self, owner: Any, path: str) -> None:
        number = h5a.get_num_attrs(owner)
        if number > _MOST_ATTRIBUTES:
            self.refuse("size", path, f"has {number:,} attributes")
            return
        for index in range(number):
            attribute = h5a.open(owner, index=index)
            name = attribute.name.decode("utf-8", "replace")
            kind = attribute.get_type()
            sizes = _ATTRIBUTE_TYPES.get(kind.get_class(), ())
            if sizes is not None and kind.get_size() not in sizes:
                self.refuse("dtype", f"{path}@{name}", f"is of a type that Keras does not write ({kind.get_class()})")
            elif (size := math.prod(attribute.shape or ()) * kind.get_size()) > _MOST_ATTRIBUTE:
                self.refuse("size", f"{path}@{name}", f"is {size:,} bytes")
            elif not path or path == "model_weights":
                self.contents.root_attributes.add(name)
                if not path and (text := _text(attribute)) is not None:
                    self.contents.attributes[name] = text


def _address(opened: Any) -> tuple[int, int]:
    info = h5o.get_info(opened)
    return info.fileno, info.addr


def _text(attribute: h5a.AttrID) -> str | None:
    """Value of a scalar text attribute; None for all others, which nobody needs."""
    if attribute.get_type().get_class() != h5t.STRING or attribute.shape != ():
        return None
    import numpy

    value = numpy.empty((), dtype=attribute.dtype)
    attribute.read(value, mtype=h5t.py_create(attribute.dtype))
    found = value[()]
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
