"""Training as a job: a new run folder, or an interrupted one resumed."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

import keras

from kerastricks import recipes
from kerastricks.callbacks.doctor import AT_ONCE, Doctor
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, RunFolderError, UsageError
from kerastricks.initializers.data_driven import start_from_data
from kerastricks.models.creation import create
from kerastricks.progress import Progress, in_lines, silent
from kerastricks.runs.beginning import (
    describe_data,
    describe_rate,
    differences,
    refuse_other_data,
    start,
    write_resolved,
    write_skipped,
)
from kerastricks.runs.configuration import ConfigFields, Source, as_path, check_early, configure
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder, check_classes, check_room
from kerastricks.runs.own_model import check_export, check_step, own_model
from kerastricks.runs.record import RunRecord, Summary
from kerastricks.runs.resumable import Resumption, Say, carry_out, move_data
from kerastricks.training import device
from kerastricks.training.budget import plan_training
from kerastricks.training.config import Config, check_field
from kerastricks.training.datasets import load_data, seeded
from kerastricks.training.fitting import cosine_scale, fit
from kerastricks.training.resolved_config import ResolvedConfig, advice, resolve
from kerastricks.training.size_timing import image_sizes
from kerastricks.training.weight_callbacks import reports

# What config.json has beside the configuration, and which command wrote it.
OTHER_KINDS = {"finetuning": "finetune", "distillation": "distill", "labels": "check labels"}
LEAST_TRAINING_SECONDS = 5.0  # or an epoch: with less, `minutes` is refused
RESUMPTION = Resumption("kerastricks train --resume", "kerastricks.runs.train")


def train(
    source: Source | None = None,
    config: Config | None = None,
    *,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    data_service: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    doctor: bool = False,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> RunRecord:
    """Train a classifier from images and write a run folder, as `kerastricks train` does.

    Ctrl-C and SIGTERM save the state: `resume` takes the folder to the end that it would have had without.

    Args:
        source: a folder, zip or table of images, the name of a data set or recipe, or a loaded recipe.
        config: of the training; None for that of the recipe, or the defaults.
        out: the folder of run folders.
        name: of the run folder; None for MODEL-DATA-NUMBER.
        resume: the folder of an interrupted run; `fields` may say where its data are now, and must agree with it
            otherwise. A finished one is returned as it is.
        data_service: address of a data service that makes the batches.
        cache_dir: on a local disk; keeps decoded images that a `random_resized_crop` cuts from.
        doctor: whether findings about the training are said as soon as they are sure, and one that diverges is
            stopped; see `kerastricks.callbacks.Doctor`. The trained weights are the same.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the configuration; they replace those of `config` or of the recipe.

    Returns:
        The finished run.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folder.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.

    Example:
        >>> import kerastricks
        >>> run = kerastricks.runs.train("digits", epochs=2, model="plain_cnn(widths=(8,))")  # doctest: +SKIP
        >>> run.summary.accuracy > 0.9, run.folder.model.exists()  # doctest: +SKIP
        (True, True)
    """
    where: dict[str, Any] = {"data_service": data_service, "cache_dir": None if cache_dir is None else Path(cache_dir)}
    if resume is None:
        config, recipe = configure(source, config, fields)
        check_early(config, recipe)
        run = start(config, as_path(out), name, recipe)
    else:
        if source is not None or config is not None:
            raise UsageError("source and config exclude resume: the run knows its data and its configuration")
        run = RunFolder.open(as_path(resume))
        refuse_changes(run, fields)
        if fields.get("data") is not None:
            move_data(run, fields["data"])
        if run.summary.exists():
            say(f"{run.path}: finished already")
            return RunRecord.open(run)
    progress = progress or in_lines(say)
    summary = carry_out(
        run,
        lambda: run_training(run, say, progress, doctor=doctor, **where),
        RESUMPTION,
        resumed=resume is not None,
        say=say,
    )
    return RunRecord.of(run, summary)


def refuse_changes(run: RunFolder, fields: Mapping[str, Any]) -> None:
    """Raise UsageError for fields that are not those that a run began with."""
    for field in fields:
        check_field(field)
    changes = differences(run, fields)
    if changes:
        raise ConfigError(f"{run.path}: a run is resumed as it began; {'; '.join(changes)}: start a new run for that")


def run_training(
    run: RunFolder,
    say: Say = print,
    progress: Progress = silent,
    loaded: Callable[[Config], ImageData] | None = None,
    doctor: bool = False,
    **where: Any,
) -> Summary:
    """Train a run to completion, resuming where it is.

    Args:
        run: made by `start`; its configuration, and its recipe's `create_model`, are used.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        loaded: gives images that `load_splits` read for the trainings of a series, in the size of a configuration;
            None to read them.
        doctor: see `train`.
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
                f"{run.path}: was begun by kerastricks {command}: resume with kerastricks {command} --resume {run.path}"
            )

    def read(config: Config) -> ImageData:
        if loaded is not None:
            return seeded(loaded(config), config)
        return load_data(config.data, config, progress, **where)

    config, data, model = prepare(run, say, read)
    watching: dict[str, Any] = {"callbacks": [Doctor(AT_ONCE, batch_size=data.batch_size, say=say)]} if doctor else {}
    fit(model, data, config, run_folder=run.path, seconds=_seconds_of(run), **watching)
    say("saving, exporting, checking the export in a fresh process")
    return finish(run, model, data, config, progress, **reports(run.path, config))


