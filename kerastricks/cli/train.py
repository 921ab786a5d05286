"""kerastricks train"""

import json
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.errors import UsageError


@click.command()
@job_options.source()
@job_options.model()
@job_options.augment()
@job_options.classes()
@job_options.group()
@job_options.imbalance()
@job_options.epochs()
@job_options.minutes("End in so many; with --seeds, each training.")
@job_options.batch_size()
@click.option("--learning-rate", type=options.field("learning_rate"), metavar="RATE", help="Highest learning rate.")
@click.option(
    "--schedule",
    type=options.SPEC,
    metavar="SPEC",
    help='"one_cycle", "plateau(factor=2)": see `kerastricks schedule`.',
)
@click.option(
    "--scale-lr",
    type=options.SPEC,
    metavar="RULE",
    help="Scaling of the rate with the batch size: constant, linear, sqrt.",
)
@click.option(
    "--base-batch", type=options.field("base_batch"), metavar="N", help="Batch size for which the rate is given."
)
@click.option(
    "--monitor",
    type=options.TEXT,
    metavar="NAME",
    help="Pick epochs by val_loss, val_accuracy, val_balanced_accuracy or val_macro_f1.",
)
@job_options.seed()
@click.option("--seeds", type=options.SEEDS, metavar="N", help="Train N times with N seeds: NAME-s0, NAME-s1, ...")
@click.option(
    "--snapshots", type=options.SEEDS, metavar="N", help="N cycles of the rate; keep the weights at the end of each."
)
@click.option("--swa", is_flag=True, help="Average the weights at 3/4 of the epochs and after each later one.")
@options.assignments
@options.out
@job_options.name("MODEL-DATA-NUMBER")
@job_options.resume
@click.option(
    "--data-service", type=options.TEXT, metavar="ADDRESS", help="grpc://HOST:PORT of a `kerastricks data-dispatcher`."
)
@options.cache_dir
@click.option("--doctor", is_flag=True, help="Tell findings about the training; stop it when it diverges.")
@job_options.as_json("Print the summary as JSON.")
def train(
    source: str | None,
    model: str | None,
    augment: str | None,
    classes: str | None,
    group: str | None,
    imbalance: str | None,
    epochs: int | None,
    minutes: float | None,
    batch_size: int | None,
    learning_rate: float | None,
    schedule: str | None,
    scale_lr: str | None,
    base_batch: int | None,
    monitor: str | None,
    seed: int | None,
    seeds: int | None,
    snapshots: int | None,
    swa: bool,
    assignments: tuple[str, ...],
    out: Path,
    name: str | None,
    resume: Path | None,
    data_service: str | None,
    cache_dir: Path | None,
    doctor: bool,
    as_json: bool,
) -> None:
    """Train a classifier from SOURCE and write a run folder.

    SOURCE is a folder or zip of images (CLASS/*.jpg, or train/ validation/ test/ with classes inside), a .csv of
    paths and labels, Parquet files or WebDataset tars, a folder that `kerastricks pack` wrote, an s3://, gs:// or
    https:// address of one of these, the name of a recipe (`kerastricks recipe list`), a recipe file of your own, or a
    data set: digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, hf:OWNER/NAME.

    Fields of the configuration for --set: data, model, augment, image_size, crop_fraction, interpolation, classes,
    batch_size, epochs, minutes, optimizer, learning_rate, schedule, scale_lr, base_batch, weight_decay,
    label_smoothing, imbalance, clip_norm, early_stopping_epochs, monitor, validation, test, group, seed, split_seed,
    bagging, average, keep, precision, jit, max_pixels, max_skipped. They are explained in docs/training.md.

    --minutes chooses the image size and the epochs that are not given, says so, and ends in time.

    --doctor watches the curves and tells, once, what it is sure of: kerastricks doctor says the same of finished runs.

    --seeds is a series: the same splits, images read once, a table at the end; --resume OUT/NAME resumes it.
    """
    from kerastricks.data.service.address import Address, reach
    from kerastricks.runs.configuration import check_early, configure

    flags = job_options.given_fields(
        assignments,
        model=model,
        augment=augment,
        classes=classes,
        group=group,
        imbalance=imbalance,
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        scale_lr=scale_lr,
        base_batch=base_batch,
        monitor=monitor,
        seed=seed,
    )
    flags = with_shorthands(flags, snapshots, swa)
    if seeds is not None and resume is not None:
        raise UsageError("--seeds and --resume exclude each other: the series knows its seeds: --resume OUT/NAME")
    if source is not None and resume is not None:
        raise UsageError("SOURCE and --resume exclude each other: the run knows its data")
    if resume is None:
        if source is None and "data" not in flags:
            raise UsageError("SOURCE is missing: a folder or zip of images, or a recipe: kerastricks recipe list")
        config, recipe = configure(find_recipe(source) or source if source is not None else None, None, flags)
        check_early(config, recipe)
    if data_service is not None:
        reach(Address.parse(data_service, "--data-service"))

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.series import Series, train_series
    from kerastricks.runs.training_run import train as train_run

    job: dict[str, Any] = {"resume": resume, "data_service": data_service, "cache_dir": cache_dir, "doctor": doctor}
    job |= {"say": screen.say, "progress": screen.bar}
    if resume is None:
        job |= {"source": recipe, "config": config, "out": out, "name": name}
    else:
        job |= flags
    if resume is not None and not resume.exists() and Series.is_at(resume):
        report_series(train_series(**job), as_json)
    elif seeds is not None:
        report_series(train_series(**job, seeds=seeds), as_json)
    else:
        report(train_run(**job), as_json)


