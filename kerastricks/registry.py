"""Registry of names: what they refer to is imported on first use."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from kerastricks.errors import UnknownNameError

T = TypeVar("T")


class Registry(Mapping[str, Any]):
    """Mapping of names to objects; listing the names imports nothing.

    Args:
        kind: of the objects, for messages: "model", "op".
        entries: name to "module:attribute".
        list_command: the command that lists all names, for messages.
    """

    def __init__(self, kind: str, entries: Mapping[str, str] | None = None, list_command: str | None = None) -> None:
        self.kind = kind
        self.list_command = list_command
        self._entries: dict[str, Any] = dict(entries or {})

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers an object under `name`; a name that is taken raises ValueError."""

        def add(thing: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered already: choose another name")
            self._entries[name] = thing
            return thing

        return add

    def check(self, name: str) -> None:
        """Raises UnknownNameError, with the nearest names, for an unknown name; imports nothing."""
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries, self.list_command)

    def __getitem__(self, name: str) -> Any:
        self.check(name)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), attribute)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
