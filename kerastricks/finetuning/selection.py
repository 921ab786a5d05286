"""Trains strategies within a time budget and keeps the best on validation, or trains the given one."""

from collections.abc import Callable, Sequence

from kerastricks.errors import ConfigError, TrainingDivergedError
from kerastricks.finetuning.choice import Choice
from kerastricks.finetuning.costs import Cost, Length, fit_length
from kerastricks.finetuning.report import StageReport
from kerastricks.finetuning.rungs import FEWEST_STEPS, MOST_SECONDS, SHARE, SHARE_OF_ALL, Journal, Result, judge
from kerastricks.finetuning.settings import STRATEGIES, WHAT
from kerastricks.finetuning.trainer import Trained, Trainer
from kerastricks.progress import minutes

Compared = tuple[float, tuple[StageReport, ...]]
_NOT_TRIED = "not tried:"


def train_named(trainer: Trainer, strategy: str, journal: Journal) -> Trained:
    """Trains the given strategy."""
    if strategy in ("linear", "earlier"):
        level = trainer.measurement.best_earlier.layer if strategy == "earlier" else trainer.backbone.top
        return trainer.head_only(strategy, level)
    budget = trainer.settings.seconds
    return trainer.in_one_piece(
        strategy, training_length(trainer, strategy, journal, budget and budget - journal.spent)
    )


def training_length(trainer: Trainer, strategy: str, journal: Journal, seconds: float | None) -> Length:
    """The length of a strategy's training; see `planned_length`."""
    images, batch = trainer.images(strategy)
    left = f"{strategy} after measuring ({journal.spent:.1f} s)"
    whole = trainer.most_epochs(strategy), images, batch
    return planned_length(trainer, journal, strategy, whole, seconds, lambda: trainer.cost(strategy), (strategy, left))


