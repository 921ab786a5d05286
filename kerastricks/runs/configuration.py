"""The initial configuration of a job, from its caller's arguments; nothing slow is imported."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from kerastricks import recipes
from kerastricks.data.sources.names import check_source
from kerastricks.errors import ConfigError, UsageError
from kerastricks.training.config import Config

_OF_THE_DATA = ("data", "validation", "test", "max_pixels", "max_skipped", "classes", "group")
METHODS = ("auto", "mean", "geometric", "vote", "weighted", "greedy", "stack", "soup", "greedy_soup", "fuse")
CLASSIFIERS = ("logistic", "linear", "mlp")  # of "fuse"
REMEDIES = ("auto", "logit_adjustment", "tau_norm", "retrain", "thresholds")  # of `rebalance`
REMEDY_METRICS = ("balanced_accuracy", "macro_f1", "accuracy")
UNCHANGED = "unchanged"  # where no remedy gains
Source = str | os.PathLike[str] | recipes.Recipe


class _Fields(TypedDict, total=False):
    data: str | None
    augment: str
    image_size: int | None
    crop_fraction: float
    interpolation: str
    classes: str | None
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    scale_lr: str
    base_batch: int
    weight_decay: float
    label_smoothing: float
    imbalance: str
    clip_norm: float | None
    early_stopping_epochs: int | str | None
    monitor: str
    validation: float
    test: float
    group: str | None
    seed: int
    split_seed: int | None
    bagging: bool
    average: str
    keep: str
    precision: str
    jit: bool | str
    max_pixels: int
    max_skipped: float


class ConfigFields(_Fields, total=False):
    """Fields of `kerastricks.training.Config` as keyword arguments."""

    model: str
    epochs: int | None
    minutes: float | None


class FinetuningFields(_Fields, total=False):
    """Fields of a fine-tuning, whose network is the backbone."""

    epochs: int | None


class SearchFields(_Fields, total=False):
    """Fields of a search, which has epochs and minutes of its own."""

    model: str


def recipe_of(source: Source | None) -> recipes.Recipe | None:
    """Find the recipe that a source is or names; None for data.

    Raises:
        UsageError: for what is no source.
    """
    if source is None or isinstance(source, recipes.Recipe):
        return source
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"source must be a path, a name or a recipe; a run that was begun is resumed by resume=PATH. Received: "
            f"{type(source).__name__}"
        )
    return recipes.of_source(Path(source) if isinstance(source, os.PathLike) else source)


def configure(
    source: Source | None, config: Config | None, fields: Mapping[str, Any]
) -> tuple[Config, recipes.Recipe | None]:
    """Merge a source's configuration, a configuration and fields; later ones win.

    Args:
        source: a path or name of images, or a recipe with its own fields.
        config: None for the recipe's fields, or the defaults.
        fields: that replace others.

    Returns:
        The configuration, with data, and the recipe.

    Raises:
        UsageError: where data are missing or given twice, or a field does not exist.
    """
    recipe = recipe_of(source)
    of_source: dict[str, Any] = {}
    if recipe is not None:
        of_source = recipe.config
    elif source is not None:
        of_source = {"data": os.fspath(source)}  # type: ignore[arg-type]
    if config is not None:
        named = of_source.get("data")
        if source is not None and source is not recipe and config.data not in (None, named):
            raise ConfigError(
                f"source and config.data exclude each other: leave one out. Received: {named}, {config.data}"
            )
        of_source = {"data": config.data if config.data is not None else of_source.get("data")}
    whole = Config.from_layers(of_source, without_data(config), fields)
    if whole.data is None:
        raise ConfigError("data is missing: name a folder, a zip, a data set or a recipe")
    return whole, recipe


def without_data(config: Config | None) -> dict[str, Any]:
    """The fields of a configuration without `data`; none of None."""
    return {name: value for name, value in config.as_dict().items() if name != "data"} if config is not None else {}


def fields_of_data(source: Source | None) -> dict[str, Any]:
    """The fields of a source or recipe that concern data and their reading."""
    recipe = recipe_of(source)
    if recipe is not None:
        return {name: value for name, value in recipe.config.items() if name in _OF_THE_DATA}
    return {} if source is None else {"data": os.fspath(source)}  # type: ignore[arg-type]


def check_early(config: Config, recipe: recipes.Recipe | None) -> None:
    """Refuse an unknown model or source before anything slow.

    Raises:
        UsageError: naming what is not there.
    """
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse

    if recipe is None or recipe.create_model is None:
        MODELS.check(parse(config.model).name)
    if recipe is None:
        check_source(str(config.data))


def as_path(path: str | os.PathLike[str]) -> Path:
    """Convert a caller's path; "~" is the home directory."""
    return Path(path).expanduser()


def changed(config: Config) -> dict[str, Any]:
    """The fields that are not the defaults."""
    return {
        one.name: getattr(config, one.name)
        for one in dataclasses.fields(config)
        if getattr(config, one.name) != one.default
    }
