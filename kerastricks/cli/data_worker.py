"""kerastricks data-worker"""

import json
import os

import click

from kerastricks.cli import options
from kerastricks.cli.until_stopped import prepare, wait, warn_if_open
from kerastricks.errors import UsageError


@click.command("data-worker")
@click.option(
    "--dispatcher", required=True, type=options.TEXT, metavar="ADDRESS", help="grpc://HOST:PORT of the dispatcher."
)
@click.option(
    "--host",
    type=options.TEXT,
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on, under which trainers reach it.",
)
@click.option("--port", type=options.PORT, default=0, help="[default: a free one]")
@click.option("--json", "as_json", is_flag=True, help="Print address and process id as JSON.")
def data_worker(dispatcher: str, host: str, port: int, as_json: bool) -> None:
    """Run a worker of a data service, which makes training batches, until Ctrl-C.

    It reads the images itself, under the paths that they have where the training runs. The first line of the output is
    its address.

    \b
    kerastricks data-worker --dispatcher grpc://127.0.0.1:5050
    kerastricks data-worker --dispatcher grpc://10.0.0.5:5050 --host 10.0.0.6

    Nobody but this machine can connect unless --host says so. See docs/data_service.md.
    """
    from kerastricks.data.service.address import Address, reach
    from kerastricks.data.service.listening import Listening

    its = Address.parse(dispatcher, "--dispatcher")
    listening = Listening(host, port)
    if listening.is_unspecified:
        raise UsageError(
            f"--host {host}: trainers are sent there: give one address of this machine that they can reach"
        )
    reach(its)
    warn_if_open(listening)
    prepare()
    from kerastricks.data.service.servers import worker

    with worker(its, listening) as address:
        click.echo(json.dumps({"address": str(address), "pid": os.getpid()}) if as_json else str(address))
        click.echo(f"ready for {its}; Ctrl-C stops", err=True)
        wait()
