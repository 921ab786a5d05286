"""Search spaces from TOML files."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerastricks.bounds import shown
from kerastricks.errors import SpaceError, UnknownNameError, nearest
from kerastricks.search.space.checks import check_space
from kerastricks.search.space.defaults import DataFacts, default_space, strength_parameter
from kerastricks.search.space.options import model_options
from kerastricks.search.space.parameter import Parameter
from kerastricks.search.space.space import MODEL, STRENGTH, Space, check_name
from kerastricks.training.config import Config

KEYS = ("default", "max", "min", "sampling", "step", "value", "values", "when")
_BEFORE_LOADING = DataFacts(1_000_000, (32, 32, 3), 10, "flip | pad_crop(4)")


def load_space(
    path: str | Path,
    base: Config,
    facts: DataFacts | None = None,
    lr_interval: tuple[float, float] | None = None,
    *,
    own_model: bool = False,
) -> Space:
    """Reads a space file and tries its values; see docs/search_space.md.

    Args:
        path: of the file.
        base: the configuration of what is not searched.
        facts: of the images; None checks what can be checked before they are loaded, for a space that is not used.
        lr_interval: as `default_space` takes it, for a file that extends it.
        own_model: whether a recipe creates the model.

    Returns:
        A `Space`, every value of which was tried.

    Raises:
        SpaceError: for a file that does not parse, or an unknown name or value; it names file and table.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SpaceError(f"{path}: is not UTF-8 text") from None
    except ValueError as error:  # not only TOMLDecodeError: a number of too many digits
        raise SpaceError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise SpaceError(f"{path}: is nested too deeply") from None
    try:
        space = _read(tables, base, facts or _BEFORE_LOADING, lr_interval, own_model)
        check_space(space, base, facts, own_model=own_model)
    except (SpaceError, UnknownNameError) as error:
        raise SpaceError(f"{path}: {error}") from None
    return space


def _read(
    tables: dict[str, Any], base: Config, facts: DataFacts, lr_interval: tuple[float, float] | None, own_model: bool
) -> Space:
    extends = tables.pop("extends", None)
    if extends not in (None, "default"):
        raise SpaceError(f'extends must be "default". Received: {shown(extends)}')
    parameters: dict[str, Parameter] = {}
    if extends:
        default = default_space(base, facts, lr_interval, own_model=own_model)
        parameters = {parameter.name: parameter for parameter in default}
    for name, entry in _flat(tables):
        check_name(name)
        parameters[name] = _parameter(name, entry, base, facts, own_model)
        if name == "augment":
            parameters.pop(STRENGTH, None)
    if not parameters:
        raise SpaceError("nothing to search: give a table with min and max, or values")
    return Space(list(parameters.values()))


def _flat(tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """[model.dropout] is ["model.dropout"]; any other key in [model] is an option of the model."""
    for name, entry in tables.items():
        if name not in ("model", "augment") or not isinstance(entry, dict):
            yield name, entry
            continue
        own = {key: value for key, value in entry.items() if key in KEYS}
        if own or not entry:
            yield name, own
        yield from ((f"{name}.{key}", value) for key, value in entry.items() if key not in own)


def _parameter(name: str, entry: Any, base: Config, facts: DataFacts, own_model: bool) -> Parameter:
    if isinstance(entry, list):
        raise SpaceError(f"{name}: expected a value or a table. Received a list: write values = [...] in [{name}]")
    entry = dict(entry) if isinstance(entry, dict) else {"value": entry}
    for key in entry:
        if key not in KEYS:
            near = nearest(key, KEYS)
            hint = f"did you mean {', '.join(near)}?" if near else f"there is {', '.join(KEYS)}"
            raise SpaceError(f"{name}: no key is called {key!r}: {hint}")
    if sum(bool(found) for found in ("value" in entry, "values" in entry, "min" in entry or "max" in entry)) != 1:
        received = ", ".join(entry) or "none"
        raise SpaceError(f"{name}: needs min and max, or values, or value, only one of these. Received: {received}")
    arguments: dict[str, Any] = {"when": _when(name, entry.get("when", {}))}
    for key in ("sampling", "step", "default"):
        if key in entry:
            arguments[key] = _scalar(name, key, entry[key])
    if "value" in entry:
        arguments |= {"kind": "fixed", "values": (_scalar(name, "value", entry["value"]),)}
    elif "values" in entry:
        if not isinstance(entry["values"], list):
            raise SpaceError(f"{name}: values must be a list. Received: {shown(entry['values'])}")
        arguments |= {"kind": "choice", "values": tuple(_scalar(name, "values", value) for value in entry["values"])}
    else:
        arguments |= {key: _scalar(name, key, entry.get(key)) for key in ("min", "max")}
        arguments["kind"] = _kind(name, entry, base, own_model)
    if name == STRENGTH:
        return strength_parameter(base, facts, **arguments)
    parameter = Parameter(name, **arguments)
    start = _start(name, base, own_model)
    if "default" not in entry and parameter.takes(start):
        parameter = Parameter(name, **{**arguments, "default": start})
    return parameter


def _kind(name: str, entry: Mapping[str, Any], base: Config, own_model: bool) -> str:
    """The kind of a range: "int" where the field or option is a count."""
    start = _start(name, base, own_model)
    if name == STRENGTH or (isinstance(start, int) and not isinstance(start, bool)):
        return "int"
    if isinstance(start, float):
        return "float"
    return "int" if all(isinstance(entry.get(key), int) for key in ("min", "max")) else "float"


def _start(name: str, base: Config, own_model: bool) -> Any:
    """The value in `base`."""
    if not name.startswith(MODEL):
        return getattr(base, name, None)
    return None if own_model else model_options(base.model).get(name.removeprefix(MODEL))


def _when(name: str, when: Any) -> dict[str, Any]:
    if not isinstance(when, dict):
        raise SpaceError(f'{name}: when must be a table, {{ optimizer = "adamw" }}. Received: {shown(when)}')
    return {
        parent: tuple(_scalar(name, "when", value) for value in (allowed if isinstance(allowed, list) else [allowed]))
        for parent, allowed in _dotted(when)
    }


def _dotted(when: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """{ model.dropout = 0 } is { "model.dropout" = 0 }."""
    for parent, allowed in when.items():
        if isinstance(allowed, dict):
            yield from ((f"{parent}.{key}", value) for key, value in allowed.items())
        else:
            yield parent, allowed


def _scalar(name: str, key: str, value: Any) -> Any:
    """A number, text, true or false; a list of numbers is the text of a tuple: widths = [64, 128]."""
    if isinstance(value, list) and name.startswith(MODEL) and key in ("value", "values", "default", "when"):
        return str(tuple(value))
    if isinstance(value, bool | int | float | str):
        return value
    missing = "is missing" if value is None else f"must be a number, text, true or false. Received: {shown(value)}"
    raise SpaceError(f"{name}: {key} {missing}")
