"""Specs: things written as short strings, "resnet_20(dropout=0.1)", "flip | pad_crop(4)" or "applications/ResNet50".

A spec is read as Python's grammar and nothing is evaluated. Arguments are literals; a bare word is text, and so is a
spec inside a spec: `plain_cnn(activation=leaky_relu(0.2))` is `plain_cnn(activation='leaky_relu(0.2)')`.
"""

import ast
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerastricks.errors import KerasTricksError, SpecError

WORDS = {"true": True, "false": False, "none": None, "null": None}  # as other languages spell them
_LONGEST = 10_000  # characters; deep nesting in much longer texts can crash Python's parser


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
        """Call `function` with the arguments of the spec and `more`, which the spec may not set.

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
        except KerasTricksError:
            raise
        except Exception as error:  # layers and their backend refuse a value with any of a dozen classes
            raise SpecError(f"{self}: {_reason(error)}") from error


def parse(text: str) -> Spec:
    """Parse one "name(a, k=v)".

    Raises:
        SpecError: for a text that does not parse, or holds none or several.
    """
    specs = parse_sequence(text)
    if len(specs) != 1:
        raise SpecError(f"{_shown(text)}: expected one name(...), received {len(specs)}")
    return specs[0]


def parse_sequence(text: str) -> list[Spec]:
    """Parse "a | b(4) | c(0.1, mode=x)"; the empty string is the empty sequence.

    Raises:
        SpecError: for a text that does not parse, or arguments that are no literals; the message names the column.
    """
    if not text.strip():
        return []
    if len(text) > _LONGEST:
        raise SpecError(f"{_shown(text)}: a spec has at most {_LONGEST:,} characters. Received: {len(text):,}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return [_one(node, text) for node in _flatten(tree)]
    except SyntaxError as error:
        raise SpecError(
            f"{_shown(text)}: does not parse at column {error.offset or 1}: expected name(literal, ...) | ..."
        ) from None
    except UnicodeError:
        raise SpecError(f"{_shown(text)}: is not valid UTF-8") from None
    except (RecursionError, MemoryError):  # Python's parser raises either
        raise SpecError(f"{_shown(text)}: is nested too deeply") from None


def _flatten(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_flatten(node.left), *_flatten(node.right)]
    return [node]


def _one(node: ast.expr, text: str) -> Spec:
    group, node = _group(node)
    if isinstance(node, ast.Name):
        return Spec(group + node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise SpecError(f"{_shown(text)}: expected name or name(...) at column {node.col_offset + 1}")
    try:
        args = tuple(_value(argument, text) for argument in node.args)
        kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ValueError
            if keyword.arg in kwargs:
                raise SpecError(f"{_shown(text)}: {keyword.arg} is given twice to {node.func.id}")
            kwargs[keyword.arg] = _value(keyword.value, text)
    except SpecError:
        raise
    except (ValueError, TypeError):  # TypeError: a list as the key of a dictionary
        raise SpecError(
            f"{_shown(text)}: arguments of {node.func.id} must be literals or names (4, 0.1, name, name(4), 'any text')"
        ) from None
    return Spec(group + node.func.id, args, kwargs)


def _value(node: ast.expr, text: str) -> Any:
    """Value of an argument; raises ValueError or TypeError for anything but a literal, a name or a spec."""
    match node:
        case ast.Constant(value=bool() | str() | None as value):
            return value
        case ast.Constant(value=int() | float() as value):
            return _number(value, text)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)):
            if isinstance(value, bool):
                raise ValueError
            return -_number(value, text) if isinstance(sign, ast.USub) else _number(value, text)
        case ast.Name(id=word):
            if word.lower() in ("inf", "infinity", "nan"):
                raise SpecError(f"{_shown(text)}: a number must be finite")
            return WORDS.get(word.lower(), word)
        case ast.Tuple(elts=parts):
            return tuple(_value(part, text) for part in parts)
        case ast.List(elts=parts):
            return [_value(part, text) for part in parts]
        case ast.Dict(keys=keys, values=values):
            if None in keys:  # {**other}
                raise ValueError
            return {_value(key, text): _value(each, text) for key, each in zip(keys, values, strict=True) if key}
        case ast.Call(func=ast.Name()) | ast.BinOp(op=ast.BitOr() | ast.Div()):
            for part in _flatten(node):
                _one(part, text)
            # As it was typed: quotes in quotes would double their backslashes at every level.
            return ast.get_source_segment(text.strip(), node)
    raise ValueError


def _number(value: float, text: str) -> float:
    if isinstance(value, int) and value >= 2**63:
        raise SpecError(f"{_shown(text)}: a whole number must be below 2^63")  # more digits may not even be printable
    if not math.isfinite(value):
        raise SpecError(f"{_shown(text)}: a number must be finite")
    return value


def _group(node: ast.expr) -> tuple[str, ast.expr]:
    """("group/", the remainder) of a name in a group, "applications/ResNet50(...)"; at most one slash."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.left, ast.Name):
        return f"{node.left.id}/", node.right
    return "", node


def _reason(error: Exception) -> str:
    """Reason why a function refuses a value; in plain words where it asks for more memory than there is."""
    said = " ".join(str(error).split())
    # The words of TensorFlow, of JAX, of torch and of NumPy.
    if isinstance(error, MemoryError) or re.search(r"\bOOM\b|out of memory|RESOURCE_EXHAUSTED|can't allocate", said):
        return "needs more memory than there is: take smaller numbers"
    return re.sub(r"^\{\{function_node [^}]*\}\} ?", "", said) or type(error).__name__


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
