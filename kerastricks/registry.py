"""One small registry: names to things that are imported when they are first asked for."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from kerastricks.errors import UnknownNameError

T = TypeVar("T")


class Registry(Mapping[str, Any]):
    """A map from names to what they stand for; listing the names imports nothing.

    Args:
        kind: what the things are, for messages: "model", "op".
        entries: name to "module:attribute".
        list_command: the command that lists all names, for messages.
    """

    def __init__(self, kind: str, entries: Mapping[str, str] | None = None, list_command: str | None = None) -> None:
        self.kind = kind
        self.list_command = list_command
        self._entries: dict[str, Any] = dict(entries or {})

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds one's own thing under `name`; a name that is taken raises ValueError."""

        def add(thing: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered already: choose another name")
            self._entries[name] = thing
            return thing

        return add

    def check(self, name: str) -> None:
        """Raise UnknownNameError, with the nearest names, for a name that is not there; imports nothing."""
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
