"""The base of all records in summary.json: dataclasses that are read from JSON and written to it unchanged."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin

from kerastricks.errors import RunFolderError


@dataclass(frozen=True, kw_only=True)
class JsonRecord:
    """A record whose fields are those of a JSON object, in their order.

    A field with the default None is optional: left out of the JSON where it is None. One without a default is always
    there, as null where it is None. `metadata={"key": NAME}` is its name in the JSON where that is another. Fields may
    be records, tuples of records, and dicts with records as values.

    Attributes:
        more: fields of a newer version, as they were read; last in the JSON.
    """

    more: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read a JSON object.

        Args:
            record: its content.

        Raises:
            RunFolderError: where a field is missing, or something else than an object or a list is in its place.
        """
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()
        if not isinstance(record, Mapping):
            raise RunFolderError(f"is no {kind}: must be an object. Received: {record!r:.60}")
        fields = {_key(one): one for one in cls._fields()}
        missing = [key for key, one in fields.items() if key not in record and one.default is dataclasses.MISSING]
        if missing:
            raise RunFolderError(f"is no {kind}: {', '.join(missing)} missing")
        values: dict[str, Any] = {}
        for key, one in fields.items():
            if key in record:
                try:
                    values[one.name] = _read(one.type, record[key])
                except (AttributeError, TypeError):
                    raise RunFolderError(f"is no {kind}: {key} is {record[key]!r:.60}") from None
        read = cls(**values)
        read.more.update({key: value for key, value in record.items() if key not in fields})
        return read

    def to_json(self) -> dict[str, Any]:
        """The object that `from_json` reads, of plain values."""
        left_out = self._left_out()
        known = {_key(one): _plain(getattr(self, one.name)) for one in self._fields() if one.name not in left_out}
        return known | self.more

    def _left_out(self) -> set[str]:
        """Names of the optional fields that the JSON lacks."""
        return {one.name for one in self._fields() if one.default is None and getattr(self, one.name) is None}

    @classmethod
    def _fields(cls) -> list[dataclasses.Field[Any]]:
        return [one for one in dataclasses.fields(cls) if one.name != "more"]


def _key(one: "dataclasses.Field[Any]") -> str:
    return str(one.metadata.get("key", one.name))


def _read(kind: Any, value: Any) -> Any:
    """A JSON value as a field's type wants it; a union of several types takes it as it is."""
    origin, inner = get_origin(kind), [one for one in get_args(kind) if one is not NoneType]
    if value is None:
        return None
    if origin is UnionType:
        return _read(inner[0], value) if len(inner) == 1 else value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(_read(inner[0], one) for one in value)
    if origin is dict:
        return {name: _read(inner[1], one) for name, one in value.items()}
    return kind.from_json(value) if isinstance(kind, type) and issubclass(kind, JsonRecord) else value


def _plain(value: Any) -> Any:
    if isinstance(value, JsonRecord):
        return value.to_json()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
