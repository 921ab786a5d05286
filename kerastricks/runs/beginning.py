"""The beginning of a run: its folder, its config.json, and the check that a resumed run is the same."""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.data.sources.copies import describe_same_bytes
from kerastricks.errors import ConfigError, RunFolderError
from kerastricks.files import write_text
from kerastricks.runs.folder import RunFolder
from kerastricks.training import device
from kerastricks.training.config import Config
from kerastricks.training.optimizer import gradual_warmup


def start(
    config: Config,
    out: Path,
    name: str | None,
    recipe: recipes.Recipe | None,
    record: dict[str, Any] | None = None,
    *,
    prefix: str = "",
    option: str = "--out",
) -> RunFolder:
    """Make the folder of a new run; from here on it can be resumed.

    Args:
        config: of the training.
        out: the folder of run folders.
        name: of the run; None for MODEL-DATA-NUMBER.
        recipe: that the configuration came from, or None.
        record: what config.json says beside the configuration: of which series or distillation the run is.
        prefix: of the default name.
        option: that chose `out`, for messages.

    Raises:
        ConfigError: without data.
        RunFolderError: where the folder cannot be made.
    """
    if config.data is None:
        raise ConfigError("data is missing: name a folder, a zip, a data set or a recipe")
    config = with_whole_path(config)
    model, data = name_parts(config, recipe)
    with RunFolder.begin(out, name, f"{prefix}{model}", data, option) as run:
        if recipe is not None:
            shutil.copyfile(recipe.path, run.recipe)
        run.write(run.config, {"config": config.as_dict(), **(record or {}), "resolved": False})
    return run


def with_whole_path(config: Config) -> Config:
    """Resolve the path of the data, so that it holds wherever the run is resumed."""
    path = Path(os.path.expanduser(str(config.data)))
    return dataclasses.replace(config, data=str(path.resolve())) if path.exists() else config


def name_parts(config: Config, recipe: recipes.Recipe | None) -> tuple[str, str]:
    """The model and data parts of a run's name."""
    model = config.model.partition("(")[0].strip()
    return model if not (recipe and recipe.create_model) else recipe.name, Path(str(config.data)).stem


def differences(run: RunFolder, wanted: Mapping[str, Any]) -> list[str]:
    """Describe the fields of `wanted` that differ from the run's: "learning_rate: 0.1 in the run, 0.2 asked for"."""
    have = Config.from_layers(run.read(run.config)["config"]).as_dict()  # with the defaults of newer fields
    return [
        f"{name}: {have[name]!r} in the run, {value!r} asked for"
        for name, value in wanted.items()
        # The same data may have moved: its fingerprint is compared. What was "auto" has been decided.
        if name != "data" and value not in (have.get(name), "auto", None)
    ]


def write_resolved(run: RunFolder, config: Config, data: ImageData) -> None:
    """Write config.json: all decisions, the data, backend and device."""
    before = run.read(run.config) if run.config.exists() else {}
    run.write(
        run.config,
        {
            **{name: before[name] for name in ("series", "distillation", "labels", "budget") if name in before},
            "config": config.as_dict(),
            "resolved": True,
            "data": data.describe(),
            "backend": keras.backend.backend(),
            "device": device.describe(),
        },
    )


def refuse_other_data(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise RunFolderError unless the data are those that the run began with."""
    changes = [
        f"{name}: {before.get(name)} then, {now[name]} now"
        for name in now
        if name != "name" and before.get(name) != now[name]
    ]
    if not changes:
        return
    raise RunFolderError(
        f"{run.path}: the data set is not the one the run began with ({'; '.join(changes)}): bring it back, or start "
        f"a new run"
    )


def write_skipped(run: RunFolder, data: ImageData) -> None:
    """Write a line of JSON for each file that was left out."""
    write_text(run.skipped, "".join(json.dumps(record) + "\n" for record in data.skipped))


def describe_data(data: ImageData) -> list[str]:
    """Describe the loaded images and the files that were left out."""
    height, width, channels = data.image_shape
    counts = ", ".join(f"{batches.size:,} {name}" for name, batches in data.splits.items())
    kept = "in memory" if data.in_memory else "decoded as they are used"
    if data.splits["train"].service is not None:
        kept = f"training batches from {data.splits['train'].service.address}"
    lines = [
        f"{data.name}: {len(data.class_names)} classes, {counts}; {height}x{width} "
        f"{'grey' if channels == 1 else 'RGB'}, {kept}; augmentation: {data.augmentation.text or 'none'}"
    ]
    return [*lines, *data.left_out(", named in skipped.jsonl"), *describe_same_bytes(data.copies)]


def describe_rate(config: Config, total_steps: int) -> str:
    """Describe the learning rate by the batch-size rule."""
    steps, _ = gradual_warmup(config, total_steps)
    warmup = f", reached from {config.learning_rate:g} in {steps:,} steps" if steps else ""
    return (
        f"peak learning rate {config.peak_rate:g}: {config.learning_rate:g} for batches of {config.base_batch:,}, "
        f"{config.scale_lr} rule for {config.batch_size:,}{warmup}"
    )
