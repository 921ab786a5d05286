"""Preparation of a search before its first trial: range test, step time, space."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.errors import SearchError
from kerastricks.progress import Progress
from kerastricks.range_test.budget import plan_range_test
from kerastricks.range_test.for_trainings import find_learning_rate
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.training_run import new_model
from kerastricks.search.space.defaults import DataFacts, default_space
from kerastricks.search.space.space import Space
from kerastricks.search.space.space_file import load_space
from kerastricks.training.config import Config
from kerastricks.training.resolved_config import resolve
from kerastricks.training.size_timing import SizeTiming, own_size, size_timer

_SHOWN = ("suggestion", "interval", "spread", "confidence", "reason")


def find_rate(
    config: Config, data: ImageData, folder: Path, progress: Progress, timing: SizeTiming, seconds: float
) -> dict[str, Any]:
    """Runs the range test on the base configuration.

    Args:
        config: of the search.
        data: its images.
        folder: of the search, with the recipe where there is one.
        progress: shows how far it is.
        timing: of a training step.
        seconds: time limit: sweeps and steps are cut until it fits.

    Raises:
        SearchError: for a model that diverges at every rate.
    """
    config = resolve(config, data)
    model = new_model(RunFolder(folder), config, data, lambda line: None)
    plan = plan_range_test([timing.image_size], lambda size: timing, lambda: seconds)
    result = find_learning_rate(model, data, config, progress, seconds, sweeps=plan.sweeps, steps=plan.steps)
    if result.suggestion is None and result.reason.startswith("diverged"):
        raise SearchError(
            f"{config.model} with {config.optimizer} cannot be trained at any rate ({result.reason}): look at it with "
            f"kerastricks check init, or choose another --model"
        )
    return {name: value for name, value in result.to_dict().items() if name in _SHOWN}


def time_steps(config: Config, data: ImageData, folder: Path) -> SizeTiming:
    """Times the training steps of the base configuration."""
    config = resolve(config, data)

    def create(shape: tuple[int, int, int]) -> keras.Model:
        return new_model(RunFolder(folder), config, data, lambda line: None)

    timing = size_timer(create, data, config, 0.0)(own_size(data))
    keras.backend.clear_session()
    return timing


def make_space(
    job: dict[str, Any], config: Config, facts: DataFacts, found: dict[str, Any] | None
) -> tuple[Config, Space]:
    """Builds the space and the base configuration, with the suggested rate unless one is given.

    Args:
        job: space_file, recipe, keep_rate.
        config: of the search.
        facts: of its images.
        found: result of the range test, or None.
    """
    own_model = has_own_model(Path(job["recipe"]))
    interval = None
    if found is not None and found["suggestion"] is not None:
        interval = (found["interval"][0], found["interval"][1])
        if not job["keep_rate"]:
            config = dataclasses.replace(config, learning_rate=found["suggestion"])
    if job["space_file"] is None:
        return config, default_space(config, facts, interval, own_model=own_model)
    return config, load_space(job["space_file"], config, facts, interval, own_model=own_model)


def has_own_model(recipe: Path) -> bool:
    """Whether the search's recipe creates its own model."""
    return recipe.exists() and recipes.load(recipe).create_model is not None
