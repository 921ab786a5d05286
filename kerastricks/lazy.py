"""Public names: those of a package load on first use (PEP 562), and former ones are refused with the new one named."""

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from kerastricks.errors import FormerNameError
from kerastricks.keras_hook import PACKAGES_WITH_CUSTOM_OBJECTS

_Function = TypeVar("_Function", bound=Callable[..., Any])


def attach(
    package: str, modules: Mapping[str, str], former: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], Callable[[], None]]:
    """`__getattr__`, `__dir__` and `load_all` for a package.

    No module of the package may be named like what the package exports: importing it would bind the name to it.

    Args:
        package: the package's `__name__`.
        modules: public name to the submodule that defines it.
        former: public names of earlier versions, and what is said of them: "is now ...", "was removed: ...".
    """

    def get(name: str) -> Any:
        if former and name in former:
            raise _error_for_caller()(f"{package}.{name} {former[name]}")
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if package in PACKAGES_WITH_CUSTOM_OBJECTS:
            # First: its import loads these packages, which must not find one of their modules half executed.
            importlib.import_module("keras")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(modules)

    def load_all() -> None:
        for module in dict.fromkeys(modules.values()):
            importlib.import_module(f"{package}.{module}")

    return get, names, load_all


def _error_for_caller() -> type[Exception]:
    """ImportError for `from package import name`, whose statement would hide the message of an AttributeError."""
    import inspect  # here, since only an error needs it

    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame and frame.f_back
    importing = frame is not None and frame.f_globals.get("__name__") == "importlib._bootstrap"
    return ImportError if importing else AttributeError


def renamed_arguments(**names: str) -> Callable[[_Function], _Function]:
    """Decorates a function, or a class, some of whose arguments were renamed: a former name raises `FormerNameError`.

    Args:
        **names: former name to the name of today.
    """

    def decorate(function: _Function) -> _Function:
        if isinstance(function, type):
            cls: Any = function
            cls.__init__ = decorate(cls.__init__)
            return function

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for former, name in names.items():
                if former in kwargs:
                    raise FormerNameError(function.__qualname__.removesuffix(".__init__"), former, name)
            return function(*args, **kwargs)

        return cast(_Function, call)

    return decorate