def with_shorthands(flags: dict[str, Any], snapshots: int | None, swa: bool) -> dict[str, Any]:
    """Add the fields that --snapshots and --swa stand for.

    Raises:
        UsageError: for one that is given besides.
    """
    meant: dict[str, tuple[str, str]] = {}
    if snapshots is not None:
        meant["schedule"] = ("--snapshots", f"cosine_restarts(cycles={snapshots})")
        meant["keep"] = ("--snapshots", f"snapshots({snapshots})")
    if swa:
        meant["average"] = ("--swa", "swa(start=0.75)")
    for field, (option, value) in meant.items():
        if flags.get(field, value) != value:
            raise UsageError(f"{option} means {field}={value!r}, and {field}={flags[field]!r} is given: leave one out")
    return {**flags, **{field: value for field, (_, value) in meant.items()}}


def report(record: Any, as_json: bool) -> None:
    """Print a `kerastricks.runs.RunRecord`."""
    from kerastricks.cli import screen
    from kerastricks.metrics.class_balance import describe_shots, is_uneven

    run, summary = record.folder, record.summary
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    screen.output.print(
        f"test accuracy {summary.accuracy:.2%}, balanced {summary.balanced_accuracy:.2%}, "
        f"log-loss {summary.log_loss:.3f} ({summary.images:,} images)"
    )
    trained = summary.training_counts()
    if trained is not None and summary.shots is not None and summary.macro_f1 is not None and is_uneven(trained):
        of_shots = describe_shots(summary.shots, trained)
        screen.output.print(f"  uneven      macro F1 {summary.macro_f1:.2%}; {of_shots}", soft_wrap=True)
    screen.output.print(f"  model       {run.model}", soft_wrap=True)
    screen.output.print(f"  SavedModel  {run.path / summary.saved_model}", soft_wrap=True)
    screen.output.print(f"  report      {run.report}", soft_wrap=True)
    screen.output.print(f"  curves      {run.curves}", soft_wrap=True)
    screen.output.print(f"  summary     {run.summary}", soft_wrap=True)
    screen.output.print(f"  use it      kerastricks predict {run.path} IMAGE ...", soft_wrap=True)
    if summary.members is not None:
        kept = f"kerastricks ensemble {run.path}"
        screen.output.print(f"  {len(summary.members):2} members  make one of them: {kept}", soft_wrap=True)
    if summary.average is not None:
        from kerastricks.training.weight_callbacks import describe_average

        screen.output.print(f"  averaged    {describe_average(summary.average)}", soft_wrap=True)


# Columns of a series: name of the score, heading, how it is printed.
_SERIES = (
    ("accuracy", "test accuracy", ".2%"),
    ("balanced_accuracy", "balanced", ".2%"),
    ("macro_f1", "macro F1", ".2%"),
    ("log_loss", "log-loss", ".4f"),
)


def report_series(series: Any, as_json: bool) -> None:
    """Print a `kerastricks.runs.SeriesRecord`."""
    from kerastricks.cli import screen

    summary = series.to_json()
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    width = max(len(row["run"]) for row in summary["runs"])
    mean, spread = summary["mean"], summary["standard_deviation"]
    columns = [one for one in _SERIES if one[0] in mean]
    heads = "".join(f"  {head}" for _, head, _ in columns)
    screen.output.print(f"{'run':{width}}{heads}", soft_wrap=True)
    for row in summary["runs"]:
        cells = "".join(f"  {row[name]:{len(head)}{form}}" for name, head, form in columns)
        screen.output.print(f"{row['run']:{width}}{cells}", soft_wrap=True)
    means = ", ".join(f"{head.strip()} {mean[name]:{form}} ± {spread[name]:{form}}" for name, head, form in columns)
    screen.output.print(f"mean of {len(summary['runs'])} seeds, ± standard deviation: {means}", soft_wrap=True)
    screen.output.print(f"  make one of them  kerastricks ensemble {series.path}-s*", soft_wrap=True)
