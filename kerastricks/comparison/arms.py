"""One arm with one seed: initialized with random numbers that all arms share, trained, evaluated."""

import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from kerastricks import initializers
from kerastricks.comparison.kinds import find_kind
from kerastricks.data.image_data import ImageData
from kerastricks.data.pipeline.batches import Batches
from kerastricks.errors import TrainingDivergedError
from kerastricks.keras_graph import all_layers
from kerastricks.metrics.classification import scores
from kerastricks.models.creation import create
from kerastricks.progress import silent
from kerastricks.runs.evaluation import predict
from kerastricks.training.config import Config
from kerastricks.training.fitting import fit

# A weight and its initializer.
_KERNELS = (
    ("kernel", "kernel_initializer"),
    ("kernel", "depthwise_initializer"),
    ("depthwise_kernel", "depthwise_initializer"),
    ("pointwise_kernel", "pointwise_initializer"),
)


def same_draws(model: keras.Model, seed: int) -> None:
    """Gives each layer the random numbers of (seed, its name), in place.

    `keras.utils.set_random_seed` alone does not pair two arms: a layer that draws, such as RReLU, takes a seed when it
    is created, and every layer after it gets another one. Here kernels with equal names are drawn from equal
    seeds, so that two initializations of one distribution differ in scale only, and so do the layers that draw while
    training. An initializer that was given a seed keeps it.

    Args:
        model: newly created.
        seed: in [0, 2^31).
    """
    for layer in all_layers(model, include_self=False):
        for kernel, initializer in _KERNELS:
            weight, start = getattr(layer, kernel, None), getattr(layer, initializer, None)
            if weight is None or not isinstance(start, keras.initializers.Initializer):
                continue
            config = start.get_config()
            if "seed" in config and config["seed"] is None:
                drawn = start.from_config({**config, "seed": _seed_of(f"{layer.name}/{kernel}", seed)})
                weight.assign(drawn(weight.shape, dtype=weight.dtype))
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(keras.ops.cast([_seed_of(layer.name, seed), 0], generator.state.dtype))


def _seed_of(name: str, seed: int) -> int:
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def create_arm(kind: str, arm: str, model: str, data: ImageData) -> keras.Model:
    """Creates the model of an arm, as `kerastricks.models.create` makes it.

    Raises:
        UsageError: where the model lacks the option, or the option refuses the value.
    """
    option: dict[str, Any] = {find_kind(kind).option: None if arm == "none" else arm}
    return create(model, data.image_shape, len(data.class_names), mean=data.mean, std=data.std, **option)


def run_arm(
    kind: str,
    arm: str,
    seed: int,
    model: str,
    data: ImageData,
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Trains one arm with one seed.

    Args:
        kind: what is compared.
        arm: its value.
        seed: of weights, order and draws.
        model: of the zoo.
        data: of all arms and seeds; its own seed decided the splits and is not used here.
        config: resolved.
        callbacks: for `fit`.

    Returns:
        Plain values, a line of runs.jsonl. A training that diverged is scored as chance: accuracy 1 / classes,
        log-loss ln(classes).

    Raises:
        UsageError: as `create_arm`.
    """
    data = data.reseeded(seed)
    keras.utils.set_random_seed(seed)
    network = create_arm(kind, arm, model, data)
    same_draws(network, seed)
    initializers.start_from_data(network, data.sample())
    started = time.perf_counter()
    diverged, history = None, {}
    try:
        trained = fit(network, data, replace(config, seed=seed), callbacks=callbacks, progress_line=False)
        history = trained.history
    except TrainingDivergedError as error:
        diverged = str(error)
    seconds = time.perf_counter() - started
    classes = len(data.class_names)
    chance = {"accuracy": 1 / classes, "log_loss": math.log(classes)}
    test = chance if diverged else _score(network, data.splits["test"], data.class_names)
    training = chance if diverged else _score(network, data.splits["train"], data.class_names)
    return {
        "arm": arm,
        "seed": seed,
        "accuracy": test["accuracy"],
        "log_loss": test["log_loss"],
        "training_accuracy": training["accuracy"],
        "training_log_loss": training["log_loss"],
        "validation_accuracy": chance["accuracy"] if diverged else float(np.max(history["val_accuracy"])),
        "epochs": len(history.get("loss", ())),
        "seconds": round(seconds, 2),
        "parameters": network.count_params(),
        "diverged": diverged,
    }


def _score(model: keras.Model, batches: Batches, class_names: Sequence[str]) -> dict[str, float]:
    """Evaluates without augmentation and dropout, so that training and test can be compared."""
    found = scores(batches.examples.labels, predict(model, batches, "", silent), class_names)
    return {"accuracy": found["accuracy"], "log_loss": found["log_loss"]}
