"""Schedules by name: the catalog, its arguments, and their mistakes."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import ConfigError, SpecError, UnknownNameError
from kerastricks.schedules import SCHEDULES, get, rates
from kerastricks.schedules.specs import CATALOG, read_schedule

# spec of 100 steps and its rates, computed by hand from the formula
VALUES = {
    "constant(0.5)": {0: 0.5, 99: 0.5},
    "constant(0.5, warmup=0.2)": {0: 0.02, 10: 0.26, 20: 0.5, 99: 0.5},
    "linear(0.5)": {0: 0.02, 20: 0.5, 60: 0.25, 100: 0.0},
    "cosine(0.5)": {0: 0.02, 5: 0.5, 100: 0.0},
    "cosine(0.5, warmup=0, final=0.2)": {0: 0.5, 50: 0.3, 100: 0.1},
    "one_cycle(0.5)": {0: 0.02, 30: 0.5, 65: 0.250025, 100: 0.00005},
    "one_cycle(0.5, warmup=0.5, start=0.2, final=0.1)": {0: 0.1, 25: 0.3, 50: 0.5, 75: 0.275, 100: 0.05},
    "step(0.5)": {29: 0.5, 30: 0.1, 60: 0.02, 80: 0.004},
    "step(0.5, factor=2, at=(0.5, 0.75))": {49: 0.5, 50: 0.25, 75: 0.125},
    "step(0.5, factor=2, at=0.5)": {49: 0.5, 50: 0.25, 99: 0.25},
    "step(0.5, factor=2, every=0.25, warmup=0.1)": {0: 0.02, 10: 0.5, 25: 0.25, 99: 0.0625},
    "plateau(0.5, factor=5)": {0: 0.5, 99: 0.5},
    "polynomial(0.5)": {0: 0.5, 50: 0.125, 100: 0.0},
    "polynomial(0.5, power=1, final=0.2, warmup=0.1)": {0: 0.02, 50: 0.3, 100: 0.1},
    "inverse_sqrt(0.5, warmup=0.2)": {0: 0.025, 19: 0.5, 79: 0.25},
    "triangular(0.4, cycles=2)": {0: 0.1, 25: 0.4, 50: 0.1, 75: 0.4},
    "triangular2(0.4, cycles=2, start=0)": {0: 0.0, 25: 0.4, 50: 0.0, 75: 0.2},
    "exponential_cyclical(0.4, cycles=2, start=0, end=0.01)": {25: 0.4 * 0.01**0.25, 75: 0.4 * 0.01**0.75},
    "cosine_restarts(0.4, cycles=4, final=0.5)": {0: 0.4, 5: 0.2 + 0.1 * (1 + math.cos(math.pi / 5)), 25: 0.4},
}


@pytest.mark.parametrize("text", VALUES)
def test_specs_have_their_values(text):
    found = rates(get(text, 100), [*VALUES[text]])
    np.testing.assert_allclose(found, [*VALUES[text].values()], rtol=1e-5, atol=1e-7)


def test_every_name_is_tried_above():
    assert {text.partition("(")[0] for text in VALUES} == set(CATALOG) == set(SCHEDULES)


@pytest.mark.parametrize("name", CATALOG)
def test_the_peak_from_outside_is_the_peak_of_the_spec(name):
    steps = [0, 3, 40, 99]
    np.testing.assert_array_equal(rates(get(name, 100, peak=0.3), steps), rates(get(f"{name}(0.3)", 100), steps))


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("total", [1, 2, 7])
def test_short_trainings_have_finite_rates(name, total):
    text = f"{name}(0.3, cycles=1)" if name == "cosine_restarts" else f"{name}(0.3)"
    found = rates(get(text, total), range(total + 2))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.max() <= 0.3 * (1 + 1e-6)


@pytest.mark.parametrize("name", CATALOG)
def test_each_drives_a_multi_optimizer(name):
    """What each group of weights goes in a step is its own rate times the gradient, also after it was compiled."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")])
    optimizers = {factor: keras.optimizers.SGD(get(name, 6, peak=0.2 * factor)) for factor in (0.5, 1.0)}
    model.compile(keras.optimizers.MultiOptimizer(lambda v: optimizers[0.5 if "a/" in v.path else 1.0]), _Linear())
    x, y = np.ones((6, 3), "float32"), np.zeros((6, 1), "float32")

    class Log(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.biases = []

        def on_train_batch_begin(self, batch, logs=None):
            self.biases.append(float(self.model.get_layer("b").get_weights()[1][0]))

    log = Log()
    model.fit(x, y, batch_size=1, epochs=1, verbose=0, callbacks=[log])
    biases = [*log.biases, float(model.get_layer("b").get_weights()[1][0])]
    # The loss is the mean of the outputs: the gradient of the last bias is 1.
    expected = rates(get(name, 6, peak=0.2), range(6))
    np.testing.assert_allclose(-np.diff(biases), expected, rtol=1e-4, atol=1e-6)
    for factor, optimizer in optimizers.items():
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(float(rates(get(name, 6, peak=0.2 * factor), [6])[0]), abs=1e-6)


class _Linear(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("linaer(0.1)", UnknownNameError, "no schedule is called 'linaer': did you mean linear.*kerastricks schedule"),
        ("linear(0.1, warmpu=0.1)", SpecError, r"no argument 'warmpu': did you mean warmup\? \(.*warmup, final\)"),
        ("linear(0.1, 0.2)", SpecError, "only one argument is positional, the peak"),
        ("linear", SpecError, r"the peak is missing, the first argument: linear\(0.1\)"),
        ("linear(0.1", SpecError, "does not parse"),
        ("linear(-1)", ConfigError, "peak must be above 0. Received: peak=-1"),
        ("linear('0.1')", ConfigError, "peak must be above 0. Received: peak='0.1'"),
        ("linear(0.1, warmup=1)", ConfigError, r"warmup must be a fraction of all steps, in \[0, 1\)"),
        ("linear(0.1, final=True)", ConfigError, "final must be a fraction of the peak"),
        ("one_cycle(0.1, start=2)", ConfigError, "start must be a fraction of the peak"),
        ("step(0.1, factor=0.5)", ConfigError, "factor must be what the rate is divided by, above 1"),
        ("step(0.1, at=(0.7, 0.5))", ConfigError, "at must be fractions that rise"),
        ("step(0.1, at=())", ConfigError, "at must be fractions that rise"),
        ("step(0.1, at='half')", ConfigError, "at must be fractions of all steps"),
        ("step(0.1, at=(30, 60))", ConfigError, "at must be fractions of all steps"),
        ("step(0.1, at=0.5, every=0.1)", ConfigError, "at and every exclude each other"),
        ("step(0.1, every=2)", ConfigError, "every must be a fraction of all steps"),
        ("plateau(0.1, patience=0)", ConfigError, "patience must be a whole number, 1 or more"),
        ("plateau(0.1, cooldown=1.5)", ConfigError, "cooldown must be a whole number, 0 or more"),
        ("plateau(0.1, min_rate=0.2)", ConfigError, "min_rate must be 0 or more, and below 0.1"),
        ("plateau(0.1, monitor=3)", ConfigError, "monitor must be the name of a metric"),
        ("polynomial(0.1, power=0)", ConfigError, "power must be above 0"),
        ("triangular(0.1, cycles=0)", ConfigError, "cycles must be a whole number, 1 or more"),
        ("exponential_cyclical(0.1, end=0)", ConfigError, "end must be what is left"),
        ("cosine_restarts(0.1, cycles=200)", ConfigError, "each cycle needs a step of its own"),
        ("cosine_restarts(0.1, t_mul=0)", ConfigError, "t_mul must be above 0"),
    ],
)
def test_mistakes_are_one_line(text, error, message):
    with pytest.raises(error, match=message) as caught:
        get(text, 100)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_a_peak_in_the_spec_is_refused_where_it_comes_from_outside():
    with pytest.raises(SpecError, match=r"one_cycle\(0.1\): the peak is learning_rate here.*set learning_rate"):
        get("one_cycle(0.1)", 100, peak=0.2)


