"""The optimizer and schedule that a configuration names."""

import keras
import numpy as np
import pytest

from kerastricks.errors import ConfigError, SpecError, UnknownNameError
from kerastricks.models import create
from kerastricks.schedules import rates
from kerastricks.schedules.specs import CATALOG
from kerastricks.training import Config
from kerastricks.training.optimizer import build_optimizer, build_schedule, gradual_warmup, undecayed


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


@pytest.mark.tensorflow_only
def test_wrong_names_and_arguments_are_refused():
    with pytest.raises(UnknownNameError, match="sgd"):
        build_optimizer(Config(optimizer="sgdd"), 10, model())
    with pytest.raises(UnknownNameError, match="linear"):
        build_schedule(Config(schedule="linaer"), 10)
    with pytest.raises(SpecError, match="warmup"):
        build_schedule(Config(schedule="linear(warmpu=0.1)"), 10)
    with pytest.raises(ConfigError, match="warmup"):
        build_schedule(Config(schedule="linear(warmup=2.0)"), 10)


@pytest.mark.parametrize("name", CATALOG)
def test_every_schedule_has_the_rate_as_its_peak_in_every_group(name):
    config = Config(schedule=name, learning_rate=0.4)
    steps = [*range(21), *range(25, 201, 5)]
    whole, tenth = (rates(build_schedule(config, 200, factor), steps) for factor in (1.0, 0.1))
    height = 0.25 + 0.75 * 0.05 ** (25 / 200) if name == "exponential_cyclical" else 1.0
    assert whole.max() == pytest.approx(0.4 * height, rel=1e-5)
    np.testing.assert_allclose(tenth, whole / 10, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("schedule", "epochs", "steps"),
    [
        ("constant", 50, 100),  # 5 epochs of 20 steps
        ("step", 50, 100),
        ("cosine_restarts", 50, 100),
        ("cosine(warmup=0)", 10, 200),  # a fifth of all
        ("plateau", None, 200),
        ("linear", 50, 0),
        ("cosine", 50, 0),
        ("one_cycle", 50, 0),
        ("triangular", 50, 0),
        ("constant(warmup=0.01)", 50, 0),
    ],
)
def test_a_raised_rate_warms_up_where_the_schedule_does_not(schedule, epochs, steps):
    config = Config(schedule=schedule, epochs=epochs, batch_size=512, base_batch=128, scale_lr="linear")
    assert gradual_warmup(config, 1000) == (steps, 0.25 if steps else 1.0)


@pytest.mark.parametrize(("batch_size", "rule"), [(512, "constant"), (64, "linear"), (128, "sqrt")])
def test_a_rate_that_is_not_raised_needs_no_warm_up(batch_size, rule):
    config = Config(schedule="constant", batch_size=batch_size, base_batch=128, scale_lr=rule, learning_rate=0.2)
    assert build_schedule(config, 1000) == pytest.approx({"constant": 0.2, "linear": 0.1, "sqrt": 0.2}[rule])


def test_the_lowest_rate_of_a_plateau_is_that_of_the_highest_group():
    config = Config(schedule="plateau(min_rate=0.03)", learning_rate=0.2)
    assert build_schedule(config, 100, 0.1) == pytest.approx(0.02)


def test_the_warm_up_goes_from_the_rate_before_scaling_to_the_scaled_one():
    config = Config(
        schedule="step(factor=5, at=0.5)", epochs=50, batch_size=1024, base_batch=128, scale_lr="linear",
        learning_rate=0.1,
    )  # fmt: skip
    found = rates(build_schedule(config, 1000), [0, 50, 100, 499, 500])
    np.testing.assert_allclose(found, [0.1, 0.45, 0.8, 0.8, 0.16], rtol=1e-5)
