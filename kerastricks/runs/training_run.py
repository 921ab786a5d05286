"""Training as a job: a new run folder, or an interrupted one resumed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from kerastricks.errors import ConfigError, UsageError
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.configuration import ConfigFields, Source, as_path, check_early, configure
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.record import RunRecord
from kerastricks.runs.resumable import Resumption, Say, carry_out, move_data
from kerastricks.runs.train import differences, run_training, start
from kerastricks.training.config import Config, check_field

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
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> RunRecord:
    """Train a classifier from images and leave a run folder, as `kerastricks train` does.

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
        lambda: run_training(run, say, progress, **where),
        RESUMPTION,
        resumed=resume is not None,
        say=say,
    )
    return RunRecord.of(run, summary)


def refuse_changes(run: RunFolder, fields: Mapping[str, Any]) -> None:
    """Raises UsageError for fields that are not those that a run began with."""
    for field in fields:
        check_field(field)
    changes = differences(run, fields)
    if changes:
        raise ConfigError(f"{run.path}: a run is resumed as it began; {'; '.join(changes)}: start a new run for that")
