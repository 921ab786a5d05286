"""A kerastricks training as an objective of Optuna."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from kerastricks import recipes
from kerastricks.errors import MissingExtraError, SearchError, TrainingDivergedError, nearest
from kerastricks.search.plan import with_monitor
from kerastricks.search.space.checks import check_space
from kerastricks.search.space.defaults import DataFacts, default_space
from kerastricks.search.space.parameter import Parameter, Value
from kerastricks.search.space.space import Space
from kerastricks.search.trials.trial_data import TrialData, trial_model
from kerastricks.training.config import METRICS, Config
from kerastricks.training.fitting import fit


class OptunaObjective:
    """Trains a classifier with the values an Optuna trial suggests, and returns the metric of its last epoch.

    `study.optimize(OptunaObjective(space, base, data), n_trials=20)`, in a study of the objective's direction: minimize
    for a loss. Conditional parameters are suggested where their conditions hold. Each epoch is reported, and a trial
    that the study's pruner stops ends there. A training that diverges gives NaN, which Optuna counts as failed.
    Each trial starts from the seed of `base`.

    Args:
        space: the hyperparameters that are searched; None for `default_space`.
        base: the configuration of what is not searched.
        data: what `kerastricks.data.load` takes, or an `ImageData`; None for `base.data`.
        objective: "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy" or "val_macro_f1"; the last
            two are the `monitor` of the trainings, too.
        recipe: the name or path of a recipe, whose `create_model` is used.

    Raises:
        UsageError: for a recipe, space or images that cannot be used.
        SearchError: for an objective that is not logged.

    Example:
        >>> import kerastricks, numpy
        >>> x, y = numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2
        >>> base = kerastricks.training.Config(model="mlp(depth=1)", epochs=1)
        >>> objective = kerastricks.search.OptunaObjective(None, base, (x, y))
        >>> objective.space.searched[0].name  # and then study.optimize(objective, n_trials=20)
        'learning_rate'
    """

    def __init__(
        self,
        space: Space | None,
        base: Config,
        data: Any = None,
        objective: str = "val_loss",
        *,
        recipe: str | None = None,
    ) -> None:
        if objective not in METRICS:
            near = nearest(objective, METRICS)
            hint = f"did you mean {', '.join(near)}?" if near else f"there is {', '.join(METRICS)}"
            raise SearchError(f"no metric is called {objective!r}: {hint}")
        base = base.replace(**with_monitor({}, objective))
        source = base.data if data is None else data
        if source is None:
            raise SearchError("data is missing: give images, or a path as base.data")
        self.objective = objective
        self.recipe = recipes.load(recipe) if recipe is not None else None
        self._data = TrialData(source)
        loaded = self._data.of(base)
        facts = DataFacts.of(loaded)
        own_model = self.recipe is not None and self.recipe.create_model is not None
        self.base = dataclasses.replace(base, augment=loaded.augmentation.text)
        self.space = space or default_space(self.base, facts, own_model=own_model)
        check_space(self.space, self.base, facts, own_model=own_model)

    def __call__(self, trial: Any) -> float:
        """Trains once.

        Args:
            trial: an `optuna.Trial`.

        Returns:
            The metric of the last epoch; NaN where the training diverged.

        Raises:
            MissingExtraError: where a trial is pruned and Optuna cannot be imported.
        """
        values: dict[str, Value] = {}
        for parameter in self.space:
            if _holds(parameter, values):
                values[parameter.name] = suggest(trial, parameter)
        config = self.space.apply(values, self.base)
        data = self._data.of(config)
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(config.seed)
        model = trial_model(config, data, self.recipe)
        try:
            history = fit(model, data, config, callbacks=[_Report(trial, self.objective)], progress_line=False)
        except TrainingDivergedError:
            return float("nan")
        return float(history.history[self.objective][-1])


def suggest(trial: Any, parameter: Parameter) -> Value:
    """Suggests a value of a parameter, from an Optuna trial.

    Optuna has no steps on a log scale: there the values are a choice.
    """
    name = parameter.name
    if parameter.kind == "fixed":
        return parameter.values[0]
    if parameter.kind == "choice":
        return parameter.own(trial.suggest_categorical(name, list(parameter.values)))
    assert parameter.min is not None
    assert parameter.max is not None
    low, high, step, log = parameter.min, parameter.max, parameter.step, parameter.sampling == "log"
    make = trial.suggest_float if parameter.kind == "float" else trial.suggest_int
    if step is None:
        return parameter.own(make(name, low, high, log=log))
    if log:
        steps = []
        while low <= high * (1 + 1e-9):
            steps.append(parameter.own(min(low, high)))
            low *= step
        return parameter.own(trial.suggest_categorical(name, steps))
    return parameter.own(make(name, low, low + (high - low + 1e-9 * step) // step * step, step=step))


def _holds(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    return all(values.get(parent) in allowed for parent, allowed in parameter.when.items())


class _Report(keras.callbacks.Callback):
    """Reports each epoch to the trial, and stops it when the pruner decides to."""

    def __init__(self, trial: Any, objective: str) -> None:
        super().__init__()
        self.trial = trial
        self.objective = objective

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        value = float((logs or {})[self.objective])
        self.trial.report(value, epoch)
        if self.trial.should_prune():
            try:
                from optuna import TrialPruned
            except ImportError:
                raise MissingExtraError("optuna", "optuna") from None
            raise TrialPruned(f"{self.objective} {value:.6g} after {epoch + 1} epochs")
