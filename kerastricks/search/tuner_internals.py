"""keras-tuner's private names, in the one file that may use them.

They are those of keras-tuner 1.4, to which pyproject.toml pins it. `tests/test_private_names.py` lists them and says
which of them an installed keras-tuner no longer has; `tests/test_architecture.py` refuses them everywhere else.
"""

from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.distribute import oracle_client


class StartsFromDefaults(keras_tuner.Oracle):
    """An oracle whose first random trial is the configuration that the search starts from."""

    def _random_values(self) -> dict[str, Any] | None:
        if self.start_order:
            return super()._random_values()
        chosen = keras_tuner.HyperParameters()
        for parameter in self.hyperparameters.space:
            chosen.merge([parameter])
            if chosen.is_active(parameter):
                chosen.values[parameter.name] = parameter.default
        return chosen.values


def state_file(oracle: keras_tuner.Oracle) -> Path:
    """The file of an oracle's state; a tuner has set its folder."""
    return Path(oracle._get_oracle_fname())


def trial_folder(oracle: keras_tuner.Oracle, trial_id: str) -> Path:
    """The folder of a trial, created where it is missing."""
    return Path(oracle._get_trial_dir(trial_id))


def attempts(oracle: keras_tuner.Oracle, trial_id: str) -> int:
    """The number of attempts at a trial that ended, failures included."""
    return oracle._run_times[trial_id]


def retry(oracle: keras_tuner.Oracle, trial_id: str) -> None:
    """Put a trial in front of those that are given out again."""
    oracle._retry_queue.append(trial_id)


def reseed(oracle: keras_tuner.oracles.BayesianOptimizationOracle, seed: int) -> None:
    """Reset the random generator of a Bayesian oracle's candidates."""
    oracle._random_state = np.random.RandomState(seed)


def grid_state(oracle: keras_tuner.oracles.GridSearchOracle) -> dict[str, Any]:
    """The position of a grid search, which `get_state` leaves out, for JSON."""
    ordered = oracle._ordered_ids
    return {
        "populate_next": oracle._populate_next,
        "ordered": {
            "memory": ordered._memory,
            "next": [[place, following] for place, following in ordered._next_index.items()],
            "last": ordered._last_index,
        },
    }


def set_grid_state(oracle: keras_tuner.oracles.GridSearchOracle, state: dict[str, Any]) -> None:
    """Resume a grid search from its `grid_state`."""
    oracle._populate_next = state["populate_next"]
    ordered = oracle._ordered_ids
    ordered._memory = state["ordered"]["memory"]
    ordered._data_to_index = {name: place for place, name in enumerate(ordered._memory)}
    ordered._next_index.update(dict(state["ordered"]["next"]))
    ordered._last_index = state["ordered"]["last"]


def limit_client_wait(seconds: float) -> None:
    """Set the timeout of a worker's request to the chief; keras-tuner's is an hour."""
    oracle_client.TIMEOUT = seconds
