"""kerastricks lr"""

import dataclasses
import json
import shlex
import time
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError


@click.command()
@job_options.source("data", required=True)
@job_options.model()
@job_options.augment()
@job_options.classes()
@job_options.group()
@job_options.batch_size()
@job_options.seed()
@options.assignments
@click.option(
    "--sweeps", type=options.number(1, 1000), help="Sweeps over the same batches.  [default: 5, or what fits]"
)
@click.option("--steps", type=options.number(20, 1_000_000), help="Steps of a sweep.  [default: 100, or what fits]")
@click.option(
    "--minutes",
    type=options.field("minutes"),
    default=2.0,
    show_default=True,
    metavar="N",
    help="Budget for all sweeps.",
)
@click.option(
    "--bounds",
    type=options.TEXT,
    metavar="LOW,HIGH",
    help="Range of the rate.  [default: by the optimizer; SGD 1e-5,10; Adam 1e-6,1]",
)
@click.option("--out", type=options.PNG, metavar="PNG", help="[default: lr.png, lr-2.png, ...]")
@job_options.as_json()
def lr(
    data: str,
    model: str | None,
    augment: str | None,
    classes: str | None,
    group: str | None,
    batch_size: int | None,
    seed: int | None,
    assignments: tuple[str, ...],
    sweeps: int | None,
    steps: int | None,
    minutes: float,
    bounds: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the learning rate for training on DATA by repeated range tests.

    DATA is what `kerastricks train` takes; of a recipe, its model and configuration count. What is found is the highest
    rate of the schedule. The picture is a PNG; none is overwritten. Where the curves give no answer, it says why; a
    model that diverges at every rate is a mistake.

    It ends in --minutes: where five sweeps of 100 steps do not fit, there are fewer, over smaller images if need be,
    and it says so. --sweeps, --steps and --set image_size= stay as they are given.

    \b
    kerastricks lr digits
    kerastricks lr path/to/images/ --model resnet_20 --set optimizer=adamw
    """
    from kerastricks.models.catalog import MODELS
    from kerastricks.spec import parse
    from kerastricks.training.config import Config

    given = {
        "model": model,
        "augment": augment,
        "classes": classes,
        "group": group,
        "batch_size": batch_size,
        "seed": seed,
    }
    flags = job_options.given_fields(assignments, **given)
    recipe = find_recipe(data)
    config = Config.from_layers(recipe.config if recipe is not None else {"data": data}, flags)
    if config.data is None:
        raise UsageError(f"{data}: CONFIG names no data: give it on the command line, --set data=PATH")
    if recipe is None or recipe.create_model is None:
        MODELS.check(parse(config.model).name)
    if recipe is None:
        check_source(str(config.data))
    settings: dict[str, Any] = _bounds(bounds)
    if out is None:
        options.free_name("lr.png")  # whether there can be one

    import_keras()
    import keras

    from kerastricks.cli import screen
    from kerastricks.initializers.data_driven import start_from_data
    from kerastricks.models.creation import create
    from kerastricks.range_test.budget import STEPS, SWEEPS, plan_range_test
    from kerastricks.range_test.for_trainings import find_learning_rate
    from kerastricks.runs.own_model import own_model
    from kerastricks.training.datasets import load_data
    from kerastricks.training.size_timing import image_sizes, own_size, size_timer

    began = time.monotonic()
    loaded = load_data(config.data, config, screen.bar)
    reading = time.monotonic() - began
    own = recipe if recipe is not None and recipe.create_model is not None else None

    def created(shape: tuple[int, int, int]) -> Any:
        if own is not None:
            return own_model(own, loaded, config)
        return create(config.model, shape, len(loaded.class_names), mean=loaded.mean, std=loaded.std)

    def left() -> float:
        return 60.0 * minutes - (time.monotonic() - began)

    sizes = [own_size(loaded)] if own is not None else image_sizes(config.data, config, loaded)
    largest = own_size(loaded)
    plan = plan_range_test(
        [size for size in sizes if largest is None or size is None or size <= largest],
        size_timer(created, loaded, config, reading),
        left,
        sweeps,
        steps,
    )
    keras.backend.clear_session()
    shrunk = plan.image_size != largest
    if shrunk:
        loaded = load_data(config.data, dataclasses.replace(config, image_size=plan.image_size), screen.bar)
    keras.utils.set_random_seed(config.seed)
    built = created(loaded.image_shape)
    start_from_data(built, loaded.sample())
    screen.say(
        f"{loaded.name}: {built.name}, {config.optimizer}, batches of {loaded.batch_size}: {plan.sweeps} "
        f"{'sweep' if plan.sweeps == 1 else 'sweeps'} of {plan.steps} steps"
    )
    note = _note(plan, f"{sweeps or SWEEPS} sweeps of {steps or STEPS}", minutes, largest) if plan.is_cut else ""
    if note:
        screen.say(note)
    seconds = left() if sweeps is None else None
    settings |= {"sweeps": plan.sweeps, "steps": plan.steps}
    result = find_learning_rate(built, loaded, config, screen.bar, seconds, **settings)
    if len(result.losses) < plan.sweeps:
        made = f"{len(result.losses)} of {plan.sweeps} sweeps"
        late = f"{made} fitted into {minutes:g} minutes: steps took longer than timed"
        note = f"{note}; {late}" if note else late
    if result.reason.startswith("diverged at once"):
        raise UsageError(result.reason)
    target = out or options.free_name("lr.png")  # another may have taken it meanwhile
    result.plot(target, f"{loaded.name}, {built.name}, {config.optimizer}")
    command = None
    if result.suggestion is not None:
        size = ["--set", f"image_size={plan.image_size}"] if shrunk else []
        found_here = [*size, *_rate(result.suggestion)]
        command = shlex.join(["kerastricks", "train", data, *_given(given, assignments), *found_here])
    if as_json:
        found = {"image_size": plan.image_size, "cut": note or None, "picture": str(target), "command": command}
        click.echo(json.dumps({**result.to_dict(), **found}, indent=2))
        return
    click.echo(str(result))
    if note:
        click.echo(f"cut           {note}")
    click.echo(f"picture       {target}")
    if command is not None:
        click.echo(f"use it        {command}")


def _note(plan: Any, wanted: str, minutes: float, largest: int | None) -> str:
    """Describe the reductions for the budget, and their consequence."""
    whole = f"{wanted} steps would take about {plan.whole_seconds / 60:.1f} minutes, and there are {minutes:g}"
    smaller = f"images of {plan.image_size} pixels in place of {largest}: the rate is for that size"
    return f"{whole}; {smaller}" if plan.image_size != largest else whole


def _bounds(text: str | None) -> dict[str, float]:
    """ "1e-4,1" as low and high."""
    if text is None:
        return {}
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--bounds must be two numbers, LOW,HIGH: --bounds 1e-4,1. Received: {text}") from None
    if not 0 < low < high < float("inf"):
        raise UsageError(f"--bounds must hold 0 < LOW < HIGH. Received: {text}")
    return {"low": low, "high": high}


def _given(given: dict[str, Any], assignments: tuple[str, ...]) -> list[str]:
    """The flags as given, without the rate."""
    flags = [
        part
        for field, value in given.items()
        if value is not None
        for part in (f"--{field.replace('_', '-')}", str(value))
    ]
    kept = [text for text in assignments if text.partition("=")[0].strip() != "learning_rate"]
    return [*flags, *(part for text in kept for part in ("--set", text))]


def _rate(suggestion: float) -> list[str]:
    return ["--set", f"learning_rate={suggestion:.2g}"]
