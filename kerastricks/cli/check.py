"""kerastricks check"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kerastricks.classifier_file import check_model_file, load_model_file
from kerastricks.cli import check_labels, job_options, options
from kerastricks.cli.models import zoo_model
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError


def _options(images: int) -> Callable[[Any], Any]:
    """Options that all checks share; `images` is their default number."""
    shared = (
        click.option(
            "--initializer",
            type=options.SPEC,
            metavar="SPEC",
            help='Initializer of a zoo model: "he_normal", "small_normal(0.01)".',
        ),
        click.option(
            "--activation",
            type=options.SPEC,
            metavar="SPEC",
            help='Activation of a zoo model: "relu", "leaky_relu(0.18)".',
        ),
        click.option(
            "--images",
            type=options.number(2, 1_000_000),
            default=images,
            show_default=True,
            help="Number of images to run.",
        ),
        click.option(
            "--seed",
            type=options.SEED,
            default=0,
            show_default=True,
            help="Seed of weights and of the choice of images.",
        ),
        click.option("--plot", type=options.PNG, metavar="PNG", help="Also plot the result."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    )

    def decorate(command: Any) -> Any:
        for option in reversed(shared):
            command = option(command)
        return command

    return decorate


@click.group()
def check() -> None:
    """Diagnose a network or its data: signal, dead and equal units, shapes, the model file, batch size, labels.

    MODEL is a model of the zoo, "mlp(depth=30)", a .keras file or a run folder. DATA is what `kerastricks train`
    takes; by default the data of the run, or digits.
    """


check.add_command(check_labels.labels)


@check.command()
@click.argument("model", type=options.MODEL, default="mlp(depth=30)")
@click.argument("data", required=False, type=options.SOURCE)
@_options(images=256)
def init(model: str, data: str | None, plot: Path | None, as_json: bool, **choices: Any) -> None:
    """Measure the variance of signal and gradient, layer by layer.

    \b
    kerastricks check init --initializer xavier_normal
    kerastricks check init "mlp(depth=30)" digits --initializer he_normal --plot he.png
    """
    subject = Subject(model, data, plot, **choices)
    from kerastricks import checks

    built, images, labels = subject.load()
    _show(checks.check_signal(built, images, labels, seed=subject.seed), plot, as_json)


@check.command()
@click.argument("model", type=options.MODEL)
@click.argument("data", required=False, type=options.SOURCE)
@_options(images=2048)
def activation(model: str, data: str | None, plot: Path | None, as_json: bool, **choices: Any) -> None:
    """Find dead and saturated units of each activation.

    \b
    kerastricks check activation saved_models/RUN
    kerastricks check activation model.keras path/to/images/
    """
    subject = Subject(model, data, plot, **choices)
    from kerastricks import checks

    built, images, _ = subject.load()
    _show(checks.check_activations(built, images), plot, as_json)


@check.command()
@click.argument("model", type=options.MODEL)
@click.argument("data", required=False, type=options.SOURCE)
@click.option(
    "--steps",
    type=options.number(1, 1_000_000),
    default=20,
    show_default=True,
    help="Training steps between two measurements.",
)
@_options(images=256)
def units(model: str, data: str | None, steps: int, plot: Path | None, as_json: bool, **choices: Any) -> None:
    """Find units of a layer that are equal, and stay equal in training.

    \b
    kerastricks check units "mlp(depth=3)" digits --initializer zeros
    """
    subject = Subject(model, data, plot, **choices)
    from kerastricks import checks

    built, images, labels = subject.load()
    _show(checks.check_units(built, images, labels, steps=steps, seed=subject.seed), plot, as_json)


@check.command()
@click.argument("model", type=options.MODEL)
@click.argument("data", required=False, type=options.SOURCE)
@click.option(
    "--small",
    type=options.number(1, 1_000_000),
    metavar="N",
    default=16,
    show_default=True,
    help="Images in a small batch.",
)
@click.option(
    "--large",
    type=options.number(2, 1_000_000),
    metavar="N",
    default=256,
    show_default=True,
    help="Images in a large batch, a multiple of --small.",
)
@click.option(
    "--repeats",
    type=options.number(2, 100_000),
    metavar="N",
    default=20,
    show_default=True,
    help="Large batches to measure.",
)
@_options(images=5120)
def batch(
    model: str,
    data: str | None,
    small: int,
    large: int,
    repeats: int,
    plot: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Measure the gradient noise scale: the batch size above which larger ones pay less.

    \b
    kerastricks check batch saved_models/RUN
    kerastricks check batch plain_cnn digits --small 8 --large 128 --plot batch.png
    """
    if large < 2 * small or large % small:
        raise UsageError(f"--large must be a multiple of --small, twice of it or more. Received: {large} and {small}")
    subject = Subject(model, data, plot, **choices)
    from kerastricks import checks

    built, images, labels = subject.load()
    if labels is None:
        raise UsageError(f"{subject.data}: has other classes than the model, and drawn labels have other noise")
    report = checks.check_batch_size(
        built, images, labels, small=small, large=large, repeats=repeats, seed=subject.seed
    )
    _show(report, plot, as_json)


@check.command()
@click.argument("model", type=options.MODEL)
@click.option("--image-size", type=options.field("image_size"), metavar="N", help="Side in pixels, of a zoo model.")
@job_options.as_json()
def shapes(model: str, image_size: int | None, as_json: bool) -> None:
    """Compare image size, filters, strides, padding and pooling with the advice.

    \b
    kerastricks check shapes resnet_50
    kerastricks check shapes "plain_cnn(widths=(8, 8))" --image-size 28
    """
    subject = Subject(model)
    if subject.file is not None and image_size is not None:
        raise UsageError(f"--image-size is for models of the zoo. Received: MODEL {model}")
    import_keras()
    from kerastricks import checks

    built = zoo_model(model, image_size) if subject.file is None else subject.read(subject.file)[0]
    _show(checks.check_shapes(built), None, as_json)


