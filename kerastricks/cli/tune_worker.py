"""kerastricks tune-worker"""

import os
import signal
import socket
from pathlib import Path

import click

from kerastricks.cli import options
from kerastricks.cli.quiet import stderr_kept_back
from kerastricks.errors import Interrupted, SearchError


@click.command("tune-worker")
@click.argument("folder", type=options.FOLDER)
@click.option(
    "--chief",
    required=True,
    type=options.TEXT,
    metavar="HOST:PORT",
    help="Chief of the search, as shown by `kerastricks tune`.",
)
@click.option(
    "--name",
    type=options.NAME,
    help="Name of this worker; a restart under the same name resumes.  [default: this machine's]",
)
def tune_worker(folder: Path, chief: str, name: str | None) -> None:
    """Run trials of the search in FOLDER for its chief, until none is left.

    FOLDER is the search's own, on a file system that both machines share, and the images are under the same path.

    \b
    kerastricks tune images.zip --workers 2 --host 0.0.0.0 --port 8000 --out /shared/search
    kerastricks tune-worker /shared/search --chief first-machine:8000       on the second machine
    """
    host, colon, port = chief.rpartition(":")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise SearchError(f"--chief must be HOST:PORT, such as 10.0.0.5:8000. Received: {chief!r}")
    name = name or socket.gethostname()
    if "chief" in name or Path(name).name != name or name.startswith("."):
        raise SearchError(f"--name must be a plain name without 'chief' in it. Received: {name!r}")
    from kerastricks.search.trials.processes import Processes

    if "KERASTRICKS_PARENT" in os.environ:
        from kerastricks.search.trials.processes import end_with_parent

        end_with_parent()
    processes = Processes({key: value for key, value in os.environ.items() if key != "KERASTRICKS_PARENT"})
    processes.warm()
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the GPU is for the trials
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with stderr_kept_back():
            from kerastricks.search.folder import SearchFolder
            from kerastricks.search.oracle.worker import work
        search = SearchFolder.open(folder)
        with search.locked_as(name):
            work(search, name, host.strip("[]"), int(port), processes)
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGTERM) from None
    finally:
        processes.close()
    click.echo("nothing is left to be done", err=True)
