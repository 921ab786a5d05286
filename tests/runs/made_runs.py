"""Run folders without a training: a network whose logits are given, and the records that a run leaves."""

import dataclasses

import keras
import numpy as np

from kerastricks.runs.folder import RunFolder
from kerastricks.runs.record import Summary
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

PIXELS = (8, 8, 1)
# Fields that every summary has, where a test leaves out what finds them.
SUMMARY = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "log_loss"), 0.5),
    "images": 1,
    "recall": {},
    "confusion_matrix": [],
    "class_names": [],
    "data": {},
    "model": "",
    "parameters": 1,
    "epochs": 0,
    "training_seconds": 1.0,
    "device": "",
    "saved_model": "1",
    "versions": {},
}


def summary_of(**fields):
    """A summary with these fields in place of those of `SUMMARY`."""
    return dataclasses.replace(Summary.from_json(SUMMARY), **fields)


def classifier(seed, classes=10, scale=0.02, norm=False):
    """Linear in the pixels, random by `seed`: members that differ."""
    inputs = keras.Input(PIXELS)
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.BatchNormalization()(x) if norm else x
    x = keras.layers.Dense(classes, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax()(x), name=f"net_{seed}")
    kernel = np.random.default_rng(seed).normal(0, scale, (64, classes))
    model.get_layer("logits").set_weights([kernel, np.zeros(classes)])
    return model


SCALED = """
import keras
CONFIG = {}
@keras.saving.register_keras_serializable(package="made")
class Scaled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def write_run_with_a_layer_of_its_recipe(folder, seed, factor=2):
    """A finished run whose network has a layer that only its recipe registers, which has not run in this process."""
    recipe = SCALED.replace("2 * x", f"{factor} * x")
    names = {}
    exec(recipe, names)
    net = classifier(seed)
    x = net.layers[1](names["Scaled"]()(net.inputs[0]))
    for layer in net.layers[2:]:
        x = layer(x)
    run = write_run(folder, keras.Model(net.inputs[0], x))
    run.recipe.write_text(recipe)
    keras.saving.get_custom_objects().pop("made>Scaled")
    return run


def nearest_mean(data, seed, noise=0.1):
    """A classifier that is right more often than not: logits are products with the classes' mean images."""
    images = np.concatenate([batch.numpy() for batch, _ in data.splits["train"].evaluation()]).astype("float64")
    labels = data.labels("train")
    means = np.stack([images[labels == k].mean(axis=0).ravel() for k in range(len(data.class_names))], axis=1)
    means += np.random.default_rng(seed).normal(0, noise * means.std(), means.shape)
    model = classifier(seed, len(data.class_names))
    scale = 0.0005
    model.get_layer("logits").set_weights([scale * means, -0.5 * scale * (means**2).sum(axis=0)])
    return model


def write_run(folder, model, data=None, seed=0, **fields):
    """A finished run as far as an ensemble reads it."""
    config = Config(data="digits", **{"seed": seed, "split_seed": 0, **fields})
    data = load_data("digits", config) if data is None else data
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    model.save(run.model)
    run.write(run.config, {"config": config.as_dict(), "resolved": True, "data": data.describe()})
    summary = {
        "accuracy": 0.5,
        "class_names": list(data.class_names),
        "data": data.describe(),
        "training_seconds": 3.0,
    }
    run.write(run.summary, summary)
    return run


def without_export(monkeypatch, module):
    """Leaves out the export of a job, which has tests of its own and takes seconds; what it was given stays."""
    left = {}

    def finish(run, model, images, config, progress, **reports):
        left["model"] = model
        return summary_of(images=len(images.labels("test")), **reports)

    monkeypatch.setattr(module, "finish", finish)
    return left
