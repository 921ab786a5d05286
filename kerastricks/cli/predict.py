"""kerastricks predict"""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerastricks.cli import job_options, options
from kerastricks.errors import RunFailedError, UsageError
from kerastricks.runs.prediction import image_files

if TYPE_CHECKING:
    from kerastricks.serving import RemoteModel, ServedModel

_LONGEST_TOKEN = 1000


class _RunOrImage(options.PathText):
    """RUN, or with --url the first of IMAGES."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        kind = options.RUN if ctx is None or ctx.params.get("url") is None else options.IMAGES
        return kind.convert(value, param, ctx)


@click.command()
@click.argument("run", metavar="RUN", type=_RunOrImage(), required=False)
@click.argument("images", nargs=-1, metavar="IMAGES...", type=options.IMAGES)
@click.option(
    "--url",
    type=options.TEXT,
    is_eager=True,
    help="Model server in place of RUN: http://HOST:PORT[/v1/models/NAME[/versions/NUMBER]].",
)
@click.option("--token-file", type=options.FILE, help="File with the token that the server of --url asks for.")
@click.option(
    "--csv",
    "csv_path",
    type=options.OutputFile(streams=True),
    help="New file, pipe or device for all probabilities.",
)
@job_options.as_json("Print JSON, one object a line.")
@click.pass_context
def predict(
    context: click.Context,
    run: Path | None,
    images: tuple[Path, ...],
    url: str | None,
    token_file: Path | None,
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Classify IMAGES (files, or folders with everything in them) with the run folder RUN, or with a model server.

    \b
    kerastricks predict saved_models/plain_cnn-digits-1 digit.png images/
    kerastricks predict --url http://127.0.0.1:8501 digit.png images/
    """
    if url is not None:
        images, run = (() if run is None else (run, *images)), None
    elif token_file is not None:
        raise UsageError("--token-file: needs --url, the address of the server that the token is for")
    for parameter, given in zip(context.command.params, (run or url, images), strict=False):
        if not given:
            raise click.MissingParameter(ctx=context, param=parameter)
    files = image_files(run, images)
    model = _local(run) if run is not None else _remote(str(url), token_file)
    from kerastricks.cli import screen

    rows: list[list[Any]] = []
    unusable = 0
    with screen.bar("classifying", len(files)) as advance:
        for found in model.predict(files):
            advance(1)
            if found.probabilities is None:
                unusable += 1
                click.echo(f"{found.file}: left out: {found.error}", err=True)
                continue
            values = [round(float(value), 6) for value in found.probabilities]
            rows.append([str(found.file), found.label, max(values), *values])
            if as_json:
                line = {"file": str(found.file), "label": found.label, "probability": max(values)}
                click.echo(json.dumps({**line, "probabilities": dict(zip(model.class_names, values, strict=True))}))
    if csv_path is not None and rows:
        header = ["file", "label", "probability", *model.class_names]
        options.write_output(csv_path, lambda file: csv.writer(file).writerows([header, *rows]))
        click.echo(f"{len(rows)} rows in {csv_path}", err=True)
    elif not as_json:
        width = max((len(row[0]) for row in rows), default=0)
        for file, label, probability, *_ in rows:
            click.echo(f"{file:{width}}  {label}  {probability:.3f}")
    if not rows:
        raise RunFailedError(f"none of {len(files)} file(s) could be used")
    if unusable:
        click.echo(f"{unusable} of {len(files)} file(s) left out", err=True)


def _local(run: Path) -> "ServedModel":
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.serving.served_model import ServedModel

    return ServedModel(run)


def _remote(url: str, token_file: Path | None) -> "RemoteModel":
    token = None if token_file is None else _token(token_file)
    from kerastricks.serving.client import RemoteModel

    return RemoteModel(url, token)


def _token(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            token = opened.read(2 * _LONGEST_TOKEN).strip()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from None
    if not token or not token.isascii() or not token.isprintable() or len(token) > _LONGEST_TOKEN:
        raise UsageError(f"{file}: a token is one line of printable ASCII, up to {_LONGEST_TOKEN:,} characters")
    return token
