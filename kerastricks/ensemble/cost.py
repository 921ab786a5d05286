"""Inference cost of models: latency, throughput, number of weights, bytes."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import keras
import numpy as np

from kerastricks.training import device

_ROUNDS = 9
_ONCE_S = 0.4  # enough calls in a round for the clock, and no more


@dataclass(frozen=True)
class Cost:
    """Inference cost on this machine, by `predict_on_batch`.

    Args:
        latency_ms: of a batch of one image, median.
        images_per_second: in batches of 64, median.
        parameters: weights.
        megabytes: of the weights in memory.
    """

    latency_ms: float
    images_per_second: float
    parameters: int
    megabytes: float


def costs(models: Mapping[str, keras.Model], many: int = 64) -> dict[str, Cost]:
    """Time models in turn, so that other load on the machine falls on all of them.

    Args:
        models: by name; one input of a fixed shape (height, width, channels), 0 to 255.
        many: images of the larger batch.

    Returns:
        A `Cost` for each name. Medians of nine rounds after a first call, which compiles.
    """
    timed = {name: keras.Model(model.inputs, model.outputs) for name, model in models.items()}
    for model in timed.values():
        model.compile(jit_compile=device.choose_jit())
    times: dict[str, dict[int, list[float]]] = {name: {1: [], many: []} for name in models}
    calls: dict[tuple[str, int], int] = {}
    for _ in range(_ROUNDS + 1):
        for name, model in timed.items():
            for size, found in times[name].items():
                images = np.zeros((size, *model.inputs[0].shape[1:]), "float32")
                if (name, size) not in calls:
                    model.predict_on_batch(images)
                    calls[name, size] = max(1, math.ceil(_ONCE_S / _ROUNDS / max(_seconds(model, images, 1), 1e-4)))
                    continue
                found.append(_seconds(model, images, calls[name, size]))
    return {
        name: Cost(
            latency_ms=1000 * median(found[1]),
            images_per_second=many / median(found[many]),
            parameters=models[name].count_params(),
            megabytes=_bytes(models[name]) / 1e6,
        )
        for name, found in times.items()
    }


def _seconds(model: keras.Model, images: np.ndarray, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        model.predict_on_batch(images)
    return (time.perf_counter() - start) / calls


def _bytes(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in model.weights)
