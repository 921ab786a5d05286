"""Fine-tunes a backbone: measures the images, chooses a strategy, and trains it."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.choice import Choice, choose
from kerastricks.finetuning.configs import finetuning_config, small_images
from kerastricks.finetuning.costs import Clock
from kerastricks.finetuning.measurement import Measurement, measure
from kerastricks.finetuning.report import Report
from kerastricks.finetuning.rungs import SHARE_OF_MEASURING, Journal
from kerastricks.finetuning.selection import Compared, train_best, train_named, training_length
from kerastricks.finetuning.settings import IN_TWO_PARTS, TRAINING_DEFAULTS, WHAT, Settings
from kerastricks.finetuning.strategy_networks import Say
from kerastricks.finetuning.trainer import Trainer
from kerastricks.finetuning.two_parts import class_parts, describe_parts, train_in_parts
from kerastricks.progress import Progress, silent
from kerastricks.training.config import Config
from kerastricks.training.resolved_config import ResolvedConfig


@dataclass(frozen=True)
class FineTuned:
    """Result of a fine-tuning.

    Args:
        model: functional, pixels 0 to 255 to probabilities, float32.
        report: what was measured, chosen and reached.
        data: the images as the model takes them.
        config: of the training that it comes from.
    """

    model: keras.Model
    report: Report
    data: ImageData
    config: ResolvedConfig


def finetune(
    data: ImageData,
    backbone: Backbone,
    config: Config | None = None,
    settings: Settings | None = None,
    *,
    small_data: ImageData | None = None,
    run_folder: Path | None = None,
    say: Say = print,
    progress: Progress = silent,
    clock: Clock = time.monotonic,
) -> FineTuned:
    """Fine-tunes a backbone by the strategy that validates best within a budget of time.

    First linear probes on frozen features, which cost one pass over the images. Then, with the strategy "auto", a short
    training each of a small network from random weights, of the last levels and of all levels. What is worse on the
    same validation images and projected to stay so is given up; the rest of the budget goes to the best one or two.
    It ends in the best on validation of all of these, probes and short trainings among them. The table "how much
    data, how similar" explains, and orders the trainings.

    A strategy that is named is trained: first the head, a regularised linear classifier on frozen features (or small
    dense layers, `settings.head`), then levels of the backbone from there, with rates that fall with depth; frozen
    layers keep their batch normalisation in inference mode. It ends in the best weights on validation, the head's among
    them, and not below the linear probe. "small" and "scratch" have no probe to fall back to: who asks for them wants
    no pretrained weights.

    Against imbalanced classes "two_stage" and "decoupled" train in two parts, see
    `kerastricks.finetuning.two_parts.train_in_parts`. With them, and with `Config.imbalance`, epochs and the probe are
    compared by balanced accuracy; with the latter heads on features weigh all classes alike.

    Args:
        data: from `kerastricks.data.load`; images of another size than the backbone's are resized in the network.
        backbone: from `open_backbone`.
        config: of the training; None for `settings.TRAINING_DEFAULTS`. `epochs` are those of a strategy that is named;
            of "auto" they are the most that any network gets.
        settings: what to do; None lets the data decide.
        small_data: the same splits as the small network sees them, 32 pixels or fewer, in batches and with the
            augmentation of a training from random weights. None: the small network is tried where `data` are so small.
        run_folder: where trainings are logged and saved, so that an interrupted call can be resumed; None for
            nowhere.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        clock: gives the seconds that the budget is counted in: `time.process_time` counts those of the processor.

    Returns:
        The model and a report.

    Raises:
        ConfigError: for `small_data` of other labels than `data`, or none where the strategy is "small".
        TrainingDivergedError: when the loss of a training from random weights is not finite. A training from
            pretrained weights that diverges is given up, and the weights before it are kept.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved in `run_folder`.

    Reference:
        Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.
    """
    settings = settings or Settings()
    resolved = finetuning_config(config or Config(**TRAINING_DEFAULTS), data, backbone, settings)
    journal = Journal.open(run_folder / "stages" / "choice.json" if run_folder is not None else None)
    began = clock()
    room = None if settings.seconds is None else SHARE_OF_MEASURING * settings.seconds
    measurement, features = measure(data, backbone, progress, room, clock, journal.images)
    if journal.seconds is None:
        journal.seconds, journal.images = clock() - began, measurement.images
        journal.save()
    choice = choose(measurement, settings.strategy)
    small = small_images(data, small_data, resolved)
    trainer = Trainer(
        data, backbone, resolved, settings, measurement, features, run_folder, say, progress, small, clock
    )
    for line in describe(measurement, choice, settings):
        say(line)
    parts = None
    if settings.strategy == "two_stage":
        parts = class_parts(trainer)
        for line in describe_parts(parts, data):
            say(line)
    compared: dict[str, Compared] = {}
    if settings.strategy == "auto" and settings.seconds is not None:
        kept, compared = train_best(trainer, choice, journal, settings.seconds, small is not None)
    elif settings.strategy in IN_TWO_PARTS:
        kept = train_in_parts(trainer, choice, journal)
    else:
        kept = train_named(trainer, choice.strategy, journal)
    if settings.scratch and choice.strategy != "scratch":
        random = trainer.in_one_piece("scratch", training_length(trainer, "scratch", journal, settings.seconds))
        compared["scratch"] = random.accuracy, tuple(random.stages)
    probe = trainer.networks.probe(backbone.top)
    score = "balanced accuracy" if trainer.by_class else "accuracy"
    reached = kept.balanced_accuracy if trainer.by_class else kept.accuracy
    to_reach = probe.balanced_accuracy if trainer.by_class else probe.accuracy.value
    stages, logs = kept.stages, kept.name
    # A head of hidden layers may be worse than the linear one on the same features, whatever chose it.
    certain = {"small", "scratch"} if settings.head else {"small", "scratch", "linear"}
    chosen = settings.strategy == "auto" and not settings.head
    if not chosen and kept.name not in certain and reached < to_reach - 1e-6:
        say(f"validation {score} {reached:.1%} is below the linear probe's {to_reach:.1%}: the probe is kept")
        compared[kept.name] = kept.accuracy, tuple(kept.stages)
        kept = trainer.probe_alone()
    if settings.strategy == "auto":
        choice = dataclasses.replace(choice, strategy="linear" if kept.name == "probe" else kept.name)
    report = Report(
        backbone=backbone.name,
        weights=backbone.weights,
        measurement=measurement,
        choice=choice,
        stages=tuple(stages),
        kept=kept.name,
        validation_accuracy=kept.accuracy,
        probe_accuracy=probe.accuracy.value,
        compared=compared,
        logs=logs,
        budget=settings.seconds,
        spent=journal.spent if settings.strategy == "auto" else journal.spent + sum(stage.seconds for stage in stages),
        tried=tuple(journal.results.values()),
        verdicts=journal.refused | {verdict.name: verdict.reason for verdict in journal.verdicts or ()},
        balanced_accuracy=kept.balanced_accuracy if trainer.by_class else None,
        probe_balanced_accuracy=probe.balanced_accuracy if trainer.by_class else None,
        parts=None if parts is None else parts.named(data.class_names),
    )
    used = small if kept.name == "small" and small is not None else (data, resolved)
    return FineTuned(kept.model, report, *used)


def describe(measurement: Measurement, choice: Choice, settings: Settings) -> list[str]:
    """Describes the measurement, its row of the table, and the strategy if it is already certain."""
    lines = [f"measured in {measurement.seconds:.0f} s on {measurement.images['train']:,} training images"]
    lines += [f"  {reason}" for reason in choice.reasons]
    if settings.strategy == "auto":
        lines += [f"the table says {choice.table}: {WHAT[choice.table]}; what validates best decides"]
    else:
        lines += [f"plan: {choice.strategy}: {WHAT[choice.strategy]}"]
    lines += [f"  the table would say another with {change}" for change in choice.would_change]
    return lines
