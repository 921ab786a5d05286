"""Making an ensemble as a job: a new run folder."""

import os
from collections.abc import Sequence

from kerastricks.errors import EnsembleError, RunFolderError, UnknownNameError
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.configuration import as_path
from kerastricks.runs.ensemble import make_ensemble
from kerastricks.runs.ensemble_methods import CLASSIFIERS, METHODS
from kerastricks.runs.made import Settings
from kerastricks.runs.record import RunRecord
from kerastricks.runs.resumable import Say, sigterm_interrupts


def ensemble(
    runs: Sequence[RunRecord | str | os.PathLike[str]],
    *,
    method: str = "auto",
    temperatures: bool = False,
    data: str | os.PathLike[str] | None = None,
    classifier: str = "logistic",
    late: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    say: Say = print,
    progress: Progress | None = None,
) -> RunRecord:
    """Make one model of several and leave a run folder, as `kerastricks ensemble` does.

    The folder is there only when it is finished; what is interrupted is begun again.

    Args:
        runs: finished ones, their folders, or `.keras` files. A run that kept several models stands for all of them.
        method: "auto" takes the simplest that is as good as any on validation; else "mean", "geometric", "vote",
            "weighted", "greedy", "stack", "soup", "greedy_soup" or "fuse".
        temperatures: whether a named method is combined with temperatures that are fitted to validation.
        data: whose validation images decide and whose test images measure; None for what the first run was trained on.
        classifier: of "fuse": "logistic", "linear" or "mlp".
        late: whether "fuse" is combined with the members' own probabilities.
        seed: of folds, bags and bootstrap.
        out: the folder of run folders.
        name: of the run folder; None for ensemble-METHOD-DATA-NUMBER.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.

    Returns:
        The finished run; its summary has the report in `ensemble`.

    Raises:
        EnsembleError: for members that cannot be one model, or were trained on the images that would choose.
        UsageError: for anything else that is wrong with the arguments, the images or the folders.
    """
    for kind, value, known in (("method", method, METHODS), ("classifier", classifier, CLASSIFIERS)):
        if value not in known:
            raise UnknownNameError(kind, value, known, "kerastricks ensemble --help")
    if method != "fuse" and (classifier != CLASSIFIERS[0] or late):
        raise EnsembleError(f"classifier and late are for method='fuse'. Received: method={method!r}")
    paths = [run.path if isinstance(run, RunRecord) else as_path(run) for run in runs]
    for path in paths:
        if not path.exists():
            raise RunFolderError(f"{path}: no such run folder or .keras file")
    with sigterm_interrupts():
        run, summary = make_ensemble(
            paths,
            Settings(method, classifier, late, seed, temperatures),
            data=None if data is None else os.fspath(data),
            out=as_path(out),
            name=name,
            say=say,
            progress=progress or in_lines(say),
        )
    return RunRecord.of(run, summary)
