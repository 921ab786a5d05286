"""The range test leaves everything as it was, and finds the edge that is there."""

import random
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from keras import ops

from kerastricks.errors import UsageError
from kerastricks.progress import silent
from kerastricks.range_test import LRRangeTest

TORCH = keras.backend.backend() == "torch"


def images(count=96, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 6)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32")


def network(optimizer, policy="float32", **arguments):
    """Dense layers with batch norm, dropout and noise."""
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="float32"),
            keras.layers.Dense(8, dtype=policy, name="body"),
            keras.layers.BatchNormalization(dtype=policy),
            keras.layers.Activation("relu", dtype=policy),
            keras.layers.Dropout(0.3, dtype=policy),
            keras.layers.GaussianNoise(0.1, dtype=policy),
            keras.layers.Dense(2, dtype="float32", name="head"),
        ]
    )
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **arguments,
    )
    return model


def values(model):
    found = {}
    for group, variables in (
        ("model", model.variables),
        ("metrics", model.metrics_variables),
        ("optimizer", model.optimizer.variables),
    ):
        found |= {f"{group}/{n}": np.array(ops.convert_to_numpy(v.value)) for n, v in enumerate(variables)}
    return found


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def multi():
    slow, fast = keras.optimizers.SGD(0.01, momentum=0.9), keras.optimizers.SGD(0.1, momentum=0.9)
    return keras.optimizers.MultiOptimizer(lambda variable: fast if "head" in variable.path else slow)


def schedule():
    return keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum, clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=1.0),
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "adamw, schedule": lambda: keras.optimizers.AdamW(schedule(), weight_decay=1e-2),
    "multi": multi,
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), dynamic_growth_steps=3),
    "loss scale, schedule": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(schedule())),
    "moving average": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
}


# On JAX and torch one with slots and a schedule, one that wraps, and several in one.
ON_EVERY_BACKEND = ("adamw, schedule", "loss scale", "multi")


@pytest.mark.parametrize(
    "kind", [kind if kind in ON_EVERY_BACKEND else tensorflow_case(kind, id=kind) for kind in OPTIMIZERS]
)
def test_everything_is_afterwards_as_before(kind):
    model = network(OPTIMIZERS[kind]())
    x, y = images()
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)  # slots, statistics, metrics and seeds that are not at zero
    keras.random.uniform((1,))  # Keras's own generator exists, and is not where it began
    before, random_before, numpy_before = values(model), random.getstate(), np.random.get_state()
    spare = keras.random.SeedGenerator(7)
    drawn = _next_draws(model)

    result = LRRangeTest(model, steps=24, sweeps=2).run(x, y, batch_size=16)

    assert np.isfinite(result.losses).any()
    assert_same(before, values(model))
    assert random.getstate() == random_before
    for ours, theirs in zip(np.random.get_state(), numpy_before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert drawn == _next_draws(model)
    np.testing.assert_array_equal(ops.convert_to_numpy(spare.state.value), [7, 0])


def _next_draws(model):
    """What Keras's global generator and torch's would give next, without taking it."""
    with keras.StatelessScope():
        found = [float(ops.convert_to_numpy(keras.random.uniform(())))]
    if TORCH:
        import torch

        found += torch.random.get_rng_state().tolist()
    return found


def test_training_goes_on_as_if_there_had_been_no_test():
    x, y = images()
    weights = []
    for tested in (False, True):
        keras.utils.set_random_seed(3)
        model = network(keras.optimizers.AdamW(schedule(), weight_decay=1e-2))
        model.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
        if tested:
            LRRangeTest(model, steps=20, sweeps=2).run(x, y, batch_size=32)
        if TORCH:
            keras.utils.set_random_seed(4)
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for without, with_test in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_test)


@pytest.mark.tensorflow_only
def test_a_model_that_was_never_trained_stays_so():
    x, y = images()
    model = network(keras.optimizers.Adam())
    weights = model.get_weights()
    LRRangeTest(model, steps=20, sweeps=1).run(x, y, batch_size=16)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(not np.any(ops.convert_to_numpy(v.value)) for v in model.metrics_variables)
    slots = [v for v in model.optimizer.variables if "learning_rate" not in v.name]
    assert all(not np.any(ops.convert_to_numpy(v.value)) for v in slots)


