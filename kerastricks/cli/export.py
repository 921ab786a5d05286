"""kerastricks export"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerastricks.cli import job_options, options
from kerastricks.serving.formats import FORMATS, QUANTIZATIONS, check_format

if TYPE_CHECKING:
    from kerastricks.runs.exporting import ExportReport

_FEW_AGREE = 0.95


@click.command()
@click.argument("run", type=options.FOLDER)
@click.option(
    "--format",
    "format_name",
    type=options.Choice(FORMATS),
    default="saved_model",
    show_default=True,
    help="Format of the export: RUN/N, RUN/onnx/N/model.onnx or RUN/litert/N/model.tflite.",
)
@click.option(
    "--quantize",
    type=options.Choice(QUANTIZATIONS),
    help="Quantisation of litert: int8 weights (dynamic), or int8 weights and activations, from uint8 pixels (int8).",
)
@click.option("--data", type=options.SOURCE, help="Where the images are now.  [default: where the run was trained]")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Seed of the samples of images.")
@job_options.as_json()
def export(run: Path, format_name: str, quantize: str | None, data: str | None, seed: int, as_json: bool) -> None:
    """Export the model of the run folder RUN for a server, a browser or a phone.

    The export is loaded again in a fresh process and compared with the Keras model on the images that `evaluate`
    scores. One that is not quantised and differs by more than 0.001 fails, and leaves nothing.

    \b
    kerastricks export saved_models/RUN
    kerastricks export saved_models/RUN --format onnx
    kerastricks export saved_models/RUN --format litert --quantize int8
    """
    from kerastricks.runs.folder import RunFolder

    check_format(format_name, quantize)
    folder = RunFolder.open(run)
    folder.read(folder.summary)  # an unfinished run is refused before anything slow
    from kerastricks.cli.quiet import import_keras

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.runs.exporting import export as export_run

    written = export_run(run, format_name, quantize, data, seed=seed, progress=screen.bar)
    if as_json:
        click.echo(json.dumps(written.to_json(), indent=2))
        return
    _print(written)


def _print(written: "ExportReport") -> None:
    from rich.table import Table

    from kerastricks.cli import screen

    screen.output.print(
        f"{written.data}, {written.split}: {written.images:,} images, largest difference "
        f"{written.largest_difference:.2g}, labels agree for {written.label_agreement:.2%}",
        soft_wrap=True,
    )
    table = Table("", box=None, pad_edge=False)
    for column in ("accuracy", "ms for one image", "size"):
        table.add_column(column, justify="right")
    rows = {
        "Keras": (written.keras_accuracy, written.keras_latency_ms, written.keras_size_bytes),
        written.format: (written.accuracy, written.latency_ms, written.size_bytes),
    }
    for name, (accuracy, latency, size) in rows.items():
        table.add_row(name, f"{accuracy:.2%}", f"{latency:.2f}", f"{size / 1e6:,.2f} MB")
    screen.output.print(table)
    if written.quantize == "int8":
        floats = f"; {written.float_tensors} stay float32" if written.float_tensors else ""
        screen.say(f"ranges of activations: {written.calibration_images} training images{floats}")
    if written.label_agreement < _FEW_AGREE:
        screen.say(f"warning: the labels differ for more than {1 - _FEW_AGREE:.0%} of the images: look at the accuracy")
    screen.output.print(str(written.path), soft_wrap=True)
