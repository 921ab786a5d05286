"""kerastricks data-dispatcher"""

import json
import os
import socket
from pathlib import Path

import click

from kerastricks.cli import options
from kerastricks.cli.until_stopped import prepare, wait, warn_if_open


@click.command("data-dispatcher")
@click.option(
    "--host", type=options.TEXT, default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."
)
@click.option("--port", type=options.PORT, default=5050, show_default=True, help="0 takes a free one.")
@click.option(
    "--work-dir",
    type=options.FOLDER,
    metavar="FOLDER",
    help="Folder of the journal.  [default: ~/.cache/kerastricks/dispatcher-PORT]",
)
@click.option("--json", "as_json", is_flag=True, help="Print address, folder and process id as JSON.")
def data_dispatcher(host: str, port: int, work_dir: Path | None, as_json: bool) -> None:
    """Run the dispatcher of a data service, until Ctrl-C.

    The first line of the output is its address. Started again with the same port and folder, after a crash too, it goes
    on where it was.

    \b
    kerastricks data-dispatcher
    kerastricks data-worker --dispatcher grpc://127.0.0.1:5050
    kerastricks train path/to/images/ --data-service grpc://127.0.0.1:5050

    Nobody but this machine can connect unless --host says so. See docs/data_service.md.
    """
    from kerastricks.data.service.listening import Listening

    listening = Listening(host, port)
    folder = (work_dir or _default_folder(listening.port)).expanduser().resolve()
    warn_if_open(listening)
    prepare()
    from kerastricks.data.service.servers import dispatcher

    with dispatcher(listening, folder) as address:
        shown = str(address) if not listening.is_unspecified else f"grpc://{socket.gethostname()}:{address.port}"
        record = {"address": shown, "work_dir": str(folder), "pid": os.getpid()}
        click.echo(json.dumps(record) if as_json else shown)
        click.echo(f"ready; next: kerastricks data-worker --dispatcher {shown}; Ctrl-C stops", err=True)
        wait()


def _default_folder(port: int) -> Path:
    cache = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    return cache / "kerastricks" / f"dispatcher-{port}"
