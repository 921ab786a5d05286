"""Public names of a package that load on first use (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], Callable[[], None]]:
    """`__getattr__`, `__dir__` and `load_all` for a package.

    Args:
        package: the package's `__name__`.
        modules: public name to the submodule that defines it; "" for a submodule that is itself public.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{modules[name] or name}")
        value = getattr(module, name) if modules[name] else module
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(modules)

    def load_all() -> None:
        for name in modules:
            get(name)

    return get, names, load_all
