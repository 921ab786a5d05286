"""kerastricks compare"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import Interrupted, UsageError
from kerastricks.runs.resumable import sigterm_interrupts


def _complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from kerastricks.comparison.kinds import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


@click.command()
@click.argument("kind", required=False, type=options.TEXT, shell_complete=_complete_kind)
@click.argument("data", required=False, type=options.SOURCE)
@job_options.model('Model of the zoo: "mlp(depth=10)".  [default: nin]')
@click.option("--arms", type=options.SPEC, metavar="SPECS", help='"relu | rrelu"; the first is the baseline.')
@click.option("--seeds", type=options.number(1, 1000), help="Number of trainings of each arm.  [default: 5]")
@job_options.epochs()
@click.option("--limit", type=options.number(1, 2**31 - 1), metavar="N", help="Train on N images only.")
@options.assignments
@options.out
@click.option("--name", type=options.NAME, help="Name of the folder.  [default: compare-KIND-MODEL-DATA-NUMBER]")
@click.option("--resume", type=options.PATH, metavar="FOLDER", help="Resume, also with more --seeds.")
@job_options.as_json("Print the result as JSON.")
def compare(
    kind: str | None,
    data: str | None,
    model: str | None,
    arms: str | None,
    seeds: int | None,
    epochs: int | None,
    limit: int | None,
    assignments: tuple[str, ...],
    out: Path,
    name: str | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Train one network with several variants of KIND and test whether they differ.

    KIND is activations, initializers or regularizers. DATA is what `kerastricks train` takes: a folder or zip of
    images, or digits, mnist, fashion_mnist, cifar10, cifar100.

    Every arm has the same seeds, starts and batches. See docs/compare.md.
    """
    from kerastricks.comparison.kinds import check_model, default_config, find_kind, read_arms, read_seeds
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse
    from kerastricks.training.config import Config

    flags = job_options.given_fields(assignments, epochs=epochs)
    if "model" in flags:
        raise UsageError("--set model: the model is chosen by --model SPEC")
    given: dict[str, Any] = {"model": model, "arms": arms, "seeds": seeds, "limit": limit}
    given = {option: value for option, value in given.items() if value is not None}
    if resume is not None:
        if kind is not None:
            raise UsageError("KIND and --resume exclude each other: the folder knows what it compares")
        _resume(resume, flags, given, as_json)
        return
    if kind is None:
        raise UsageError("KIND is missing: activations, initializers or regularizers")
    find_kind(kind)
    if "data" in flags:
        raise UsageError("--set data: the data are chosen by DATA; with --resume it says where they lie now")
    if data is None:
        raise UsageError("DATA is missing: kerastricks compare KIND DATA, a folder, a zip, or a name such as digits")
    config = Config.from_layers(default_config(kind).as_dict(), flags)
    given = {"model": "nin", **given, "config": config}
    check_model(given["model"], kind)
    MODELS.check(parse(given["model"]).name)
    read_arms(kind, given.get("arms"))
    read_seeds(given.get("seeds", 5))
    check_source(data)

    import_keras()
    from kerastricks.runs.folder import RunFolder

    path = Path(os.path.expanduser(data))
    label = f"compare-{kind}-{parse(given['model']).name}"
    # The folder appears together with its plan: a refusal or kill before that leaves nothing.
    folder = RunFolder.free(out, name, label, path.stem).path
    _run(folder, (kind, str(path.resolve()) if path.exists() else data), given, as_json)


def _resume(path: Path, flags: dict[str, Any], given: dict[str, Any], as_json: bool) -> None:
    from kerastricks.comparison.folder import ComparisonFolder
    from kerastricks.training.config import Config

    files = ComparisonFolder(path)
    plan = files.read_plan()
    config = Config.from_layers(plan["config"], flags)
    if config.data is None:
        raise UsageError(f"{path}: compared arrays, which have no name: resume it with kerastricks.comparison.compare")
    import_keras()
    kept = {name: plan[name] for name in ("model", "arms", "seeds", "limit")}
    _run(path, (plan["kind"], config.data), {**kept, **given, "config": config}, as_json)


def _run(folder: Path, what: tuple[str, str], given: dict[str, Any], as_json: bool) -> None:
    from kerastricks.cli import screen
    from kerastricks.comparison.experiment import compare as run
    from kerastricks.comparison.folder import ComparisonFolder

    files = ComparisonFolder(folder)
    screen.say(f"folder: {folder}")
    try:
        with sigterm_interrupts():
            found = run(*what, **given, folder=folder, say=screen.say, progress=screen.bar)
    except KeyboardInterrupt as stop:
        if files.plan.exists():
            screen.say(f"interrupted; resume with: kerastricks compare --resume {folder}")
        else:
            screen.say("interrupted before anything was trained")
        raise stop if isinstance(stop, Interrupted) else Interrupted(signal.SIGINT) from None
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    click.echo(found.to_text(), nl=False)
    click.echo(f"  plot  {files.plot}\n  JSON  {files.result}")
