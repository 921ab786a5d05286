"""Findings of a diagnosis that need the network."""

import keras
import numpy as np
import pytest

from kerastricks.checks import network_findings
from kerastricks.doctor import TrainingLog, diagnose

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(128, 4, 4, 1)).astype("float32")


@pytest.fixture(scope="module")
def labels(images):
    return (images.mean(axis=(1, 2, 3)) > 0).astype("int32")


def mostly_healthy() -> keras.Model:
    """64 units that live, and 8 that are dead."""
    keras.utils.set_random_seed(0)
    dead = keras.layers.Dense(8, activation="relu", bias_initializer=keras.initializers.Constant(-99.0), name="dead")
    ends = [keras.layers.Dense(64, activation="relu"), dead, keras.layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), *ends])


def network(depth: int, stddev: float | None = None, bias: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(0)
    kernel = "he_normal" if stddev is None else keras.initializers.RandomNormal(stddev=stddev)
    hidden = [
        keras.layers.Dense(
            16, activation="relu", kernel_initializer=kernel, bias_initializer=keras.initializers.Constant(bias)
        )
        for _ in range(depth)
    ]
    ends = [keras.layers.Flatten(), *hidden, keras.layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input((4, 4, 1)), *ends])


def codes(*given, **more):
    return [one.code for one in network_findings(*given, **more)]


def test_a_healthy_network_has_no_finding(images, labels):
    assert codes(network(3), images, labels, batch_size=64) == []


def test_dead_units_are_counted(images, labels):
    found = network_findings(network(2, bias=-20.0), images, labels)
    dead = next(one for one in found if one.code == "dead_units")
    assert dead.figures["dead_share"] == 1.0
    assert "32 of 32 units" in dead.evidence
    one_layer = next(one for one in network_findings(mostly_healthy(), images) if one.code == "dead_units")
    assert "8 of 72 units" in one_layer.evidence
    assert "100% of dead" in one_layer.evidence


def test_gradients_that_vanish_and_explode(images, labels):
    assert "vanishing_gradients" in codes(network(8, stddev=0.05), images, labels)
    assert "exploding_gradients" in codes(network(8, stddev=3.0), images, labels)


def test_a_batch_far_below_the_noise_scale(images):
    random = np.random.default_rng(1).integers(0, 2, len(images))  # labels of noise: gradients that cancel
    (found,) = [
        one for one in network_findings(network(1), images, random, batch_size=1) if one.code == "batch_too_small"
    ]
    assert found.change["batch_size"] >= 2
    assert found.figures["low"] > 8
    assert not [one for one in network_findings(network(1), images) if one.code == "batch_too_small"]


def test_they_join_a_diagnosis(images, labels):
    loss = 0.2 + 2.1 * np.exp(-np.arange(12) / 2.0)
    log = TrainingLog(epochs=np.arange(1.0, 13), loss=loss, val_loss=loss * 1.02, learning_rate=np.full(12, np.nan))
    nothing = np.full(12, np.nan)
    log = TrainingLog(**{**log.__dict__, "accuracy": nothing, "val_accuracy": nothing})
    found = diagnose(log, network_findings(network(2, bias=-20.0), images, labels))
    assert found.find("dead_units") is not None
    assert found.find("healthy") is None
