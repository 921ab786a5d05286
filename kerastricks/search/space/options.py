"""Options of the zoo's models, and conversion of a space's values (numbers and text) to option values."""

import ast
import dataclasses
import inspect
from typing import Any

from kerastricks import spec
from kerastricks.errors import SpaceError, nearest
from kerastricks.models.catalog import CATALOG, MODELS
from kerastricks.training.config import Config, parse_value

COMMON_OPTIONS = ("activation", "initializer", "regularizer", "dropout")
_TYPES: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Config)}


def model_options(model: str) -> dict[str, Any]:
    """Names and values of a model's options, as its spec sets them or by default.

    Args:
        model: a spec of the zoo, "resnet_20(dropout=0.1)".

    Raises:
        UnknownNameError: for a model that the zoo does not have.
    """
    parsed = spec.parse(model)
    parameters = inspect.signature(MODELS[parsed.name]).parameters.values()
    known = {
        p.name: p.default
        for p in parameters
        if p.name not in ("x", "weights") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    config = CATALOG[parsed.name].config if parsed.name in CATALOG else {}
    return {**known, **config, **parsed.kwargs}


def check_option(model: str, option: str) -> None:
    """Raises SpaceError, with the nearest names, for an option the model does not have."""
    known = model_options(model)
    if option not in known:
        near = nearest(option, known)
        hint = f"did you mean {', '.join(f'model.{name}' for name in near)}?" if near else f"it has {', '.join(known)}"
        raise SpaceError(f"model.{option}: {spec.parse(model).name} has no option {option!r}: {hint}")


def field_value(name: str, value: Any) -> Any:
    """Converts the value of a field: text such as "none" is parsed where the field is not text."""
    return parse_value(value) if isinstance(value, str) and _TYPES[name] is not str else value


def option_value(value: Any) -> Any:
    """Converts the value of a model's option: "(64, 128)" is a tuple and "none" is None."""
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
