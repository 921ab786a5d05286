"""The model of a configuration, with its start."""

import keras

from kerastricks.data.image_data import ImageData
from kerastricks.initializers.start_from_data import start_from_data
from kerastricks.models.creation import create
from kerastricks.recipes import Recipe
from kerastricks.runs.own_model import own_model
from kerastricks.training.config import Config


def trial_model(config: Config, data: ImageData, recipe: Recipe | None = None) -> keras.Model:
    """Builds the model that `config` names, or the recipe's own, and gives it the start it asks for.

    Raises:
        UsageError: for a model or options that are not there, and where the recipe's `create_model` fails.
    """
    if recipe is not None and recipe.create_model is not None:
        model = own_model(recipe, data, config)
    else:
        model = create(config.model, data.image_shape, len(data.class_names), mean=data.mean, std=data.std)
    start_from_data(model, data.sample())
    return model
