"""Checks of a search space before the search: each value is tried."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from kerastricks import spec
from kerastricks.augment import sequence
from kerastricks.errors import SpaceError, UsageError
from kerastricks.models.catalog import MODELS
from kerastricks.models.creation import create
from kerastricks.models.options import ModelOptions
from kerastricks.search.space.defaults import DataFacts
from kerastricks.search.space.options import COMMON_OPTIONS, check_option, field_value, model_options, option_value
from kerastricks.search.space.parameter import Parameter, Value
from kerastricks.search.space.space import MODEL, STRENGTH, Space
from kerastricks.training.config import Config
from kerastricks.training.optimizer import build_optimizer


def check_space(space: Space, base: Config, facts: DataFacts | None = None, *, own_model: bool = False) -> None:
    """Tries each value of a space: each of a choice, both ends of a range.

    Models are built where their own options vary, which takes about a second each.

    Args:
        space: to be searched.
        base: the configuration of what is not searched.
        facts: of the images; None skips the checks that depend on them.
        own_model: whether a recipe creates the model: its options are then refused.

    Raises:
        SpaceError: for a value that is refused, or nothing to search; it names the parameter.
    """
    if not space.searched:
        raise SpaceError("nothing to search: each parameter has only one value")
    for parameter in space:
        try:
            if parameter.name.startswith(MODEL):
                _check_option(parameter, space, base, facts, own_model)
            elif parameter.name == STRENGTH:
                _check_strength(parameter)
            else:
                for value in parameter.tried():
                    _check_field(parameter.name, value, base, facts, own_model)
        except SpaceError:
            raise
        except (UsageError, ValueError, TypeError) as error:
            raise SpaceError(f"{parameter.name}: {' '.join(str(error).split())}") from None


def _check_field(name: str, value: Value, base: Config, facts: DataFacts | None, own_model: bool) -> None:
    config = dataclasses.replace(base, **{name: field_value(name, value)})
    if name == "model":
        if own_model:
            raise SpaceError("model: the recipe creates its own model")
        MODELS.check(spec.parse(config.model).name)
        if facts is not None:
            _build(config.model, facts)
    elif name in ("optimizer", "schedule"):
        build_optimizer(config, 1000, keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    elif name == "augment" and config.augment != "auto":
        sequence.read(config.augment, None)
    elif name == "batch_size" and facts is not None and config.batch_size > facts.images:
        raise SpaceError(f"batch_size: must be at most the {facts.images:,} training images. Received: {value}")


def _check_strength(parameter: Parameter) -> None:
    for value in parameter.tried():
        if not 0 <= int(value) < len(parameter.stands_for):
            raise SpaceError(f"{STRENGTH}: must be in 0-{len(parameter.stands_for) - 1}. Received: {value}")


def _check_option(parameter: Parameter, space: Space, base: Config, facts: DataFacts | None, own_model: bool) -> None:
    if own_model:
        raise SpaceError(f"{parameter.name}: the recipe creates its own model: search fields of the configuration")
    option = parameter.name.removeprefix(MODEL)
    for model in _models(parameter, space, base):
        check_option(model, option)
        for value in parameter.tried():
            changed = _with_option(model, option, option_value(value))
            if option in COMMON_OPTIONS:
                _check_option_value(option, option_value(value))
            elif facts is not None and model_options(model)[option] != option_value(value):
                _build(changed, facts)


def _models(parameter: Parameter, space: Space, base: Config) -> Iterator[str]:
    """The models whose option may be set."""
    if "model" not in space:
        yield base.model
        return
    for value in space["model"].values:
        if value in parameter.when.get("model", (value,)):
            yield str(value)


def _with_option(model: str, option: str, value: Any) -> str:
    parsed = spec.parse(model)
    return str(spec.Spec(parsed.name, parsed.args, {**parsed.kwargs, option: value}))


def _check_option_value(option: str, value: Any) -> None:
    """Builds a layer of two units with the option."""
    options = ModelOptions(**{"activation": "relu", option: value})
    options.activate(options.dense(keras.Input((2,)), 2, "dense"), "activation")


def _build(model: str, facts: DataFacts) -> None:
    create(model, facts.image_shape, facts.classes)
