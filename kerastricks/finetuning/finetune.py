"""Measures, chooses, and trains a head and then more of a backbone on it, stage by stage."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.data.progress import Progress, silent
from kerastricks.data.tensorflow_device import has_gpu
from kerastricks.errors import ConfigError
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.choice import Choice, choose
from kerastricks.finetuning.measurement import Measurement, measure
from kerastricks.finetuning.plans import WHAT
from kerastricks.finetuning.report import Report
from kerastricks.finetuning.settings import TRAINING_DEFAULTS, Settings, default_epochs
from kerastricks.finetuning.trainer import Say, Trainer
from kerastricks.training.config import Config
from kerastricks.training.fit import resolve


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tuning leaves.

    Args:
        model: functional, pixels 0 to 255 to probabilities, float32.
        report: what was measured, chosen and reached.
    """

    model: keras.Model
    report: Report


def finetune(
    data: ImageData,
    backbone: Backbone,
    config: Config | None = None,
    settings: Settings | None = None,
    *,
    run_folder: Path | None = None,
    say: Say = print,
    progress: Progress = silent,
) -> FineTuned:
    """Fine-tunes a backbone by the plan that fits the data, and never ends below its linear probe on validation.

    First the head: a regularised linear classifier on frozen features (or small dense layers, `settings.head`), which
    costs one pass over the images. Then, as the plan says, levels of the backbone are unfrozen from the last one down,
    with rates that fall with depth; frozen layers keep their batch normalisation in inference mode. Each stage ends in
    its best weights on validation, those it began with among them. The plan "scratch" alone has no probe to fall back
    to: who asks for it wants no pretrained weights.

    Args:
        data: from `kerastricks.data.load`; images of another size than the backbone's are resized in the network.
        backbone: from `open_backbone`.
        config: of the training; None for `settings.TRAINING_DEFAULTS`. `epochs` are those of all stages together.
        settings: what to do; None lets the data decide.
        run_folder: where stages are logged and saved, so that an interrupted call goes on where it was; None for
            nowhere.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.

    Returns:
        The model and a report.

    Raises:
        TrainingDivergedError: when the loss of a training from random weights is not finite. A stage that diverges
            is given up, and the weights before it are kept.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved in `run_folder`.
    """
    settings = settings or Settings()
    config = finetuning_config(config or Config(**TRAINING_DEFAULTS), data, backbone)
    assert config.epochs is not None
    measurement, features = measure(data, backbone, progress)
    choice = choose(measurement, settings.plan)
    for line in describe(measurement, choice):
        say(line)
    trainer = Trainer(data, backbone, config, settings, measurement, features, run_folder, say, progress)
    level = measurement.best_earlier.layer if choice.plan == "earlier" else backbone.top
    trained = trainer.from_random() if choice.plan == "scratch" else trainer.from_backbone(choice.plan, level)
    kept, others = trained, []
    # The article leaves open which of the two little and different data want: validation decides.
    undecided = choice.plan == "earlier" and not choice.given
    if (undecided or settings.scratch) and choice.plan != "scratch":
        scratch = trainer.from_random()
        if undecided and scratch.score > trained.score:
            say(f"the network from random weights validates better, {scratch.accuracy:.1%}: it is kept")
            kept, scratch = scratch, trained
        others.append(scratch)
    probe = trainer.probe(backbone.top).accuracy.value
    stages, logs = kept.stages, kept.name
    is_probe = choice.plan == "linear" and not settings.head
    if choice.plan != "scratch" and not is_probe and kept.accuracy < probe - 1e-6:
        say(f"validation accuracy {kept.accuracy:.1%} is below the linear probe's {probe:.1%}: the probe is kept")
        others.append(kept)
        kept = trainer.probe_alone()
    report = Report(
        backbone=backbone.name,
        weights=backbone.weights,
        measurement=measurement,
        choice=choice,
        stages=tuple(stages),
        kept=kept.name,
        validation_accuracy=kept.accuracy,
        probe_accuracy=probe,
        compared={other.name: (other.accuracy, tuple(other.stages)) for other in others},
        logs=logs,
    )
    return FineTuned(kept.model, report)


def finetuning_config(config: Config, data: ImageData, backbone: Backbone) -> Config:
    """Every `auto` and `None` decided."""
    for field in ("average", "keep"):
        if getattr(config, field):
            raise ConfigError(
                f"{field} is of a training in one piece, and a fine-tuning keeps the best weights of each stage: take "
                f"it out. Received: {field}={getattr(config, field)!r}"
            )
    epochs = config.epochs or default_epochs(len(data.labels("train")))
    depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in backbone.model.layers)
    if config.precision == "auto" and depthwise and not has_gpu():
        # Measured: a CPU has no fast depthwise convolution in bfloat16, docs/finetuning.md.
        config = dataclasses.replace(config, precision="float32")
    return resolve(dataclasses.replace(config, epochs=epochs), data)


def describe(measurement: Measurement, choice: Choice) -> list[str]:
    """The plan, the figures behind it and what would change it."""
    lines = [f"measured in {measurement.seconds:.0f} s on {measurement.images['train']:,} training images"]
    lines += [f"  {reason}" for reason in choice.reasons]
    undecided = choice.plan == "earlier" and not choice.given
    either = ", or the network from random weights, whichever validates better" if undecided else ""
    lines += [f"plan: {choice.plan}: {WHAT[choice.plan]}{either}"]
    lines += [f"  would be another with {change}" for change in choice.would_change]
    return lines
