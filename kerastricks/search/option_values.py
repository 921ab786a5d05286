"""Values of a search space, which are numbers and text alone, as a configuration and a model take them."""

import ast
import dataclasses
from typing import Any

from kerastricks.training.config import Config, parse_value

_TYPES: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Config)}


def field_value(name: str, value: Any) -> Any:
    """The value of a field: text such as "none" is read where the field is not text."""
    return parse_value(value) if isinstance(value, str) and _TYPES[name] is not str else value


def option_value(value: Any) -> Any:
    """The value of a model's option: "(64, 128)" is a tuple and "none" is None."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    if value.strip().startswith(("(", "[")):
        try:
            return tuple(ast.literal_eval(value.strip()))
        except (ValueError, SyntaxError, TypeError):
            return value
    return value
