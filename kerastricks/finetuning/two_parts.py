"""Strategies in two parts against imbalanced classes: well-filled then rare classes, or features then classifier."""

import dataclasses
from dataclasses import dataclass

from kerastricks.callbacks.weights import BestWeights
from kerastricks.data.image_data import ImageData
from kerastricks.errors import TrainingDivergedError
from kerastricks.finetuning.choice import Choice
from kerastricks.finetuning.class_parts import ClassParts, rows_of, split_classes
from kerastricks.finetuning.costs import Cost, Length
from kerastricks.finetuning.rungs import Journal
from kerastricks.finetuning.selection import planned_length
from kerastricks.finetuning.stages import Stage, classifier_stage, make_stage
from kerastricks.finetuning.trainer import Trained, Trainer
from kerastricks.finetuning.validation import BALANCED, scored
from kerastricks.imbalance.remedies import Remedies

# Of the time that is left, what the first part may take; the classifier learns without the backbone's gradients.
_FIRST = {"two_stage": 0.5, "decoupled": 0.75}
_BALANCED_BATCHES = "class_aware_batches"


@dataclass(frozen=True)
class Part:
    """One of the two trainings.

    Args:
        name: of its folder.
        levels: "last" or "all", as in the strategies of that name; "classifier" for the head only.
        stage: the layers that learn, and their rates.
        data: images of training, and of the validation that its epochs are compared on.
        imbalance: its sampling, class weights and loss, as in `Config.imbalance`.
    """

    name: str
    levels: str
    stage: Stage
    data: ImageData
    imbalance: str


def train_in_parts(trainer: Trainer, choice: Choice, journal: Journal) -> Trained:
    """Trains the head and then the two parts, each from the best weights of the one before.

    The levels that learn are those of the plan "last" where the images are like those that the backbone learned from,
    else those of "all". Epochs are compared by balanced accuracy on validation: of the well-filled classes in the first
    part of "two_stage", else of all classes. Weights from before a part are kept where none of its epochs is better.

    Args:
        trainer: of the strategies.
        choice: the strategy, "two_stage" or "decoupled", and whether the images are similar.
        journal: what an interrupted run had planned.

    Returns:
        The network after both parts.

    Raises:
        ConfigError: where the minutes leave no training step.

    Reference:
        "two_stage": Wei, Must Know Tips/Tricks in Deep Neural Networks, 2015, section 9. Deviations: the head starts
        from a linear probe on all classes, and the batches of the second part have as many images of each class, rare
        or not, as of any other. `Settings(rare_only=True)` leaves the well-filled ones out, as the article does: the
        head then forgets them, see docs/imbalance.md.
        "decoupled": Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020,
        section 4.1 (cRT). Deviation: the classifier is trained on from where the features left it, not from random
        weights.
    """
    strategy = choice.strategy
    network, stages = trainer.networks.network(strategy)
    stages = trainer.with_balanced(network, stages)
    left = trainer.settings.seconds and trainer.settings.seconds - journal.spent
    for part in make_parts(trainer, choice):
        share = _FIRST[strategy] if part.name == "part1" else 1.0
        length = _length(trainer, strategy, part, journal, left and share * left)
        config = trainer.config.replace(
            learning_rate=trainer.config.learning_rate * part.stage.rate, imbalance=part.imbalance
        )
        best = BestWeights(scored(network, part.data).balanced_accuracy, monitor=BALANCED)
        try:
            report, _ = trainer.train_stage(strategy, part.name, part.stage, part.data, config, length, best)
        except TrainingDivergedError as error:
            trainer.say(f"  {error}; the weights before this training are kept")
            continue
        stages.append(report)
        left = left and left - report.seconds
    return trainer.finished_network(strategy, network, stages)


def make_parts(trainer: Trainer, choice: Choice) -> list[Part]:
    """The two trainings of a strategy."""
    data, levels = trainer.compared(trainer.data), "last" if choice.similar else "all"
    stage = make_stage(levels, trainer.backbone.levels)
    assert stage is not None
    if choice.strategy == "decoupled":
        balanced = balanced_batches(trainer.config.imbalance)
        return [
            Part("part1", levels, stage, data, ""),
            Part("part2", "classifier", classifier_stage(), data, balanced),
        ]
    parts = class_parts(trainer)
    labels = data.labels("train")
    first = data.taken(rows_of(data.labels("validation"), parts.well_filled), "validation")
    first = first.taken(rows_of(labels, parts.well_filled))
    part1 = Part("part1", levels, _renamed(stage, "well-filled classes"), first, "")
    if not trainer.settings.rare_only:
        return [part1, Part("part2", levels, _renamed(stage, "balanced batches"), data, _BALANCED_BATCHES)]
    rare = data.taken(rows_of(labels, parts.rare))
    return [part1, Part("part2", levels, _renamed(stage, "rare classes"), rare, "")]


def class_parts(trainer: Trainer) -> ClassParts:
    """The well-filled and the rare classes of a trainer's images."""
    data, settings = trainer.data, trainer.settings
    return split_classes(data.class_counts()["train"], data.class_names, settings.rare_below, settings.rare_only)


def describe_parts(parts: ClassParts, data: ImageData) -> list[str]:
    """A line for each part: its classes and their training images."""
    counts = data.class_counts()["train"]
    of = {"well-filled": parts.well_filled, "rare": parts.rare}
    lines = []
    for name, labels in of.items():
        listed = ", ".join(f"{data.class_names[label]} {counts[label]:,}" for label in labels[:20])
        more = f", and {len(labels) - 20} more" if len(labels) > 20 else ""
        sign = "fewer than" if name == "rare" else "at least"
        lines.append(f"  {name}, {sign} {parts.below:,} training images: {listed}{more}")
    return lines


def balanced_batches(imbalance: str) -> str:
    """The remedy of the second part of "decoupled", by the one that was asked for.

    Args:
        imbalance: of the configuration, decided.

    Returns:
        It, with balanced batches in front, unless it balances by sampling, weights or a prior in the loss itself.
    """
    remedies = Remedies.parse(imbalance) or Remedies()
    prior = remedies.loss is not None and remedies.loss.name in ("logit_adjusted", "ldam")
    if remedies.sampling is not None or remedies.weights is not None or prior:
        return imbalance
    return f"{_BALANCED_BATCHES} | {imbalance}" if remedies else _BALANCED_BATCHES


def _renamed(stage: Stage, classes: str) -> Stage:
    return dataclasses.replace(stage, name=f"{stage.name}, {classes}")


def _length(trainer: Trainer, strategy: str, part: Part, journal: Journal, seconds: float | None) -> Length:
    def cost() -> Cost:
        config = trainer.config.replace(imbalance=part.imbalance)
        tracing = trainer.tracing("last" if part.levels == "classifier" else part.levels)
        return trainer.cost_of(strategy, part.stage, part.data, config, tracing)

    whole = trainer.config.epochs, part.data.splits["train"].size, part.data.batch_size
    name = f"{part.name} of {strategy}"
    return planned_length(trainer, journal, f"{strategy}-{part.name}", whole, seconds, cost, (name, name))