@check.command("model")
@click.argument("model", type=options.MODEL)
@click.option("--image-size", type=options.field("image_size"), metavar="N", help="Side in pixels, of a zoo model.")
@job_options.as_json()
def check_model(model: str, image_size: int | None, as_json: bool) -> None:
    """Find the faults of a model that show without data: initialization, structure, loss.

    \b
    kerastricks check model model.keras
    kerastricks check model saved_models/RUN --json
    """
    subject = Subject(model)
    if subject.file is not None and image_size is not None:
        raise UsageError(f"--image-size is for models of the zoo. Received: MODEL {model}")
    import_keras()
    from kerastricks import checks

    # Runs and the zoo are fed pixels from 0 to 255; of other files nobody knows.
    raw_pixels = True if subject.file is None or subject.config else None
    built = zoo_model(model, image_size) if subject.file is None else subject.file
    _show(checks.check_model(built, raw_pixels=raw_pixels), None, as_json)


class Subject:
    """The model and images of a command line, checked early."""

    def __init__(
        self,
        model: str,
        data: str | None = None,
        plot: Path | None = None,
        initializer: str | None = None,
        activation: str | None = None,
        images: int = 2,
        seed: int = 0,
    ) -> None:
        from kerastricks.models.catalog import MODELS
        from kerastricks.runs.folder import RunFolder
        from kerastricks.spec import parse

        self.count = images
        self.seed = seed
        self.name = model
        options = {"initializer": initializer, "activation": activation}
        self.options: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        path = Path(os.path.expanduser(model))
        self.file: Path | None = None
        self.class_names: list[str] | None = None
        self.config: dict[str, Any] = {}
        if os.path.isdir(path):  # false also for a spec that is too long for a path
            run = RunFolder.open(path)
            self.file = run.model
            self.class_names = run.read(run.summary)["class_names"]
            self.config = run.read(run.config)["config"]
            data = data or self.config["data"]
        elif path.suffix == ".keras" or os.path.isfile(path):
            self.file = path
            check_model_file(path)
        else:
            parsed = parse(model)
            MODELS.check(parsed.name)
            twice = sorted(set(self.options) & set(parsed.kwargs))
            if twice:
                raise UsageError(
                    f"--{twice[0]} {self.options[twice[0]]}: {model} sets it already: leave one of them out"
                )
        if self.file is not None and self.options:
            raise UsageError(f"--{next(iter(self.options))} is for models of the zoo. Received: MODEL {model}")
        self.data = data or "digits"
        check_source(self.data)

    def load(self) -> tuple[Any, Any, Any]:
        """Loads model, images and labels; labels are None if data and model have different classes."""
        import_keras()
        return self._created() if self.file is None else self._saved(self.file)

    def _created(self) -> tuple[Any, Any, Any]:
        import keras

        from kerastricks.cli import screen
        from kerastricks.data.loading import load
        from kerastricks.initializers.data_driven import start_from_data
        from kerastricks.models.creation import create

        data = load(self.data, seed=self.seed, progress=screen.bar)
        keras.utils.set_random_seed(self.seed)
        shape, classes = data.image_shape, len(data.class_names)
        model = create(self.name, shape, classes, mean=data.mean, std=data.std, **self.options)
        start_from_data(model, data.sample())
        return model, *self._draw(data.splits["train"].examples, shape, data.fitting)

    @staticmethod
    def read(file: Path) -> tuple[Any, Any]:
        """The model in a file and the shape of its images."""
        model = load_model_file(file)
        return model, tuple(model.inputs[0].shape[1:])

    def _saved(self, file: Path) -> tuple[Any, Any, Any]:
        from kerastricks.cli import screen
        from kerastricks.data.fitting import Fitting
        from kerastricks.data.sources.reading import read_source

        fitting = Fitting(self.config.get("crop_fraction", 1.0), self.config.get("interpolation", "bilinear"))
        model, shape = self.read(file)
        if len(shape) != 3 or None in shape or shape[-1] not in (1, 3):
            raise UsageError(f"{file}: must take images of one size, with 1 or 3 channels. Received: input {shape}")
        source = read_source(
            self.data,
            image_size=None,
            max_pixels=100_000_000,
            max_skipped=0.05,
            memory_bytes=0,
            progress=screen.bar,
            image_shape=shape,
            min_classes=1,
            fitting=fitting,
        ).source
        images, labels = self._draw(source.splits["train"], shape, fitting)
        if self.class_names is not None:
            same = list(source.class_names) == self.class_names
        else:
            same = len(source.class_names) == model.outputs[0].shape[-1]
        if not same:
            screen.say(f"{source.name}: other classes than the model's: where labels count they are drawn")
        return model, images, labels if same else None

    def _draw(self, examples: Any, shape: tuple[int, int, int], fitting: Any) -> tuple[Any, Any]:
        import numpy as np

        from kerastricks.data.pipeline.batches import Batches

        chosen = np.sort(np.random.default_rng(self.seed).permutation(len(examples))[: self.count])
        batches = list(Batches(examples.take(chosen), shape, 256, self.seed, fitting=fitting).each())
        images, labels = (np.concatenate([part.numpy() for part in parts]) for parts in zip(*batches, strict=True))
        return images, labels


def _show(report: Any, plot: Path | None, as_json: bool) -> None:
    if plot is not None:
        report.plot(plot)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else report.to_text())