def test_a_schedule_is_set_aside_and_is_the_same_object_afterwards():
    own = schedule()
    model = network(keras.optimizers.SGD(own))
    x, y = images()
    model.train_on_batch(x[:32], y[:32])  # on JAX the step that this compiled would be found again
    compiled = model.train_function
    result = LRRangeTest(model, low=1e-6, high=1e3, steps=40, sweeps=1).run(x, y, batch_size=32)
    assert model.optimizer._learning_rate is own
    assert model.train_function is compiled
    assert "train_step" not in vars(model)
    # Under the schedule's own rates, 0.05 and less, this network does not blow up.
    assert np.nanmax(result.losses) > 4 * result.losses[0, 0]


def test_the_compiled_step_is_shared_by_sweeps_and_left_for_fit():
    model = network(keras.optimizers.SGD(0.1))
    x, y = images()
    model.train_on_batch(x[:16], y[:16])
    compiled = model.train_function
    LRRangeTest(model, steps=20, sweeps=2).run(x, y, batch_size=16)
    assert model.train_function is compiled


def test_an_interrupted_test_puts_everything_back():
    model = network(keras.optimizers.Adam(schedule()))
    x, y = images()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    before, own = values(model), model.optimizer._learning_rate

    @contextmanager
    def progress(description, total):
        steps = iter(range(7))

        def done(count):
            if next(steps, None) is None:
                raise KeyboardInterrupt

        yield done

    with pytest.raises(KeyboardInterrupt):
        LRRangeTest(model, steps=20, sweeps=2).run(x, y, batch_size=16, progress=progress)
    assert_same(before, values(model))
    assert model.optimizer._learning_rate is own


class Recorder(keras.layers.Layer):
    """Hands what it sees to a function."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def call(self, x):
        self.note(np.array(ops.convert_to_numpy(x)))
        return x


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="its gradient shows a layer no values")
def test_each_sweep_sees_the_same_batches_in_an_order_of_its_own():
    seen = []
    recorder = Recorder(seen.append)
    model = keras.Sequential([recorder, keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    x, y = images(20 * 4)
    model(x[:1])
    seen.clear()
    LRRangeTest(model, low=1e-6, high=1e-5, steps=20, sweeps=3).run(x, y, batch_size=4)
    batches = [batch.tobytes() for batch in seen if not np.all(batch == 1)]  # torch builds the metrics with ones
    sweeps = [batches[n * 20 : (n + 1) * 20] for n in range(3)]
    assert len(batches) == 60
    assert len(set(sweeps[0])) == 20
    assert set(sweeps[0]) == set(sweeps[1]) == set(sweeps[2])
    assert sweeps[0] != sweeps[1] != sweeps[2]


def test_sweeps_draw_dropout_from_seeds_of_their_own_and_repeat_with_the_test_s():
    x, y = images(16)
    model = network(keras.optimizers.SGD(0.1))
    first = LRRangeTest(model, low=1e-9, high=1e-8, steps=20, sweeps=2, seed=5).run(x, y, batch_size=16)
    again = LRRangeTest(model, low=1e-9, high=1e-8, steps=20, sweeps=2, seed=5).run(x, y, batch_size=16)
    other = LRRangeTest(model, low=1e-9, high=1e-8, steps=20, sweeps=2, seed=6).run(x, y, batch_size=16)
    np.testing.assert_array_equal(first.losses, again.losses)
    assert not np.allclose(first.losses[0], first.losses[1])  # one batch, and no learning to speak of
    assert not np.allclose(first.losses, other.losses)


def quadratic(curvature, optimizer):
    """One weight whose loss has this curvature, whatever the batch: (sqrt(curvature / 2) w - y)^2."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, "mse")
    model.layers[-1].set_weights([np.full((1, 1), np.sqrt(2 / curvature))])
    return model, np.full((256, 1), np.sqrt(curvature / 2), "float32")


