"""Takes a run to its end, and leaves it so that one can go on where it is stopped."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerastricks.errors import Interrupted, UsageError, WriteError
from kerastricks.files import says_full


def carry_out(
    run: Any, work: Callable[[], dict[str, Any]], command: str, resumed: bool, whole: Path | None = None
) -> dict[str, Any]:
    """What `work` returns.

    Args:
        run: the run folder.
        work: trains.
        command: that goes on with the run, without the folder: "kerastricks train --resume".
        resumed: whether the folder was there before: a mistake, or a full disk before anything was trained, leaves
            no new one.
        whole: what the command goes on with where the run is a part of something; None for its folder.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM.
    """
    from kerastricks.cli import screen

    signal.signal(signal.SIGTERM, terminate)
    try:
        return work()
    except KeyboardInterrupt as stop:
        screen.say(f"interrupted; go on with: {command} {whole or run.path}")
        raise stop if isinstance(stop, Interrupted) else Interrupted(signal.SIGINT) from None
    except Exception as error:
        full = isinstance(error, WriteError) or says_full(error) is not None
        trained = any(path.exists() for path in (run.checkpoint, run.metrics, run.path / "stages"))
        if not (resumed or trained) and (full or isinstance(error, UsageError)):
            shutil.rmtree(run.path, ignore_errors=True)
        elif full:
            screen.say(f"when there is room, go on with: {command} {whole or run.path}")
        raise


def terminate(number: int, frame: Any) -> None:
    """SIGTERM outside the training steps, which have a handler of their own."""
    raise Interrupted(number)


def move_data(run: Any, data: Any) -> None:
    """Notes where the data of a run are now; that they are the same is checked when they are read."""
    record = run.read(run.config)
    record["config"]["data"] = str(Path(str(data)).expanduser().resolve())
    run.write(run.config, record)
