"""The private names of Keras and keras-tuner that kerastricks needs: which of them the installed versions have no more.

A name that has gone is mended in `kerastricks/keras_graph.py` or `kerastricks/search/tuner_internals.py`, where alone
they are used.
"""

import ast
import importlib
import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path

import keras
import keras_tuner
import pytest

from kerastricks.keras_graph import Node

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parent.parent
LAYER = ("_flatten_layers", "_trainable_variables", "_inbound_nodes")
FUNCTION = ("_nodes_by_depth",)
TENSOR = ("_keras_history",)
OPTIMIZER = ("_learning_rate", "_iterations", "_get_variable_index")
# Names without an underscore, of classes that are private.
HISTORY = ("operation", "node_index")
NODE = tuple(Node.__annotations__)
ARGUMENTS = ("kwargs",)

ORACLE = ("_random_values", "_get_oracle_fname", "_get_trial_dir", "_run_times", "_retry_queue")
BAYESIAN = ("_random_state",)
GRID = ("_ordered_ids", "_populate_next")
ORDERED = ("_memory", "_data_to_index", "_next_index", "_last_index")
CLIENT = ("TIMEOUT",)


def gone(lookups):
    """The names that are missing, after the class that had them; what is None had its own name missing."""
    return [
        f"{owner}.{name}"
        for owner, (found, names) in lookups.items()
        for name in names
        if found is not None and not hasattr(found, name)
    ]


def used(path):
    tree = ast.parse((ROOT / "kerastricks" / path).read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_private_names_of_the_installed_keras():
    inputs = keras.Input((2,))
    dense = keras.layers.Dense(1)
    outputs = dense(inputs)
    history = getattr(outputs, "_keras_history", None)
    node = next(iter(getattr(dense, "_inbound_nodes", ())), None)
    missing = gone(
        {
            "keras.Layer": (dense, LAYER),
            "keras.Function": (keras.Model(inputs, outputs), FUNCTION),
            "keras.KerasTensor": (outputs, TENSOR),
            "keras.Optimizer": (keras.optimizers.SGD(), OPTIMIZER),
            "KerasTensor._keras_history": (history, HISTORY),
            "Node": (node, NODE),
            "Node.arguments": (getattr(node, "arguments", None), ARGUMENTS),
        }
    )
    assert not missing, f"Keras {keras.__version__} has no more: {', '.join(missing)}; see kerastricks/keras_graph.py"
    assert set(inspect.signature(dense._flatten_layers).parameters) == {"include_self", "recursive"}


def test_private_names_of_the_installed_keras_tuner():
    oracles = keras_tuner.oracles
    grid = oracles.GridSearchOracle(objective="val_loss")
    try:
        client = importlib.import_module("keras_tuner.src.distribute.oracle_client")
    except ImportError:
        client = object()
    missing = gone(
        {
            "keras_tuner.Oracle": (oracles.RandomSearchOracle(objective="val_loss"), ORACLE),
            "keras_tuner.oracles.BayesianOptimizationOracle": (
                oracles.BayesianOptimizationOracle(objective="val_loss"),
                BAYESIAN,
            ),
            "keras_tuner.oracles.GridSearchOracle": (grid, GRID),
            "GridSearchOracle._ordered_ids": (getattr(grid, "_ordered_ids", None), ORDERED),
            "keras_tuner.src.distribute.oracle_client": (client, CLIENT),
        }
    )
    version = importlib.metadata.version("keras-tuner")
    assert not missing, f"keras-tuner {version} has no more: {', '.join(missing)}; see search/tuner_internals.py"


def test_keras_tuner_is_pinned_to_the_minor_version_that_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = [one for one in project["dependencies"] if one.startswith("keras-tuner")]
    major, minor = map(int, importlib.metadata.version("keras-tuner").split(".")[:2])
    assert re.fullmatch(rf"keras-tuner>={major}\.{minor}\.\d+,<{major}\.{minor + 1}", pin), pin


def test_the_lists_above_are_complete():
    assert used("keras_graph.py") == {*LAYER, *FUNCTION, *TENSOR, *OPTIMIZER}
    assert used("search/tuner_internals.py") == {*ORACLE, *BAYESIAN, *GRID, *ORDERED}
