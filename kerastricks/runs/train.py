"""One training from a configuration to a finished run folder, begun or resumed."""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, RunFolderError
from kerastricks.files import write_text
from kerastricks.initializers.data_driven import start_from_data
from kerastricks.models.creation import create
from kerastricks.progress import Progress, silent
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder, check_classes, check_room
from kerastricks.runs.own_model import check_export, own_model
from kerastricks.training import device
from kerastricks.training.budget import image_sizes, plan_training
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data, seeded
from kerastricks.training.fitting import fit, resolve
from kerastricks.training.optimizer import gradual_warmup
from kerastricks.training.weight_callbacks import reports

Say = Callable[[str], None]
# What config.json has beside the configuration, and which command wrote it.
OTHER_KINDS = {"finetuning": "finetune", "distillation": "distill"}
LEAST_TRAINING_SECONDS = 5.0  # or an epoch: with less, `minutes` is refused


def start(
    config: Config, out: Path, name: str | None, recipe: recipes.Recipe | None, record: dict[str, Any] | None = None
) -> RunFolder:
    """Makes the folder of a new run; from here on it can be resumed.

    Args:
        config: of the training.
        out: the folder of run folders.
        name: of the run; None for MODEL-DATA-NUMBER.
        recipe: that the configuration came from, or None.
        record: what config.json says beside the configuration: of which series or distillation the run is.

    Raises:
        ConfigError: without data.
        RunFolderError: where the folder cannot be made.
    """
    if config.data is None:
        raise ConfigError("data is missing: name a folder, a zip, a data set or a recipe")
    config = with_whole_path(config)
    with RunFolder.begin(out, name, *name_parts(config, recipe)) as run:
        if recipe is not None:
            shutil.copyfile(recipe.path, run.recipe)
        run.write(run.config, {"config": config.as_dict(), **(record or {}), "resolved": False})
    return run


def with_whole_path(config: Config) -> Config:
    """The data by a path that holds wherever the run is resumed."""
    path = Path(os.path.expanduser(str(config.data)))
    return dataclasses.replace(config, data=str(path.resolve())) if path.exists() else config


def name_parts(config: Config, recipe: recipes.Recipe | None) -> tuple[str, str]:
    """Of the model and of the data, for the name of a run."""
    model = config.model.partition("(")[0].strip()
    return model if not (recipe and recipe.create_model) else recipe.name, Path(str(config.data)).stem


def run_training(
    run: RunFolder,
    say: Say = print,
    progress: Progress = silent,
    loaded: Callable[[Config], ImageData] | None = None,
    **where: Any,
) -> dict[str, Any]:
    """Trains a run to its end, from wherever it is.

    Args:
        run: made by `start`; its configuration, and its recipe's `create_model`, are used.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        loaded: gives images that `load_splits` read for the trainings of a series, in the size of a configuration;
            None to read them.
        **where: `data_service` and `cache_dir` of `kerastricks.data.load`: where batches are made and images kept,
            which a run does not record.

    Returns:
        The summary, as in summary.json.

    Raises:
        DataError: for anything wrong with the images.
        RunFolderError: where the data are not those the run began with.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    run.clean()
    record = run.read(run.config)
    for kind, command in OTHER_KINDS.items():
        if kind in record:
            raise RunFolderError(
                f"{run.path}: was begun by kerastricks {command}: go on with kerastricks {command} --resume {run.path}"
            )

    def read(config: Config) -> ImageData:
        if loaded is not None:
            return seeded(loaded(config), config)
        return load_data(config.data, config, progress, **where)

    config, data, model = prepare(run, say, read)
    fit(model, data, config, run_folder=run.path, seconds=_seconds_of(run))
    say("saving, exporting, checking the export in a fresh process")
    return finish(run, model, data, config, progress, **reports(run.path, config))


def prepare(run: RunFolder, say: Say, read: Callable[[Config], ImageData]) -> tuple[Config, ImageData, keras.Model]:
    """What a run trains: its configuration with all decided, the images, and the model as it begins.

    Args:
        run: whose config.json is read, and written with what was decided.
        say: gets a line about each thing decided.
        read: gives the images of a configuration.
    """
    record = run.read(run.config)
    config = Config.from_layers(record["config"])
    if record["resolved"] and record["backend"] != keras.backend.backend():
        raise RunFolderError(
            f"{run.path}: began with the {record['backend']} backend: resume it with KERAS_BACKEND={record['backend']}"
        )
    began = time.monotonic()
    data = read(config)
    if record["resolved"]:
        refuse_other_data(run, record["data"], data.describe())
    elif config.minutes is not None:
        config, data = _fit_minutes(run, config, data, say, read, began)
    check_classes(data.class_names)
    config = resolve(config, data)
    write_skipped(run, data)
    write_resolved(run, config, data)
    say(f"run folder: {run.path}")
    for line in describe_data(data):
        say(line)

    model = new_model(run, config, data, say)
    check_room(run.path, model.count_params())
    seeds = record.get("series", {}).get("seeds", [config.seed])
    if run.recipe.exists() and not run.checkpoint.exists() and config.seed == seeds[0]:
        check_own_model(run, model, data, say)
    jit = "compiled" if config.jit else "not compiled"
    say(
        f"{model.name}: {model.count_params():,} weights, {config.epochs} epochs of {data.steps_per_epoch} batches "
        f"of {data.batch_size} on {device.describe()}, {config.precision}, {jit}"
    )
    if config.peak_rate != config.learning_rate:
        assert config.epochs is not None
        say(describe_rate(config, config.epochs * data.steps_per_epoch))
    return config, data, model


def _fit_minutes(
    run: RunFolder,
    config: Config,
    data: ImageData,
    say: Say,
    read: Callable[[Config], ImageData],
    began: float,
) -> tuple[Config, ImageData]:
    """Chooses what the configuration leaves open so that the run ends in its minutes; notes it in the run's record.

    Args:
        run: whose recipe makes the model, where it has one.
        config: with `minutes`.
        data: its images, as they were just read.
        say: gets a line about what was chosen, before it begins.
        read: gives the images of a configuration.
        began: when reading them began, by `time.monotonic`.
    """
    assert config.minutes is not None
    reading = time.monotonic() - began
    given_model = run.recipe.exists() and recipes.load(run.recipe).create_model is not None
    plan = plan_training(
        lambda shape: _create_model(run, config, data, shape),
        data,
        config,
        60.0 * config.minutes - reading,
        sizes=None if given_model else image_sizes(config.data, config, data),
        reading_seconds=reading,
    )
    keras.backend.clear_session()
    if plan.training_seconds < min(plan.epoch_seconds, LEAST_TRAINING_SECONDS):
        raise ConfigError(
            f"minutes={config.minutes:g}: reading, compiling, saving and checking take about "
            f"{60 * config.minutes - plan.training_seconds:.0f} s, and leave no time to train: allow more"
        )
    say(f"{config.minutes:g} minutes: {plan.why}")
    if plan.image_size is not None and plan.image_size != data.image_shape[0]:
        data = read(dataclasses.replace(config, image_size=plan.image_size))
    run.write(run.config, {**run.read(run.config), "budget": {"seconds": plan.training_seconds, "why": plan.why}})
    early = resolve(config, data).early_stopping_epochs  # the epochs are nobody's choice
    config = dataclasses.replace(config, image_size=plan.image_size, epochs=plan.epochs, early_stopping_epochs=early)
    return config, data


def _seconds_of(run: RunFolder) -> float | None:
    """What a run's budget leaves to train; None without one."""
    found = run.read(run.config).get("budget")
    return None if found is None else float(found["seconds"])


