"""Distillation as a job: a new run folder, or an interrupted one resumed."""

import os
from typing import Any, Unpack

from kerastricks.errors import UsageError
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.configuration import ConfigFields, as_path
from kerastricks.runs.distill import TeacherFile, run_distillation, start
from kerastricks.runs.record import RunRecord
from kerastricks.runs.resumable import Resumption, Say, carry_out, refuse_settings, reopened

RESUMPTION = Resumption("kerastricks distill --resume", "kerastricks.runs.distill")
TEMPERATURE = 4.0
HARD_WEIGHT = 0.1


def distill(
    teacher: RunRecord | str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    *,
    temperature: float | None = None,
    hard_weight: float | None = None,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> RunRecord:
    """Distill a teacher into a smaller model and leave a run folder, as `kerastricks distill` does.

    Ctrl-C and SIGTERM save the state: `resume` goes on from there.

    Args:
        teacher: a run, of an ensemble or of a single model, its folder, or a `.keras` file.
        source: of the images; None for what the teacher was trained on, with the same splits.
        temperature: of the soft targets; None for 4.
        hard_weight: of the labels in the loss, 0 to 1; None for 0.1.
        out: the folder of run folders.
        name: of the run folder; None for MODEL-DATA-NUMBER.
        resume: the folder of an interrupted run; only `data` may be given besides, where they have moved.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the student's configuration.

    Returns:
        The finished run; its summary has the scores of teacher and student in `distillation`.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folder.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    settings = {"temperature": temperature, "hard_weight": hard_weight}
    if resume is None:
        if teacher is None:
            raise UsageError("teacher is missing: a run folder or a .keras file")
        path = teacher.path if isinstance(teacher, RunRecord) else as_path(teacher)
        student: dict[str, Any] = {**({"data": os.fspath(source)} if source is not None else {}), **fields}
        opened = TeacherFile.open(path)
        if not (student.get("data") or opened.fields.get("data")):
            raise UsageError(f"DATA is missing: {path} is in no run that says what it was trained on")
        run = start(
            opened,
            student,
            TEMPERATURE if temperature is None else temperature,
            HARD_WEIGHT if hard_weight is None else hard_weight,
            as_path(out),
            name,
        )
    else:
        refuse_settings(resume, "teacher", {"teacher": teacher, "source": source, **settings}, fields)
        run = reopened(as_path(resume), fields)
        if run.summary.exists():
            say(f"{run.path}: finished already")
            return RunRecord.open(run)
    progress = progress or in_lines(say)
    summary = carry_out(
        run,
        lambda: run_distillation(run, say, progress),
        RESUMPTION,
        resumed=resume is not None,
        say=say,
    )
    return RunRecord.of(run, summary)
