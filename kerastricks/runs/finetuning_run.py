"""Fine-tuning as a job: a new run folder, or an interrupted one resumed."""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.data.sources.reading import find_source
from kerastricks.data.sources.source import Files
from kerastricks.errors import RunFolderError, UsageError
from kerastricks.files import read_json_lines, write_text
from kerastricks.finetuning import procedure
from kerastricks.finetuning.backbone import Backbone, open_backbone
from kerastricks.finetuning.configs import finetuning_config, small_config
from kerastricks.finetuning.procedure import FineTuned
from kerastricks.finetuning.report import plot_report
from kerastricks.finetuning.settings import PHOTOGRAPHS_AUGMENT, SMALL_SIDE_PX, TRAINING_DEFAULTS, Settings
from kerastricks.progress import Progress, in_lines, silent
from kerastricks.runs.beginning import describe_data, refuse_other_data, write_skipped
from kerastricks.runs.configuration import FinetuningFields, Source, as_path, fields_of_data
from kerastricks.runs.finetuning_report import FinetuningReport
from kerastricks.runs.finishing import finish
from kerastricks.runs.folder import RunFolder, check_classes, check_room
from kerastricks.runs.own_model import check_export, copy_recipes
from kerastricks.runs.record import RunRecord, Summary
from kerastricks.runs.resumable import Resumption, Say, carry_out, refuse_settings, reopened
from kerastricks.training import device
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_data

RESUMPTION = Resumption("kerastricks finetune --resume", "kerastricks.runs.finetune")


def finetune(
    source: Source | None = None,
    *,
    backbone: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    strategy: str | None = None,
    minutes: float | None = None,
    head: Sequence[int] | None = None,
    scratch: bool | None = None,
    rare_below: int | None = None,
    rare_only: bool | None = None,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[FinetuningFields],
) -> RunRecord:
    """Fine-tune a pretrained network and write a run folder, as `kerastricks finetune` does.

    Ctrl-C and SIGTERM save the state: `resume` continues it.

    Args:
        source: a folder, zip or table of images, the name of a data set, or a recipe, of which the data are taken.
        backbone: of the zoo, `applications/NAME`, a run folder or a `.keras` file; None for efficientnet_lite0.
        weights: of a backbone of the zoo, a name or path; None for imagenet.
        strategy: "linear", "last", "all", "earlier", "small" or "scratch"; against imbalanced classes "two_stage" or
            "decoupled"; None or "auto" for what validates best.
        minutes: of measuring and training; None for 5 where the strategy is "auto".
        head: units of dense layers before the last one.
        scratch: train from random weights too, to compare with.
        rare_below: of "two_stage": classes with fewer training images are rare; None to choose it.
        rare_only: of "two_stage": the second part is the rare classes by themselves, as published.
        out: the folder of run folders.
        name: of the run folder; None for BACKBONE-finetuned-DATA-NUMBER.
        resume: the folder of an interrupted run; only `data` may be given besides, where they have moved.
        cache_dir: on a local disk; keeps decoded images that a `random_resized_crop` cuts from.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the configuration, instead of the defaults of fine-tuning.

    Returns:
        The finished run; its summary has the report in `finetuning`.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folder.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    wanted: dict[str, Any] = {
        "backbone": None if backbone is None else os.fspath(backbone),
        "weights": None if weights is None else os.fspath(weights),
        "strategy": strategy,
        "minutes": minutes,
        "head": None if head is None else tuple(head),
        "scratch": scratch,
        "rare_below": rare_below,
        "rare_only": rare_only,
    }
    wanted = {setting: value for setting, value in wanted.items() if value is not None}
    if resume is None:
        config = make_config(finetuning_fields(source, fields))
        run = start(config, Settings(**wanted), as_path(out), name)
    else:
        refuse_settings(resume, "source", {"source": source, **wanted}, fields)
        run = reopened(as_path(resume), fields)
        if run.summary.exists():
            say(f"{run.path}: finished already")
            return RunRecord.open(run)
    progress = progress or in_lines(say)
    where = {"cache_dir": None if cache_dir is None else Path(cache_dir)}
    summary = carry_out(
        run,
        lambda: run_finetuning(run, say, progress, **where),
        RESUMPTION,
        resumed=resume is not None,
        say=say,
    )
    return RunRecord.of(run, summary)


def finetuning_fields(source: Source | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the fields of a source and those given; a recipe's training is for random weights and is left out.

    Raises:
        UsageError: without data.
    """
    found = {**fields_of_data(source), **fields}
    if "data" not in found:
        raise UsageError("data is missing: a folder or zip of images, or a data set")
    return found


def make_config(fields: Mapping[str, Any]) -> Config:
    """Fill a configuration with the defaults of fine-tuning where `fields` has none."""
    source = find_source(fields["data"])
    photographs = source.photographs and all(isinstance(examples, Files) for examples in source.splits.values())
    defaults = {
        **TRAINING_DEFAULTS,
        "interpolation": "bicubic",
        "augment": PHOTOGRAPHS_AUGMENT if photographs else "auto",
    }
    return Config.from_layers(defaults, fields)


