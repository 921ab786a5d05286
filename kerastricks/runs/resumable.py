"""Runs a job to completion; an interrupted one can be resumed."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kerastricks.errors import Interrupted, UsageError, WriteError
from kerastricks.files import says_full

if TYPE_CHECKING:
    from kerastricks.runs.folder import RunFolder

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Resumption:
    """How a job is resumed, on the command line and from Python.

    Args:
        command: without the folder: "kerastricks train --resume".
        function: public name: "kerastricks.runs.train".
    """

    command: str
    function: str

    def line(self, path: Path) -> str:
        """The command for a folder."""
        return f"{self.command} {path}"

    def call(self, path: Path) -> str:
        """The call for a folder."""
        return f"{self.function}(resume={str(path)!r})"


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt; outside the main thread, where no handlers may be set, this does nothing.

    The training steps have a handler of their own inside, which saves the state first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(number)


def interrupted(stop: KeyboardInterrupt, how: Resumption, path: Path) -> Interrupted:
    """The error for Ctrl-C or SIGTERM; its message has the call that resumes the job."""
    number = stop.signal_number if isinstance(stop, Interrupted) else signal.SIGINT
    return Interrupted(number, f"what was done is kept: {how.call(path)} resumes it")


def carry_out(
    run: "RunFolder",
    work: Callable[[], T],
    how: Resumption,
    *,
    resumed: bool,
    whole: Path | None = None,
    say: Say = print,
) -> T:
    """Do the work of a run folder; when interrupted, leave it resumable.

    Args:
        run: the folder.
        work: trains.
        how: the run is resumed.
        resumed: whether the folder was there before: a mistake, or a full disk before anything was trained, leaves
            no new one.
        whole: what is resumed where the run is a part of something; None for its folder.
        say: gets a line where it stops.

    Returns:
        What `work` returns.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM.
    """
    path = whole or run.path
    try:
        with sigterm_interrupts():
            return work()
    except KeyboardInterrupt as stop:
        say(f"interrupted; resume with: {how.line(path)}")
        raise interrupted(stop, how, path) from None
    except Exception as error:
        full = isinstance(error, WriteError) or says_full(error) is not None
        trained = any(there.exists() for there in (run.checkpoint, run.metrics, run.path / "stages"))
        trained = trained or any(run.path.glob("fold_*"))
        if not (resumed or trained) and (full or isinstance(error, UsageError)):
            shutil.rmtree(run.path, ignore_errors=True)
        elif full:
            say(f"when there is room, resume with: {how.line(path)}")
        raise


def move_data(run: "RunFolder", data: object) -> None:
    """Record where the data of a run are now; their fingerprint is checked when they are read."""
    record = run.read(run.config)
    record["config"]["data"] = str(Path(str(data)).expanduser().resolve())
    run.write(run.config, record)


def reopened(path: Path, fields: Mapping[str, Any]) -> "RunFolder":
    """The folder of a resumed run, with its data at the path in `fields`."""
    from kerastricks.runs.folder import RunFolder

    run = RunFolder.open(path)
    if fields.get("data") is not None:
        move_data(run, fields["data"])
    return run


def refuse_settings(resume: object, what: str, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Raise UsageError for anything but `data` beside `resume`.

    Args:
        resume: the folder.
        what: name of the first argument.
        settings: arguments, None where they are not given.
        fields: of the configuration.
    """
    if any(value is not None for value in settings.values()) or set(fields) - {"data"}:
        raise UsageError(
            f"{resume}: a run is resumed as it began: resume goes without {what} and settings (but data=PATH, where "
            "the same data have moved)"
        )
