"""Specs: things written as short strings, "resnet_20(dropout=0.1)", "flip | pad_crop(4)" or "applications/ResNet50".

A spec is read as Python's grammar and only literals are accepted as arguments: nothing is evaluated.
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerastricks.errors import SpecError, UsageError


@dataclass(frozen=True)
class Spec:
    """One parsed call: its name and its literal arguments."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments = [repr(value) for value in self.args]
        arguments += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name

    def call(self, function: Callable[..., Any], **more: Any) -> Any:
        """Calls `function` with the arguments of the spec and `more`, which the spec may not set.

        Raises:
            SpecError: for arguments that `function` does not have, or whose values it refuses.
        """
        parameters = inspect.signature(function).parameters
        known = [name for name in parameters if name not in more]
        reserved = sorted(set(more) & set(self.kwargs))
        try:
            if reserved:
                raise TypeError(f"{reserved[0]} cannot be set here")
            inspect.signature(function).bind(*self.args, **more, **self.kwargs)
        except TypeError as error:
            raise SpecError(f"{self}: {error} (arguments of {self.name}: {', '.join(known) or 'none'})") from None
        try:
            return function(*self.args, **more, **self.kwargs)
        except UsageError:
            raise
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise SpecError(f"{self}: {' '.join(str(error).split())}") from error


def parse(text: str) -> Spec:
    """Parses one "name(a, k=v)"."""
    specs = parse_sequence(text)
    if len(specs) != 1:
        raise SpecError(f"{text!r}: expected one name(...), received {len(specs)}")
    return specs[0]


def parse_sequence(text: str) -> list[Spec]:
    """Parses "a | b(4) | c(0.1, mode='x')"; the empty string is the empty sequence."""
    if not text.strip():
        return []
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise SpecError(
            f"{text!r}: does not parse at column {error.offset}: expected name(literal, ...) | ..."
        ) from None
    return [_one(node, text) for node in _flatten(tree)]


def _flatten(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_flatten(node.left), *_flatten(node.right)]
    return [node]


def _one(node: ast.expr, text: str) -> Spec:
    group, node = _group(node)
    if isinstance(node, ast.Name):
        return Spec(group + node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise SpecError(f"{text!r}: expected name or name(...) at column {node.col_offset + 1}")
    try:
        args = tuple(ast.literal_eval(argument) for argument in node.args)
        kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ValueError
            if keyword.arg in kwargs:
                raise SpecError(f"{text!r}: {keyword.arg} is given twice to {node.func.id}")
            kwargs[keyword.arg] = ast.literal_eval(keyword.value)
    except SpecError:
        raise
    except (ValueError, TypeError):
        raise SpecError(f"{text!r}: arguments of {node.func.id} must be literals (4, 0.1, 'name')") from None
    return Spec(group + node.func.id, args, kwargs)


def _group(node: ast.expr) -> tuple[str, ast.expr]:
    """("group/", the rest) of a name in a group, "applications/ResNet50(...)"; one stroke and no more."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.left, ast.Name):
        return f"{node.left.id}/", node.right
    return "", node
