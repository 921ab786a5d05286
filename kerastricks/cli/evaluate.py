"""kerastricks evaluate"""

import json
from pathlib import Path

import click

from kerastricks.cli import job_options, options


@click.command()
@click.argument("run", type=options.RUN)
@click.argument("data", type=options.SOURCE)
@job_options.as_json()
def evaluate(run: Path, data: str, as_json: bool) -> None:
    """Score the run folder RUN on the images of DATA.

    Scored are the test split of DATA; the images that the run did not see, of the data it was trained on; or all
    images, of a folder of classes.
    """
    from kerastricks.runs.folder import RunFolder

    folder = RunFolder.open(run)
    folder.read(folder.summary)  # an unfinished run is refused before anything slow
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from rich.table import Table

    from kerastricks.cli import screen
    from kerastricks.metrics.class_balance import describe_shots, is_uneven
    from kerastricks.runs.evaluation import evaluate as score

    found = score(folder, data, screen.bar)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    skipped = f", {found.skipped} file(s) left out" if found.skipped else ""
    others = found.classes_left_out
    skipped += f", {others} class(es) left out that the run was not trained on" if others else ""
    screen.output.print(f"{found.data}, {found.split}: {found.images:,} images{skipped}")
    macro_f1 = "" if found.macro_f1 is None else f"macro F1 {found.macro_f1:.2%}, "
    screen.output.print(
        f"accuracy {found.accuracy:.2%}, balanced {found.balanced_accuracy:.2%}, {macro_f1}"
        f"log-loss {found.log_loss:.3f}"
    )
    trained = found.training_counts()
    if trained is not None and found.shots is not None and is_uneven(trained):
        screen.output.print(describe_shots(found.shots, trained), soft_wrap=True)
    table = Table("class", box=None, pad_edge=False)
    for column in ("trained on", "images", "recall") if trained is not None else ("images", "recall"):
        table.add_column(column, justify="right")
    for index, ((name, recall), images) in enumerate(zip(found.recall.items(), found.images_by_class(), strict=True)):
        known = [] if trained is None else [f"{trained[index]:,}"]
        table.add_row(name, *known, f"{images:,}", "-" if recall is None else f"{recall:.1%}")
    screen.output.print(table)