def prepare(
    run: RunFolder, say: Say, read: Callable[[Config], ImageData]
) -> tuple[ResolvedConfig, ImageData, keras.Model]:
    """The inputs of a run's training: its resolved configuration, the images, and the untrained model.

    Args:
        run: whose config.json is read, and written with what was decided.
        say: gets a line about each thing decided.
        read: gives the images of a configuration.
    """
    record = run.read(run.config)
    wanted = Config.from_layers(record["config"])
    if record["resolved"] and record["backend"] != keras.backend.backend():
        raise RunFolderError(
            f"{run.path}: began with the {record['backend']} backend: resume it with KERAS_BACKEND={record['backend']}"
        )
    began = time.monotonic()
    data = read(wanted)
    if record["resolved"]:
        refuse_other_data(run, record["data"], data.describe())
    elif wanted.minutes is not None:
        wanted, data = _fit_minutes(run, wanted, data, wanted.minutes, say, read, began)
    check_classes(data.class_names)
    if wanted.imbalance == "auto":
        found = advice(wanted, data)
        say(f"imbalance: {found.imbalance or 'no remedy'}: {found.reason}")
    config = resolve(wanted, data)
    write_skipped(run, data)
    write_resolved(run, config, data)
    say(f"run folder: {run.path}")
    for line in describe_data(data):
        say(line)

    model = new_model(run, config, data, say)
    check_room(run.path, model.count_params())
    seeds = record.get("series", {}).get("seeds", [config.seed])
    if run.recipe.exists() and not run.checkpoint.exists() and config.seed == seeds[0]:
        check_own_model(run, model, data, config.precision, say)
    jit = "compiled" if config.jit else "not compiled"
    say(
        f"{model.name}: {model.count_params():,} weights, {config.epochs} epochs of {data.steps_per_epoch} batches "
        f"of {data.batch_size} on {device.describe()}, {config.precision}, {jit}"
    )
    if config.peak_rate != config.learning_rate:
        say(describe_rate(config, config.epochs * data.steps_per_epoch))
    return config, data, model


def _fit_minutes(
    run: RunFolder,
    config: Config,
    data: ImageData,
    minutes: float,
    say: Say,
    read: Callable[[Config], ImageData],
    began: float,
) -> tuple[Config, ImageData]:
    """Choose the open fields of the configuration so that the run ends in its minutes, and record them.

    Args:
        run: whose recipe makes the model, where it has one.
        config: of the run.
        data: its images, as they were just read.
        minutes: that the run may take.
        say: gets a line about what was chosen, before it begins.
        read: gives the images of a configuration.
        began: when reading them began, by `time.monotonic`.
    """
    reading = time.monotonic() - began
    given_model = run.recipe.exists() and recipes.load(run.recipe).create_model is not None
    plan = plan_training(
        lambda shape: _create_model(run, config, data, shape),
        data,
        config,
        60.0 * minutes - reading,
        sizes=None if given_model else image_sizes(config.data, config, data),
        reading_seconds=reading,
    )
    keras.backend.clear_session()
    if plan.training_seconds < min(plan.epoch_seconds, LEAST_TRAINING_SECONDS):
        raise ConfigError(
            f"minutes={minutes:g}: reading, compiling, saving and checking take about "
            f"{60 * minutes - plan.training_seconds:.0f} s, and leave no time to train: allow more"
        )
    say(f"{minutes:g} minutes: {plan.why}")
    if plan.image_size is not None and plan.image_size != data.image_shape[0]:
        data = read(config.replace(image_size=plan.image_size))
    run.write(run.config, {**run.read(run.config), "budget": {"seconds": plan.training_seconds, "why": plan.why}})
    early = resolve(config, data).early_stopping_epochs  # nobody chose the epochs
    config = config.replace(image_size=plan.image_size, epochs=plan.epochs, early_stopping_epochs=early)
    return config, data


def _seconds_of(run: RunFolder) -> float | None:
    """The time that a run's budget leaves to train; None without one."""
    found = run.read(run.config).get("budget")
    return None if found is None else float(found["seconds"])


def new_model(run: RunFolder, config: Config, data: ImageData, say: Say = print) -> keras.Model:
    """Create the untrained model of a run; seeds Keras with the configuration's seed.

    Raises:
        UsageError: where a recipe's `create_model` fails, or the model cannot be made for these images.
    """
    keras.utils.set_random_seed(config.seed)
    model = _create_model(run, config, data)
    started = start_from_data(model, data.sample())
    if started.lsuv is not None:
        say(str(started.lsuv))
    return model


def check_own_model(run: RunFolder, model: keras.Model, data: ImageData, dtype_policy: str, say: Say = print) -> None:
    """Try a training step, save, export and verify the untrained model of a recipe, if it makes its own.

    Nothing is left in the folder.

    Raises:
        ConfigError: where that fails: a training would be in vain.
    """
    recipe = recipes.load(run.recipe)
    if recipe.create_model is None:
        return
    say(f"{model.name}: trying a step and the export before the training")
    check_step(model, data.sample(4), dtype_policy, recipe.path.name)
    check_export(model, data.sample(4), recipe.path.name, run.path, [run.recipe], data)


def _create_model(
    run: RunFolder, config: Config, data: ImageData, shape: tuple[int, int, int] | None = None
) -> keras.Model:
    recipe = recipes.load(run.recipe) if run.recipe.exists() else None
    if recipe is not None and recipe.create_model is not None:
        return own_model(recipe, data, config)
    shape = shape or data.image_shape
    scale = cosine_scale(config)
    return create(config.model, shape, len(data.class_names), mean=data.mean, std=data.std, cosine_scale=scale)