def planned_length(
    trainer: Trainer,
    journal: Journal,
    key: str,
    whole: tuple[int, int, int],
    seconds: float | None,
    cost: Callable[[], Cost],
    names: tuple[str, str],
) -> Length:
    """The training length that fits the seconds, or the configuration's epochs; in a resumed run the journal's.

    Args:
        trainer: gets a line about a length that was fitted.
        journal: of the run; keeps the length.
        key: of the training in the journal.
        whole: epochs of the configuration, images of one of them, and images of a batch.
        seconds: for the training; None for the configuration's epochs.
        cost: measures what the training costs.
        names: of the training in that line, and in the error.

    Raises:
        ConfigError: where the seconds are less than a training step takes.
    """
    if key in journal.lengths:
        return journal.lengths[key]
    epochs, images, batch = whole
    length = Length(epochs, images, epochs * max(images // batch, 1), 0.0)
    if seconds is not None:
        fits = fit_length(seconds, cost(), images, batch, epochs)
        if fits is None:
            journal.discard()
            raise ConfigError(
                f"minutes: {seconds:.1f} s are left for {names[1]}, less than a training step: give more (--minutes), "
                "or smaller images (--image-size)"
            )
        length = fits
        trainer.say(f"{names[0]} in {seconds:.0f} s: {_describe_length(length, images)}")
    journal.lengths[key] = length
    journal.save()
    return length


def train_best(
    trainer: Trainer, choice: Choice, journal: Journal, budget: float, has_small: bool
) -> tuple[Trained, dict[str, Compared]]:
    """Spends part of a budget on probes and short trainings, and the remainder on the best one or two.

    Args:
        trainer: of the strategies.
        choice: whose order the short trainings have.
        journal: what an interrupted run had measured and trained.
        budget: seconds of measuring and training together.
        has_small: whether there are images for the small network.

    Returns:
        The best on validation; and the others with their figures.
    """
    say, measurement = trainer.say, trainer.measurement
    measuring = journal.seconds or 0.0
    probes = [trainer.probe_result("linear", trainer.backbone.top)]
    if len(trainer.backbone.levels) > 1:
        probes.append(trainer.probe_result("earlier", measurement.best_earlier.layer))
    for probe in probes:
        journal.results.setdefault(f"{probe.name}-0", probe)
    left = max(budget - measuring, 0.0)
    say(
        f"budget {minutes(budget)}, of which measuring took {measuring:.0f} s: short trainings of "
        f"{', '.join(choice.order)}, then the rest for the best one or two"
    )
    for strategy in choice.order:
        if strategy == "small" and not has_small:
            journal.refused.setdefault(strategy, f"{_NOT_TRIED} the images were not given at its size (small_data)")
        if journal.verdicts is None:
            _short(trainer, strategy, journal, left)
        for line in _outcome(strategy, journal):
            say(line)
    compared = [result for result in journal.results.values() if result.rung < 2]
    if journal.verdicts is None:
        journal.verdicts = judge(compared, budget - journal.spent, trainer.data.seed)
        journal.save()
    for verdict in journal.verdicts:
        say(f"  {verdict.name}: {verdict.reason}")
    going_on = [verdict.name for verdict in journal.verdicts if verdict.goes_on]
    for number, strategy in enumerate(going_on):
        _long(trainer, strategy, journal, (budget - journal.spent) / (len(going_on) - number))
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
    stages = {
        name: tuple(StageReport(**result.stage) for result in journal.of(name) if result.stage) for name in STRATEGIES
    }
    return kept, {result.name: (result.accuracy, stages[result.name]) for result in results if result is not best}


def _short(trainer: Trainer, strategy: str, journal: Journal, left: float) -> None:
    """Runs the short training of a strategy, if it has not ended yet and fits."""
    name = f"{strategy}-1"
    if name in journal.results or strategy in journal.refused:
        return
    for other in ("last", "all"):
        if journal.refused.get(other, "").startswith(_NOT_TRIED) and name not in journal.lengths:
            journal.refused[strategy] = f"{_NOT_TRIED} {other} promises more here, and does not fit the budget"
            return
    images, batch = trainer.images(strategy)
    if name not in journal.lengths:
        room = SHARE_OF_ALL * left - sum(r.seconds for r in journal.results.values())
        began = trainer.clock()
        cost = trainer.first_guess(strategy)
        journal.seconds = (journal.seconds or 0.0) + trainer.clock() - began
        most = max(trainer.most_epochs(strategy) // 2, 1)
        share = min(SHARE * left, MOST_SECONDS, room)
        length = fit_length(share, cost, images, batch, most, FEWEST_STEPS)
        # A share that holds too few steps is stretched to those that tell something, while there is room.
        fewest = cost.overhead + FEWEST_STEPS * cost.step + 2 * cost.validation
        length = length or fit_length(min(fewest, room), cost, images, batch, most, min(FEWEST_STEPS, images // batch))
        if length is None:
            journal.refused[strategy] = (
                f"{_NOT_TRIED} {FEWEST_STEPS} steps would take {fewest:.0f} s, and {max(room, 0):.0f} s of the budget "
                "are left for short trainings"
            )
            journal.save()
            return
        journal.lengths[name] = length
        journal.save()
    length = journal.lengths[name]
    trainer.say(f"short training of {strategy}: {_describe_length(length, images)}")
    try:
        journal.results[name] = trainer.rung(strategy, 1, length, None)
    except TrainingDivergedError as error:
        journal.refused[strategy] = f"given up: {error}"
    journal.save()


def _long(trainer: Trainer, strategy: str, journal: Journal, seconds: float) -> None:
    """Continues a short training with part of the remaining budget."""
    name = f"{strategy}-2"
    short = journal.results[f"{strategy}-1"]
    cost, trained = short.cost, short.length
    if name in journal.results or name in journal.refused or cost is None or trained is None:
        return
    images, batch = trainer.images(strategy)
    if name not in journal.lengths:
        most = max(trainer.most_epochs(strategy) - trained.steps // max(images // batch, 1), 1)
        length = None if short.accuracy == 1 else fit_length(seconds, cost, images, batch, most)
        if length is None:
            return
        journal.lengths[name] = length
        journal.save()
    length = journal.lengths[name]
    trainer.say(f"rest of the budget: {strategy}, {_describe_length(length, images)}")
    trainer.restore([short])
    try:
        journal.results[name] = trainer.rung(strategy, 2, length, short)
    except TrainingDivergedError as error:
        trainer.say(f"  {error}; the weights of the short training are kept")
        journal.refused[name] = f"given up: {error}"
    journal.save()


def _overtaken(result: Result, journal: Journal) -> bool:
    """Whether the same strategy has been continued; its weights are then the last ones, which are not worse."""
    return result.rung == 1 and f"{result.name}-2" in journal.results


def _outcome(strategy: str, journal: Journal) -> Sequence[str]:
    if strategy in journal.refused:
        return [f"{strategy}: {journal.refused[strategy]}"]
    result = journal.results.get(f"{strategy}-1")
    if result is None:
        return []
    return [f"  {strategy}: validation accuracy {result.accuracy:.1%} in {result.seconds:.0f} s"]


def _describe_length(length: Length, images: int) -> str:
    what = f"{length.epochs} epochs" if length.images >= images else f"{length.images:,} of {images:,} images once"
    return f"{what}, {length.steps:,} steps, about {length.seconds:.0f} s"
