"""Measures, tries what training reaches, chooses, and carries the plan out."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.tensorflow_device import has_gpu
from kerastricks.errors import ConfigError, TrainingDivergedError
from kerastricks.finetuning.backbone import Backbone
from kerastricks.finetuning.choice import Choice, choose
from kerastricks.finetuning.measurement import Measurement, measure
from kerastricks.finetuning.report import Report, StageReport
from kerastricks.finetuning.rungs import (
    FEWEST_STEPS,
    MOST_SECONDS,
    SHARE,
    SHARE_OF_ALL,
    SHARE_OF_MEASURING,
    Clock,
    Journal,
    Length,
    Result,
    fit_length,
    judge,
)
from kerastricks.finetuning.settings import (
    PHOTOGRAPHS_AUGMENT,
    PLANS,
    SMALL_SIDE_PX,
    TRAINING_DEFAULTS,
    WHAT,
    Settings,
    default_epochs,
)
from kerastricks.finetuning.trainer import Say, Trained, Trainer
from kerastricks.progress import Progress, minutes, silent
from kerastricks.training.config import Config
from kerastricks.training.resolved_config import resolve

Compared = tuple[float, tuple[StageReport, ...]]
# Where a budget decides: what no training of the choice needs more than.
MOST_EPOCHS = 60
_NOT_TRIED = "not tried:"


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tuning leaves.

    Args:
        model: functional, pixels 0 to 255 to probabilities, float32.
        report: what was measured, chosen and reached.
        data: the images as the model takes them.
        config: of the training that it comes from.
    """

    model: keras.Model
    report: Report
    data: ImageData
    config: Config


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
    """Fine-tunes a backbone by the plan that validates best within a budget of time.

    First linear probes on frozen features, which cost one pass over the images. Then, with the plan "auto", a short
    training each of a small network from random weights, of the last levels and of all levels. What is behind on the
    same validation images and projected to stay so is given up; the rest of the budget goes to the best one or two.
    It ends in the best on validation of all of these, probes and short trainings among them. The table "how much
    data, how similar" explains, and orders the trainings.

    A plan that is named is carried out: first the head, a regularised linear classifier on frozen features (or small
    dense layers, `settings.head`), then levels of the backbone from there, with rates that fall with depth; frozen
    layers keep their batch normalisation in inference mode. It ends in the best weights on validation, the head's among
    them, and not below the linear probe. "small" and "scratch" have no probe to fall back to: who asks for them wants
    no pretrained weights.

    Args:
        data: from `kerastricks.data.load`; images of another size than the backbone's are resized in the network.
        backbone: from `open_backbone`.
        config: of the training; None for `settings.TRAINING_DEFAULTS`. `epochs` are those of a plan that is named; of
            "auto" they are the most that any network gets.
        settings: what to do; None lets the data decide.
        small_data: the same splits as the small network sees them, 32 pixels or fewer, in batches and with the
            augmentation of a training from random weights. None: the small network is tried where `data` are so small.
        run_folder: where trainings are logged and saved, so that an interrupted call goes on where it was; None for
            nowhere.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is.
        clock: gives the seconds that the budget is counted in: `time.process_time` counts those of the processor.

    Returns:
        The model and a report.

    Raises:
        ConfigError: for `small_data` of other labels than `data`, or none where the plan is "small".
        TrainingDivergedError: when the loss of a training from random weights is not finite. A training from
            pretrained weights that diverges is given up, and the weights before it are kept.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved in `run_folder`.

    Reference:
        Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.
    """
    settings = settings or Settings()
    config = finetuning_config(config or Config(**TRAINING_DEFAULTS), data, backbone, settings)
    journal = Journal.open(run_folder / "stages" / "choice.json" if run_folder is not None else None)
    began = clock()
    room = None if settings.seconds is None else SHARE_OF_MEASURING * settings.seconds
    measurement, features = measure(data, backbone, progress, room, clock, journal.images)
    if journal.seconds is None:
        journal.seconds, journal.images = clock() - began, measurement.images
        journal.save()
    choice = choose(measurement, settings.plan)
    small = _small(data, small_data, config)
    trainer = Trainer(data, backbone, config, settings, measurement, features, run_folder, say, progress, small, clock)
    for line in describe(measurement, choice, settings):
        say(line)
    compared: dict[str, Compared] = {}
    if settings.plan == "auto":
        kept, compared = _by_validation(trainer, choice, journal, small is not None)
    else:
        kept = _as_asked(trainer, choice.plan, journal)
    if settings.scratch and choice.plan != "scratch":
        random = trainer.in_one_piece("scratch", _length(trainer, "scratch", journal, settings.seconds))
        compared["scratch"] = random.accuracy, tuple(random.stages)
    probe = trainer.probe(backbone.top).accuracy.value
    stages, logs = kept.stages, kept.name
    # A head of hidden layers may be worse than the linear one on the same features, whatever chose it.
    certain = {"small", "scratch"} if settings.head else {"small", "scratch", "linear"}
    chosen = settings.plan == "auto" and not settings.head
    if not chosen and kept.name not in certain and kept.accuracy < probe - 1e-6:
        say(f"validation accuracy {kept.accuracy:.1%} is below the linear probe's {probe:.1%}: the probe is kept")
        compared[kept.name] = kept.accuracy, tuple(kept.stages)
        kept = trainer.probe_alone()
    if settings.plan == "auto":
        choice = dataclasses.replace(choice, plan="linear" if kept.name == "probe" else kept.name)
    report = Report(
        backbone=backbone.name,
        weights=backbone.weights,
        measurement=measurement,
        choice=choice,
        stages=tuple(stages),
        kept=kept.name,
        validation_accuracy=kept.accuracy,
        probe_accuracy=probe,
        compared=compared,
        logs=logs,
        budget=settings.seconds,
        spent=journal.spent if settings.plan == "auto" else journal.spent + sum(stage.seconds for stage in stages),
        tried=tuple(journal.results.values()),
        verdicts=journal.refused | {verdict.name: verdict.reason for verdict in journal.verdicts or ()},
    )
    used = small if kept.name == "small" and small is not None else (data, config)
    return FineTuned(kept.model, report, *used)


