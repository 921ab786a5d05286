"""Fine-tuning as a job: a new run folder, or an interrupted one resumed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from kerastricks.errors import UsageError
from kerastricks.finetuning.settings import Settings
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.configuration import FinetuningFields, Source, as_path, fields_of_data
from kerastricks.runs.finetune import make_config, run_finetuning, start
from kerastricks.runs.record import RunRecord
from kerastricks.runs.resumable import Resumption, Say, carry_out, refuse_settings, reopened

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
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[FinetuningFields],
) -> RunRecord:
    """Fine-tune a pretrained network and leave a run folder, as `kerastricks finetune` does.

    Ctrl-C and SIGTERM save the state: `resume` goes on from there.

    Args:
        source: a folder, zip or table of images, the name of a data set, or a recipe, of which the data are taken.
        backbone: of the zoo, `applications/NAME`, a run folder or a `.keras` file; None for efficientnet_lite0.
        weights: of a backbone of the zoo, a name or path; None for imagenet.
        strategy: "linear", "last", "all", "earlier", "small" or "scratch"; None or "auto" for what validates best.
        minutes: of measuring and training; None for 5 where the strategy is "auto".
        head: units of dense layers before the last one.
        scratch: train from random weights too, to compare with.
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
        "plan": strategy,
        "minutes": minutes,
        "head": None if head is None else tuple(head),
        "scratch": scratch,
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
    """The fields of a source and those given; how a recipe trains is for random weights, and is not taken.

    Raises:
        UsageError: without data.
    """
    found = {**fields_of_data(source), **fields}
    if "data" not in found:
        raise UsageError("data is missing: a folder or zip of images, or a data set")
    return found