def describe_rate(config: Config, total_steps: int) -> str:
    """What the batch-size rule made of the rate."""
    steps, _ = gradual_warmup(config, total_steps)
    warmup = f", reached from {config.learning_rate:g} in {steps:,} steps" if steps else ""
    return (
        f"peak learning rate {config.peak_rate:g}: {config.learning_rate:g} for batches of {config.base_batch:,}, "
        f"{config.scale_lr} rule for {config.batch_size:,}{warmup}"
    )


def differences(run: RunFolder, wanted: Mapping[str, Any]) -> list[str]:
    """Where the fields of `wanted` are not those of the run: "learning_rate: 0.1 in the run, 0.2 asked for"."""
    have = Config.from_layers(run.read(run.config)["config"]).as_dict()  # with the defaults of newer fields
    return [
        f"{name}: {have[name]!r} in the run, {value!r} asked for"
        for name, value in wanted.items()
        # The same data may have moved: its fingerprint is compared. What was "auto" has been decided.
        if name != "data" and value not in (have.get(name), "auto", None)
    ]


def new_model(run: RunFolder, config: Config, data: ImageData, say: Say = print) -> keras.Model:
    """The untrained model of a run; seeds Keras with the configuration's seed.

    Raises:
        UsageError: where a recipe's `create_model` fails, or the model cannot be made for these images.
    """
    keras.utils.set_random_seed(config.seed)
    model = _create_model(run, config, data)
    started = start_from_data(model, data.sample())
    if started.lsuv is not None:
        say(str(started.lsuv))
    return model


def check_own_model(run: RunFolder, model: keras.Model, data: ImageData, say: Say = print) -> None:
    """Saves, exports and verifies the untrained model of a recipe, if it makes its own; leaves nothing in the folder.

    Raises:
        ConfigError: where that fails: a training would be in vain.
    """
    recipe = recipes.load(run.recipe)
    if recipe.create_model is None:
        return
    say(f"{model.name}: trying the export before the training")
    check_export(model, data.sample(4), recipe.path.name, run.path, [run.recipe], data)


def write_resolved(run: RunFolder, config: Config, data: ImageData) -> None:
    """Records what was decided, and for which data, backend and device."""
    before = run.read(run.config) if run.config.exists() else {}
    run.write(
        run.config,
        {
            **{name: before[name] for name in ("series", "distillation", "budget") if name in before},
            "config": config.as_dict(),
            "resolved": True,
            "data": data.describe(),
            "backend": keras.backend.backend(),
            "device": device.describe(),
        },
    )


def _create_model(
    run: RunFolder, config: Config, data: ImageData, shape: tuple[int, int, int] | None = None
) -> keras.Model:
    recipe = recipes.load(run.recipe) if run.recipe.exists() else None
    if recipe is not None and recipe.create_model is not None:
        return own_model(recipe, data, config)
    return create(config.model, shape or data.image_shape, len(data.class_names), mean=data.mean, std=data.std)


def refuse_other_data(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises RunFolderError unless the data are those the run began with."""
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
    """A line of JSON for each file that was left out."""
    write_text(run.skipped, "".join(json.dumps(record) + "\n" for record in data.skipped))


def describe_data(data: ImageData) -> list[str]:
    """What was loaded, and what was left out."""
    height, width, channels = data.image_shape
    counts = ", ".join(f"{batches.size:,} {name}" for name, batches in data.splits.items())
    kept = "in memory" if data.in_memory else "decoded as they are used"
    if data.splits["train"].service is not None:
        kept = f"training batches from {data.splits['train'].service.address}"
    lines = [
        f"{data.name}: {len(data.class_names)} classes, {counts}; {height}x{width} "
        f"{'grey' if channels == 1 else 'RGB'}, {kept}; augmentation: {data.augmentation.text or 'none'}"
    ]
    return lines + data.left_out(", named in skipped.jsonl")