def start(config: Config, settings: Settings, out: Path, name: str | None) -> RunFolder:
    """Make the folder of a new run; from here on it can be resumed.

    Raises:
        RunFolderError: where the folder cannot be made.
    """
    path = Path(os.path.expanduser(str(config.data)))
    if path.exists():
        config = dataclasses.replace(config, data=str(path.resolve()))
    backbone = Path(os.path.expanduser(settings.backbone))
    if os.path.exists(backbone):  # false also for a spec that is too long for a path
        settings = dataclasses.replace(settings, backbone=str(backbone.resolve()))
    weights = Path(os.path.expanduser(settings.weights))
    if os.path.exists(weights):
        settings = dataclasses.replace(settings, weights=str(weights.resolve()))
    on_disk = os.path.exists(backbone)
    model = (backbone.stem if on_disk else settings.backbone.partition("(")[0].strip()).replace("/", "-")
    with RunFolder.begin(out, name, f"{model}-finetuned", path.stem) as run:
        # A backbone that is a run may have layers that its recipe registers.
        if on_disk:
            copy_recipes(recipes.beside(backbone / "model.keras" if backbone.is_dir() else backbone), run.path)
        run.write(
            run.config,
            {
                "config": _without_model(config),
                "finetuning": settings.as_dict(),
                "image_size": config.image_size,
                "resolved": False,
            },
        )
    return run


def run_finetuning(run: RunFolder, say: Say = print, progress: Progress = silent, **where: Any) -> Summary:
    """Fine-tune a run to completion, resuming where it is.

    Args:
        run: made by `start`.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        **where: `cache_dir` of `kerastricks.data.load`.

    Returns:
        The summary, as in summary.json, with `finetuning`, the report.

    Raises:
        DataError: for anything wrong with the images.
        RunFolderError: where the data are not those the run began with, or it is no fine-tuning.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    run.clean()
    record = run.read(run.config)
    if "finetuning" not in record:
        raise RunFolderError(f"{run.path}: is no fine-tuning: resume with kerastricks train --resume {run.path}")
    if record["resolved"] and record["backend"] != keras.backend.backend():
        raise RunFolderError(
            f"{run.path}: began with the {record['backend']} backend: resume it with KERAS_BACKEND={record['backend']}"
        )
    settings, config = Settings.from_dict(record["finetuning"]), Config.from_layers(record["config"])
    backbone = open_backbone(settings.backbone, record["image_size"], settings.weights)
    say(f"run folder: {run.path}")
    say(describe_backbone(backbone))
    # Small images stay small and are made larger in the network: memory and decoding cost what they are.
    as_they_are = dataclasses.replace(config, image_size=None)
    data = load_data(config.data, as_they_are, progress, photographs_size=backbone.image_size, **where)
    if record["resolved"]:
        refuse_other_data(run, record["data"], data.describe())
    check_classes(data.class_names)
    check_room(run.path, backbone.model.count_params())
    config = finetuning_config(config, data, backbone, settings)
    small = None
    if settings.strategy in ("auto", "small"):
        side = None if max(data.image_shape[:2]) <= SMALL_SIDE_PX else SMALL_SIDE_PX
        small = load_data(config.data, small_config(config).replace(image_size=side), progress)
    write_skipped(run, data)
    run.write(
        run.config,
        {
            "config": _without_model(config),
            "finetuning": settings.as_dict(),
            "image_size": record["image_size"],
            "resolved": True,
            "backbone": {"name": backbone.name, "weights": backbone.weights, "image_shape": backbone.image_shape},
            "data": data.describe(),
            "backend": keras.backend.backend(),
            "device": device.describe(),
        },
    )
    for line in describe_data(data):
        say(line)
    if run.recipe.exists() and not (run.path / "stages").exists():
        _check_backbone(run, backbone, data)
    how: dict[str, Any] = {"run_folder": run.path, "say": say, "progress": progress}
    tuned = procedure.finetune(data, backbone, config, settings, small_data=small, **how)
    say("saving, exporting, checking the export in a fresh process")
    _merge_logs(run, tuned)
    report = tuned.report.to_json()
    run.write(run.path / "finetune.json", report)
    plot_report(tuned.report, run.path / "finetune.png", run.name)
    finetuning = FinetuningReport.from_json(report)
    summary = finish(run, tuned.model, tuned.data, tuned.config, progress, finetuning=finetuning)
    shutil.rmtree(run.path / "stages", ignore_errors=True)
    return summary


def _check_backbone(run: RunFolder, backbone: Backbone, data: ImageData) -> None:
    """Try the export of a network whose layers a recipe registers, with a head, before anything is trained."""
    head = keras.layers.Dense(len(data.class_names), activation="softmax")(backbone.model.outputs[0])
    model = keras.Model(backbone.model.inputs[0], head, name=backbone.model.name)
    images = np.random.default_rng(0).integers(0, 256, (4, *backbone.image_shape)).astype("uint8")
    check_export(model, images, backbone.name, run.path, recipes.beside(run.model), data)


def _without_model(config: Config) -> dict[str, Any]:
    """The fields that a fine-tuning reads: its network is the backbone's."""
    return {name: value for name, value in config.as_dict().items() if name != "model"}


def describe_backbone(backbone: Backbone) -> str:
    """Describe a backbone in a line: name, size, source of its weights."""
    height, width, channels = backbone.image_shape
    return (
        f"backbone {backbone.name}: {backbone.model.count_params():,} weights from {backbone.weights}, "
        f"{height}x{width} {'grey' if channels == 1 else 'RGB'}, {len(backbone.levels)} levels"
    )


def _merge_logs(run: RunFolder, tuned: FineTuned) -> None:
    """Join the logs of the stages of the result as those of one training."""
    folders = sorted((run.path / "stages").glob(f"{tuned.report.logs}-*"), key=lambda path: path.name)
    lines: list[dict[str, Any]] = []
    losses = b""
    for folder in folders:
        epochs, steps = (lines[-1]["epoch"], lines[-1]["step"]) if lines else (0, 0)
        for line in read_json_lines(folder / "metrics.jsonl"):
            lines.append({**line, "epoch": line["epoch"] + epochs, "step": line["step"] + steps, "stage": folder.name})
        losses += (folder / "batch_loss.f32").read_bytes()
    write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in lines))
    run.batch_loss.write_bytes(losses)
