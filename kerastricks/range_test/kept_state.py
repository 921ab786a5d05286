"""State that a range test restores: variables, and the random state of the process."""

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

SEED_NAME = "seed_generator_state"  # what Keras calls the variable of a seed generator


class KeptState:
    """Values of variables, copied to memory, that can be restored any number of times.

    Args:
        variables: Keras's; one that is named twice is kept once.
    """

    def __init__(self, variables: Iterable[Any]) -> None:
        self._kept = {id(variable): (variable, _copy(variable)) for variable in variables}

    def __contains__(self, variable: Any) -> bool:
        return id(variable) in self._kept

    def restore(self) -> None:
        """Assigns every value."""
        for variable, value in self._kept.values():
            variable.assign(value)


def model_variables(model: keras.Model) -> list[Any]:
    """Weights, statistics, seeds, metrics, and all of the optimizer's: slots, iterations, rate, loss scale."""
    return [*model.variables, *model.metrics_variables, *model.optimizer.variables]


def reseed(model: keras.Model, seed: int, sweep: int) -> np.random.Generator:
    """Seeds everything that draws in a training step; returns a generator for the remaining draws."""
    generator = np.random.default_rng([seed, sweep])
    for variable in [*model.variables, global_seed_state()]:
        if variable.name == SEED_NAME and tuple(variable.shape) == (2,):
            variable.assign(np.array([generator.integers(2**31 - 1), 0]))
    drawn = int(generator.integers(2**31 - 1))
    random.seed(drawn)
    np.random.seed(drawn)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(drawn)
    return generator


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restores the generators of Python, NumPy, Keras and torch afterwards.

    Keras's own is created if there is none yet; Python's generator, which seeds it, does not move by that.
    """
    python, numpy = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        kept = KeptState([global_seed_state()])
        try:
            yield
        finally:
            kept.restore()
            random.setstate(python)
            np.random.set_state(numpy)


def global_seed_state() -> Any:
    """The variable that Keras's random functions draw from where they are given no seed."""
    with _Listener() as listener:
        keras.random.uniform(())
    return listener.variables[0]


class _Listener(keras.StatelessScope):
    """Changes no variable, and records those that are read: Keras does not expose its global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: list[Any] = []

    def get_current_value(self, variable: Any) -> Any:
        if variable.name == SEED_NAME:
            self.variables.append(variable)
        return super().get_current_value(variable)


def _copy(variable: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable.value))