@pytest.mark.tensorflow_only
def test_specs_are_checked_without_keras():
    code = (
        "import sys; from kerastricks.schedules.specs import read_schedule as read; read('one_cycle', 100, 0.1);"
        "from kerastricks.schedules.linear_scaling import RULES;"
        "sys.exit(any(name in sys.modules for name in ('keras', 'numpy', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.tensorflow_only
def test_plans_know_which_schedules_rise_by_themselves():
    rising = {name for name in CATALOG if read_schedule(name, 100, 0.1).rises}
    assert rising == {
        "linear", "cosine", "one_cycle", "inverse_sqrt", "triangular", "triangular2", "exponential_cyclical",
    }  # fmt: skip
    assert not read_schedule("cosine(warmup=0)", 100, 0.1).rises
    assert read_schedule("step(warmup=0.1)", 100, 0.1).rises
    assert isinstance(kerastricks.schedules.get("constant", 5, 0.1), float)


@pytest.mark.tensorflow_only
def test_the_functions_of_before_name_the_class():
    with pytest.raises(
        AttributeError, match=r"^kerastricks\.schedules\.one_cycle is now kerastricks\.schedules\.OneCycle$"
    ):
        kerastricks.schedules.one_cycle  # noqa: B018
    with pytest.raises(AttributeError, match=r"is now kerastricks\.schedules\.StepDecay$"):
        kerastricks.schedules.step_decay  # noqa: B018
    assert "one_cycle" not in dir(kerastricks.schedules)


@pytest.mark.tensorflow_only
def test_former_names_of_classes_and_arguments_are_refused_and_read_in_files():
    with pytest.raises(AttributeError, match=r"WarmupLinear is now kerastricks\.schedules\.LinearDecay$"):
        kerastricks.schedules.WarmupLinear  # noqa: B018
    with pytest.raises(AttributeError, match=r"LinearWarmup is now kerastricks\.schedules\.Warmup$"):
        kerastricks.schedules.LinearWarmup  # noqa: B018
    with pytest.raises(TypeError, match=r"^OneCycle: final_rate is now final_fraction$"):
        kerastricks.schedules.OneCycle(0.1, 10, 3, final_rate=0.1)
    with pytest.raises(SpecError, match=r"one_cycle has no argument 'final_rate'.*final"):
        read_schedule("one_cycle(final_rate=0.1)", 100, 0.1)

    one_cycle = {"peak": 0.1, "total_steps": 10, "warmup_steps": 3, "start_rate": 0.5, "final_rate": 0.01}
    read = kerastricks.schedules.OneCycle.from_config(one_cycle)
    assert (read.start_fraction, read.final_fraction) == (0.5, 0.01)
    linear = {"class_name": "WarmupLinear", "registered_name": "kerastricks>WarmupLinear", "module": "any"}
    linear["config"] = {"peak": 0.1, "total_steps": 10, "final_rate": 0.2}
    read = keras.optimizers.schedules.deserialize(linear)
    assert isinstance(read, kerastricks.schedules.LinearDecay)
    assert read.final_fraction == 0.2
    written = keras.optimizers.schedules.serialize(read)
    assert written["registered_name"] == "kerastricks>LinearDecay"
    assert "final_rate" not in written["config"]
