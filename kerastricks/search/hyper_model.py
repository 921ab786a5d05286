"""A kerastricks training as keras-tuner's HyperModel."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kerastricks import recipes
from kerastricks.errors import SearchError
from kerastricks.keras_graph import split_head
from kerastricks.search.space.checks import check_space
from kerastricks.search.space.defaults import DataFacts, default_space
from kerastricks.search.space.space import Space
from kerastricks.search.trials.trial_data import TrialData, trial_model
from kerastricks.training.config import Config
from kerastricks.training.fitting import fit
from kerastricks.training.optimizer import build_optimizer
from kerastricks.training.resolved_config import resolve


class ClassifierHyperModel(keras_tuner.HyperModel):
    """Builds and trains a classifier of the zoo or of a recipe with a search's hyperparameters.

    It works in every tuner of keras-tuner: the values decide model, augmentation, batch size, optimizer and schedule,
    and `kerastricks.training.fit` does the training. `kerastricks tune` does more: one process per trial, a state that
    survives a kill, early stops.

    `epochs`, `callbacks` and `verbose` of `tuner.search` are used; images are the hyper model's own. Hyperband trains
    a model on for `epochs - initial_epoch` more epochs, with a schedule of its own each time. Initial weights are
    drawn anew for each trial, as keras-tuner has it: `keras.utils.set_random_seed` before makes them repeatable.

    Args:
        data: what `kerastricks.data.load` takes, or an `ImageData`; None for that of the recipe.
        base: the configuration of what is not searched; None for the recipe's or the defaults.
        space: the hyperparameters that are searched; None for `default_space`.
        recipe: the name or path of a recipe, whose `CONFIG` and `create_model` are used.
        name: of the hyper model.
        tunable: False keeps the parameters out of the tuner's space.

    Raises:
        UsageError: for a recipe, space or images that cannot be used.

    Example:
        >>> import kerastricks, numpy
        >>> x, y = numpy.zeros((40, 8, 8, 1), "uint8"), numpy.arange(40) % 2
        >>> base = kerastricks.training.Config(model="mlp(depth=1)", epochs=1)
        >>> hyper_model = kerastricks.search.ClassifierHyperModel((x, y), base)
        >>> hyper_model.build(hyper_model.space.to_hyperparameters()).output_shape
        (None, 2)
    """

    def __init__(
        self,
        data: Any = None,
        base: Config | None = None,
        space: Space | None = None,
        *,
        recipe: str | Path | None = None,
        name: str | None = None,
        tunable: bool = True,
    ) -> None:
        super().__init__(name=name, tunable=tunable)
        self.recipe = recipes.load(recipe) if recipe is not None else None
        if base is None:
            base = Config.from_layers(self.recipe.config if self.recipe is not None else {})
        source = self.recipe.data if data is None and self.recipe is not None else data
        if source is None and base.data is None:
            raise SearchError("data is missing: give images, or a recipe that names some")
        self._data = TrialData(base.data if source is None else source)
        loaded = self._data.of(base)
        facts = DataFacts.of(loaded)
        own_model = self.recipe is not None and self.recipe.create_model is not None
        self.base = dataclasses.replace(base, augment=loaded.augmentation.text)
        self.space = space or default_space(self.base, facts, own_model=own_model)
        check_space(self.space, self.base, facts, own_model=own_model)

    def declare_hyperparameters(self, hp: Any) -> None:
        """Adds the parameters of the space; those the tuner already has are kept."""
        known = {parameter.name for parameter in hp.space}
        hp.merge([one for one in self.space.to_hyperparameters().space if one.name not in known])

    def config(self, hp: Any) -> Config:
        """Converts the values of `hp` into a configuration."""
        own = {name: value for name, value in hp.values.items() if name in self.space}
        return self.space.apply(own, self.base)

    def build(self, hp: Any) -> keras.Model:
        """Builds a compiled model, with random weights or data-driven initialization."""
        self.declare_hyperparameters(hp)
        wanted = self.config(hp)
        data = self._data.of(wanted)
        config = resolve(wanted, data)
        model = trial_model(config, data, self.recipe)
        classifier, gives_logits = split_head(model)
        model.compile(
            optimizer=build_optimizer(config, config.epochs * data.steps_per_epoch, model),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=gives_logits and classifier is model),
            metrics=["accuracy"],
        )
        return model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains `model` with the values of `hp`.

        Args:
            hp: of the trial.
            model: from `build`.
            *args: none: the images are the hyper model's own.
            **kwargs: `epochs`, `initial_epoch`, `callbacks` and `verbose` of `tuner.search`.

        Returns:
            The history of loss, accuracy, val_loss and val_accuracy, and of the `monitor` of `base`.

        Raises:
            SearchError: for other arguments.
        """
        config = self.config(hp)
        callbacks = kwargs.pop("callbacks", None) or []
        epochs, first = kwargs.pop("epochs", None), kwargs.pop("initial_epoch", None) or 0
        verbose = kwargs.pop("verbose", 0)
        if args or kwargs:
            what = ", ".join(kwargs) or "images"
            raise SearchError(
                f"tuner.search takes epochs, callbacks and verbose: images, batch size and validation are those of "
                f"ClassifierHyperModel. Received: {what}"
            )
        if epochs is not None:
            config = dataclasses.replace(config, epochs=max(int(epochs) - int(first), 1))
        line = verbose not in (0, "0")
        return fit(model, self._data.of(config), config, callbacks=callbacks, progress_line=line)