def _as_asked(trainer: Trainer, plan: str, journal: Journal) -> Trained:
    """A plan that was named."""
    if plan in ("linear", "earlier"):
        level = trainer.measurement.best_earlier.layer if plan == "earlier" else trainer.backbone.top
        return trainer.head_only(plan, level)
    budget = trainer.settings.seconds
    return trainer.in_one_piece(plan, _length(trainer, plan, journal, budget and budget - journal.spent))


def _length(trainer: Trainer, plan: str, journal: Journal, seconds: float | None) -> Length:
    """What fits the seconds, or the epochs of the configuration; as it was where an interrupted run goes on."""
    if plan in journal.lengths:
        return journal.lengths[plan]
    images, batch = trainer.images(plan)
    epochs = trainer.most_epochs(plan)
    length = Length(epochs, images, epochs * max(images // batch, 1), 0.0)
    if seconds is not None:
        fits = fit_length(seconds, trainer.cost(plan), images, batch, epochs)
        if fits is None:
            journal.discard()
            raise ConfigError(
                f"minutes: {seconds:.1f} s are left for {plan} after measuring ({journal.spent:.1f} s), less than a "
                "training step: give more (--minutes), or smaller images (--image-size)"
            )
        length = fits
        trainer.say(f"{plan} in {seconds:.0f} s: {_describe_length(length, images)}")
    journal.lengths[plan] = length
    journal.save()
    return length


def _by_validation(
    trainer: Trainer, choice: Choice, journal: Journal, has_small: bool
) -> tuple[Trained, dict[str, Compared]]:
    """The best on validation of probes, short trainings and what went on; and the others with their figures."""
    settings, say, measurement = trainer.settings, trainer.say, trainer.measurement
    budget = settings.seconds
    assert budget is not None
    assert journal.seconds is not None
    probes = [trainer.probe_result("linear", trainer.backbone.top)]
    if len(trainer.backbone.levels) > 1:
        probes.append(trainer.probe_result("earlier", measurement.best_earlier.layer))
    for probe in probes:
        journal.results.setdefault(f"{probe.name}-0", probe)
    left = max(budget - journal.seconds, 0.0)
    say(
        f"budget {minutes(budget)}, of which measuring took {journal.seconds:.0f} s: short trainings of "
        f"{', '.join(choice.order)}, then the rest for the best one or two"
    )
    for plan in choice.order:
        if plan == "small" and not has_small:
            journal.refused.setdefault(plan, f"{_NOT_TRIED} the images were not given at its size (small_data)")
        if journal.verdicts is None:
            _short(trainer, plan, journal, left)
        for line in _outcome(plan, journal):
            say(line)
    compared = [result for result in journal.results.values() if result.rung < 2]
    if journal.verdicts is None:
        journal.verdicts = judge(compared, budget - journal.spent, trainer.data.seed)
        journal.save()
    for verdict in journal.verdicts:
        say(f"  {verdict.name}: {verdict.reason}")
    going_on = [verdict.name for verdict in journal.verdicts if verdict.goes_on]
    for number, plan in enumerate(going_on):
        _long(trainer, plan, journal, (budget - journal.spent) / (len(going_on) - number))
    results = [result for result in journal.results.values() if not _overtaken(result, journal)]
    best = max(results, key=lambda result: result.score)
    say("validation: " + ", ".join(f"{result.name} {result.accuracy:.1%}" for result in results))
    say(f"plan: {best.name}: {WHAT[best.name]}")
    if best.rung == 0:
        level = trainer.backbone.top if best.name == "linear" else measurement.best_earlier.layer
        kept = trainer.head_only(best.name, level)
    else:
        trainer.restore(journal.of(best.name))
        kept = trainer.finished(journal.of(best.name))
    stages = {name: tuple(StageReport(**result.stage) for result in journal.of(name) if result.stage) for name in PLANS}
    return kept, {result.name: (result.accuracy, stages[result.name]) for result in results if result is not best}


def _short(trainer: Trainer, plan: str, journal: Journal, left: float) -> None:
    """The short training of a plan, if it has not ended yet and fits."""
    name = f"{plan}-1"
    if name in journal.results or plan in journal.refused:
        return
    for other in ("last", "all"):
        if journal.refused.get(other, "").startswith(_NOT_TRIED) and name not in journal.lengths:
            journal.refused[plan] = f"{_NOT_TRIED} {other} promises more here, and does not fit the budget"
            return
    images, batch = trainer.images(plan)
    if name not in journal.lengths:
        room = SHARE_OF_ALL * left - sum(r.seconds for r in journal.results.values())
        began = trainer.clock()
        cost = trainer.first_guess(plan)
        journal.seconds = (journal.seconds or 0.0) + trainer.clock() - began
        most = max(trainer.most_epochs(plan) // 2, 1)
        share = min(SHARE * left, MOST_SECONDS, room)
        length = fit_length(share, cost, images, batch, most, FEWEST_STEPS)
        # A share that holds too few steps is stretched to those that tell something, while there is room.
        fewest = cost.overhead + FEWEST_STEPS * cost.step + 2 * cost.validation
        length = length or fit_length(min(fewest, room), cost, images, batch, most, min(FEWEST_STEPS, images // batch))
        if length is None:
            journal.refused[plan] = (
                f"{_NOT_TRIED} {FEWEST_STEPS} steps would take {fewest:.0f} s, and {max(room, 0):.0f} s of the budget "
                "are left for short trainings"
            )
            journal.save()
            return
        journal.lengths[name] = length
        journal.save()
    length = journal.lengths[name]
    trainer.say(f"short training of {plan}: {_describe_length(length, images)}")
    try:
        journal.results[name] = trainer.rung(plan, 1, length, None)
    except TrainingDivergedError as error:
        journal.refused[plan] = f"given up: {error}"
    journal.save()


def _long(trainer: Trainer, plan: str, journal: Journal, seconds: float) -> None:
    """What goes on with a part of the rest of the budget, from the weights of its short training."""
    name = f"{plan}-2"
    short = journal.results[f"{plan}-1"]
    if name in journal.results or name in journal.refused:
        return
    images, batch = trainer.images(plan)
    if name not in journal.lengths:
        assert short.cost is not None
        assert short.length is not None
        most = max(trainer.most_epochs(plan) - short.length.steps // max(images // batch, 1), 1)
        length = None if short.accuracy == 1 else fit_length(seconds, short.cost, images, batch, most)
        if length is None:
            return
        journal.lengths[name] = length
        journal.save()
    length = journal.lengths[name]
    trainer.say(f"rest of the budget: {plan}, {_describe_length(length, images)}")
    trainer.restore([short])
    try:
        journal.results[name] = trainer.rung(plan, 2, length, short)
    except TrainingDivergedError as error:
        trainer.say(f"  {error}; the weights of the short training are kept")
        journal.refused[name] = f"given up: {error}"
    journal.save()


def _overtaken(result: Result, journal: Journal) -> bool:
    """Whether the same plan has gone on from there; the weights are then its last ones, which are not worse."""
    return result.rung == 1 and f"{result.name}-2" in journal.results


def _outcome(plan: str, journal: Journal) -> Sequence[str]:
    if plan in journal.refused:
        return [f"{plan}: {journal.refused[plan]}"]
    result = journal.results.get(f"{plan}-1")
    return [] if result is None else [f"  {plan}: validation accuracy {result.accuracy:.1%} in {result.seconds:.0f} s"]


def _describe_length(length: Length, images: int) -> str:
    what = f"{length.epochs} epochs" if length.images >= images else f"{length.images:,} of {images:,} images once"
    return f"{what}, {length.steps:,} steps, about {length.seconds:.0f} s"


def _small(data: ImageData, small: ImageData | None, config: Config) -> tuple[ImageData, Config] | None:
    """The images of the small network with the configuration of its training."""
    if small is None:
        if max(data.image_shape[:2]) > SMALL_SIDE_PX:
            return None
        whole = dataclasses.replace(data, batch_size=Config().batch_size)
        small = whole.taken(np.arange(data.splits["train"].size))
    for split in ("train", "validation"):
        if not np.array_equal(small.labels(split), data.labels(split)):
            raise ConfigError(f"small_data has other labels than data in {split}: load both with one seed")
    return small, resolve(small_config(config), small)


def small_config(config: Config) -> Config:
    """What `kerastricks train` would do with the data of a fine-tuning: its defaults, on small images."""
    same = ["data", "classes", "validation", "test", "seed", "split_seed", "crop_fraction", "interpolation"]
    same += ["max_pixels", "max_skipped", "bagging", "epochs"]
    augment = "auto" if config.augment == PHOTOGRAPHS_AUGMENT else config.augment
    return Config(**{name: getattr(config, name) for name in same}, augment=augment, jit=config.jit)


def finetuning_config(config: Config, data: ImageData, backbone: Backbone, settings: Settings | None = None) -> Config:
    """Every `auto` and `None` decided."""
    settings = settings or Settings()
    for field in ("average", "keep"):
        if getattr(config, field):
            raise ConfigError(
                f"{field} is of a training in one piece, and a fine-tuning keeps the best weights of each stage: take "
                f"it out. Received: {field}={getattr(config, field)!r}"
            )
    if config.minutes is not None:
        raise ConfigError(
            f"minutes is of a training in one piece: give --minutes, or Settings(minutes=), for a fine-tuning. "
            f"Received: minutes={config.minutes!r}"
        )
    epochs = config.epochs
    if epochs is None and settings.seconds is not None:
        epochs = MOST_EPOCHS
    elif epochs is None and settings.plan != "small":
        epochs = default_epochs(len(data.labels("train")))
    depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in backbone.model.layers)
    if config.precision == "auto" and depthwise and not has_gpu():
        # Measured: a CPU has no fast depthwise convolution in bfloat16, docs/finetuning.md.
        config = dataclasses.replace(config, precision="float32")
    return resolve(dataclasses.replace(config, epochs=epochs), data)


def describe(measurement: Measurement, choice: Choice, settings: Settings) -> list[str]:
    """The measurement, what the table says of it, and the plan where it is certain already."""
    lines = [f"measured in {measurement.seconds:.0f} s on {measurement.images['train']:,} training images"]
    lines += [f"  {reason}" for reason in choice.reasons]
    if settings.plan == "auto":
        lines += [f"the table says {choice.table}: {WHAT[choice.table]}; what validates best decides"]
    else:
        lines += [f"plan: {choice.plan}: {WHAT[choice.plan]}"]
    lines += [f"  the table would say another with {change}" for change in choice.would_change]
    return lines
