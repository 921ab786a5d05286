"""StochasticDepth against the equations of Huang et al. 2016."""

import keras
import numpy as np
import pytest

from kerastricks.layers import StochasticDepth

N = 50_000


def factors(layer, shape=(N, 1), training=True):
    return keras.ops.convert_to_numpy(layer(np.ones(shape, "float32"), training=training))


def test_training_multiplies_by_a_bernoulli_draw_per_sample():
    drawn = factors(StochasticDepth(0.2, seed=0), (N, 2, 3))
    assert np.ptp(drawn, axis=(1, 2)).max() == 0
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert abs(drawn[:, 0, 0].mean() - 0.8) < 5 * np.sqrt(0.8 * 0.2 / N)


def test_inference_multiplies_by_the_survival_probability():
    np.testing.assert_allclose(factors(StochasticDepth(0.2), (3, 2), training=False), 0.8, rtol=1e-6)


def test_scaled_in_training_the_mean_is_kept_and_inference_is_the_identity():
    layer = StochasticDepth(0.2, scale="training", seed=0)
    drawn = factors(layer)
    np.testing.assert_allclose(np.unique(drawn), [0, 1 / 0.8], rtol=1e-6)
    assert abs(drawn.mean() - 1) < 5 * np.sqrt(0.25 / N)
    np.testing.assert_array_equal(factors(layer, (3, 2), training=False), 1)


def test_samples_and_calls_are_independent():
    layer = StochasticDepth(0.5, seed=0)
    first, second = factors(layer).ravel(), factors(layer).ravel()
    pairs = [(first, second), (first[:-1], first[1:])]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N) for a, b in pairs)
    np.testing.assert_array_equal(
        factors(StochasticDepth(0.5, seed=3), (99, 1)), factors(StochasticDepth(0.5, seed=3), (99, 1))
    )


def test_a_branch_that_is_left_out_gets_no_gradient():
    branch = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    layer = StochasticDepth(0.5, seed=0)
    model = keras.Sequential([keras.Input((64,)), branch, layer])
    model.compile(keras.optimizers.SGD(64.0), lambda y, prediction: keras.ops.mean(prediction))
    # Sample i is the i-th unit vector: the i-th weight moves by its factor.
    model.train_on_batch(np.eye(64, dtype="float32"), np.zeros((64, 1)))
    moved = 1 - branch.get_weights()[0].ravel()
    assert set(moved.round(5)) == {0.0, 1.0}
    assert abs(moved.mean() - 0.5) < 5 * np.sqrt(0.25 / 64)


def test_drop_rates_grow_linearly_with_depth():
    # Equation 4: p_l = 1 - l / L (1 - p_L), with p the survival probability.
    for block in range(1, 55):
        survival = 1 - block / 54 * (1 - 0.5)
        assert 1 - StochasticDepth.linear_decay(block, 54) == pytest.approx(survival)
    with pytest.raises(ValueError, match=r"block must be 1 to blocks=54.*Received: block=0"):
        StochasticDepth.linear_decay(0, 54)
    with pytest.raises(ValueError, match=r"last_drop_rate must be in \[0, 1\).*Received: last_drop_rate=1.5"):
        StochasticDepth.linear_decay(1, 54, 1.5)


def test_a_rate_of_zero_is_the_identity():
    np.testing.assert_array_equal(factors(StochasticDepth(0.0), (20, 2)), 1)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop_rate": 1.0}, "drop_rate must be"),
        ({"drop_rate": -0.1}, "drop_rate must be"),
        ({"scale": "test"}, "scale must be"),
    ],
)
def test_illegal_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        StochasticDepth(**arguments)