@pytest.mark.parametrize(
    ("curvature", "scheduled"),
    [tensorflow_case(0.5, True), tensorflow_case(0.5, False), tensorflow_case(8.0, True), (8.0, False)],
)
def test_a_quadratic_diverges_where_theory_says(curvature, scheduled):
    # Gradient descent on it is stable below 2 / curvature; the noise of y keeps it from resting where it is flat.
    edge = 2 / curvature
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9) if scheduled else 0.1
    model, x = quadratic(curvature, keras.optimizers.SGD(rate))
    y = np.random.default_rng(0).normal(size=(256, 1)).astype("float32")
    test = LRRangeTest(model, low=edge / 1e3, high=edge * 10, steps=200, sweeps=3)
    result = test.run(x, y, batch_size=8)
    stopped = result.rates[np.isfinite(result.losses).sum(axis=1) - 1]
    assert np.all((edge < stopped) & (stopped < 2 * edge))
    assert edge / 2 < result.interval[1] < 1.5 * edge
    assert edge / 30 < result.suggestion < edge


@pytest.mark.parametrize("scheduled", [tensorflow_case(False), True])
def test_rates_grow_by_one_factor_and_move_the_weights(scheduled):
    # The weight is multiplied by (1 - rate) at each step, and the loss is w^2 / 2.
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9) if scheduled else 0.1
    model, x = quadratic(1.0, keras.optimizers.SGD(rate))
    result = LRRangeTest(model, low=1e-3, high=1.0, steps=30, sweeps=2).run(x, 0 * x, batch_size=1)
    np.testing.assert_allclose(result.rates, 1e-3 * 1e3 ** (np.arange(30) / 29), rtol=1e-12)
    weight, expected = np.sqrt(2), []
    for step_rate in result.rates:
        expected.append(weight**2 / 2)
        weight *= 1 - step_rate
    np.testing.assert_allclose(result.losses, [expected, expected], rtol=1e-4, atol=1e-7)


def test_several_optimizers_keep_the_ratio_of_their_rates():
    slow, fast = keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.1)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False), keras.layers.Dense(1, use_bias=False)]
    )
    model.layers[0].set_weights([np.ones((1, 1))])
    model.layers[1].set_weights([np.ones((1, 1))])
    last = model.layers[1].kernel.path
    model.compile(keras.optimizers.MultiOptimizer(lambda v: fast if v.path == last else slow), "mse")
    x, y = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
    result = LRRangeTest(model, low=1e-3, high=0.1, steps=20, sweeps=1).run(x, y, batch_size=1)
    a, b, expected = 1.0, 1.0, []
    for rate in result.rates:  # loss (a b)^2
        expected.append((a * b) ** 2)
        a, b = a - 0.2 * rate * 2 * a * b * b, b - rate * 2 * a * a * b
    np.testing.assert_allclose(result.losses[0], expected, rtol=1e-4)
    np.testing.assert_allclose([float(o.learning_rate) for o in (slow, fast)], [0.02, 0.1], rtol=1e-6)


def test_mixed_precision_is_tested_and_left_alone():
    optimizer = keras.optimizers.SGD(0.1)
    model = network(optimizer, "mixed_float16")
    x, y = images()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    before = values(model)
    result = LRRangeTest(model, steps=20, sweeps=1).run(x, y, batch_size=32)
    assert np.isfinite(result.losses[0, :10]).all()
    assert_same(before, values(model))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 0.0}, "0 < low < high"),
        ({"low": 1.0, "high": 0.1}, "0 < low < high"),
        ({"high": float("inf")}, "0 < low < high"),
        ({"steps": 5}, "20 or more"),
        ({"sweeps": 0}, "sweeps: must be 1 or more"),
        ({"divergence": 1.0}, "divergence: must be above 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message) as error:
        LRRangeTest(network("sgd"), **arguments)
    assert "\n" not in str(error.value)


def test_a_model_must_be_compiled_and_learn():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(UsageError, match=r"model: must be compiled"):
        LRRangeTest(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.raises(UsageError, match="learning rate must be above 0"):
        LRRangeTest(model, steps=20).run(np.zeros((4, 2)), np.zeros((4, 1)), progress=silent)
