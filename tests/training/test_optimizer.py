"""The optimizer and schedule that a configuration names."""

import keras
import numpy as np
import pytest

from kerastricks.errors import ConfigError, SpecError, UnknownNameError
from kerastricks.models import create
from kerastricks.training import Config
from kerastricks.training.optimizer import build_optimizer, build_schedule, undecayed


def model():
    return create("plain_cnn(widths=(4,), activation='prelu')", (8, 8, 1), 3)


def test_decay_leaves_biases_normalisation_and_prelu_alone():
    network = model()
    left_alone = {variable.path for variable in undecayed(network)}
    for layer in network.layers:
        for weight in layer.trainable_weights:
            is_kernel = weight.path.endswith("kernel")
            assert (weight.path in left_alone) == (not is_kernel), weight.path


def test_a_step_without_gradients_decays_kernels_alone():
    network = model()
    optimizer = build_optimizer(Config(learning_rate=0.1, weight_decay=0.5, schedule="constant"), 10, network)
    optimizer.build(network.trainable_variables)
    before = [keras.ops.convert_to_numpy(variable) for variable in network.trainable_variables]
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in network.trainable_variables])
    for variable, old in zip(network.trainable_variables, before, strict=True):
        factor = 1 - 0.1 * 0.5 if variable.path.endswith("kernel") else 1
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), old * factor, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd(momentum=0.8)", "adam", "adamw(beta_2=0.99)", "lion", "rmsprop"])
def test_every_optimizer_is_made_with_clipping_and_schedule(name):
    optimizer = build_optimizer(Config(optimizer=name, clip_norm=2.0), 10, model())
    assert optimizer.global_clipnorm == 2.0
    assert optimizer.weight_decay == Config().weight_decay


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("linear(warmup=0.2)", {0: 0.1 / 25, 20: 0.1, 60: 0.05, 100: 0.0}),
        ("cosine(warmup=0.0)", {0: 0.1, 50: 0.05, 100: 0.0}),
        ("cosine(warmup=0.2, final=0.1)", {0: 0.1 / 25, 20: 0.1, 60: 0.055, 100: 0.01}),
    ],
)
def test_schedules_have_their_values(spec, values):
    schedule = build_schedule(Config(schedule=spec, learning_rate=0.1), 100)
    for step, expected in values.items():
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6), step


def test_wrong_names_and_arguments_are_refused():
    with pytest.raises(UnknownNameError, match="sgd"):
        build_optimizer(Config(optimizer="sgdd"), 10, model())
    with pytest.raises(UnknownNameError, match="linear"):
        build_schedule(Config(schedule="linaer"), 10)
    with pytest.raises(SpecError, match="warmup"):
        build_schedule(Config(schedule="linear(warmpu=0.1)"), 10)
    with pytest.raises(ConfigError, match="warmup"):
        build_schedule(Config(schedule="linear(warmup=2.0)"), 10)
