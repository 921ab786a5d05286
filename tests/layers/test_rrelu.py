"""RReLU against the definition of Xu et al. 2015, section 2.4, and against PyTorch's."""

import keras
import numpy as np
import pytest
from scipy import stats

from kerastricks.layers import RReLU

N = 200_000
# mode: mean of the slope, its variance, slope of inference, the slope's cumulative distribution
DEFINITIONS = {
    "paper": (np.log(8 / 3) / 5, 1 / 24 - (np.log(8 / 3) / 5) ** 2, 1 / 5.5, lambda s: (8 - 1 / s) / 5),
    "library": (11 / 48, (5 / 24) ** 2 / 12, 0.2292, lambda s: (s - 1 / 8) / (5 / 24)),
}


def slopes(layer, shape=(N,)):
    return -keras.ops.convert_to_numpy(layer(-np.ones(shape, "float32"), training=True)).astype("float64")


@pytest.mark.parametrize("mode", DEFINITIONS)
def test_slopes_of_training_have_the_distribution_of_the_definition(mode):
    mean, variance, _, distribution = DEFINITIONS[mode]
    drawn = slopes(RReLU(mode, seed=0))
    assert mean == pytest.approx({"paper": 0.1962, "library": 0.2292}[mode], abs=5e-5)
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / N)
    fourth = np.mean((drawn - drawn.mean()) ** 4)
    assert abs(drawn.var() - variance) < 5 * np.sqrt((fourth - variance**2) / N)
    assert drawn.min() >= 1 / 8 - 1e-6
    assert drawn.max() <= 1 / 3 + 1e-6
    # Kolmogorov-Smirnov: the bound of one test in ten thousand.
    assert stats.kstest(drawn, distribution).statistic < 2.23 / np.sqrt(N)


@pytest.mark.parametrize("mode", DEFINITIONS)
def test_the_mean_square_slope_is_that_of_the_draws(mode):
    layer = RReLU(mode, seed=0)
    squares = slopes(layer) ** 2
    assert abs(squares.mean() - layer.mean_square_slope) < 5 * squares.std() / np.sqrt(N)


def test_slopes_are_drawn_for_each_element_and_each_call():
    layer = RReLU(seed=0)
    first, second = slopes(layer, (N // 4, 2, 2)).reshape(-1, 4), slopes(layer, (N // 4, 2, 2)).reshape(-1, 4)
    correlations = np.corrcoef(np.concatenate([first, second], axis=1), rowvar=False)
    assert np.abs(correlations - np.eye(8)).max() < 5 / np.sqrt(N // 4)
    np.testing.assert_array_equal(slopes(RReLU(seed=0), (7, 3)), slopes(RReLU(seed=0), (7, 3)))
    assert (slopes(RReLU(seed=0), (7, 3)) != slopes(RReLU(seed=1), (7, 3))).any()


@pytest.mark.parametrize("mode", DEFINITIONS)
def test_inference_has_one_slope(mode):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    slope = {"paper": 2 / 11, "library": (1 / 8 + 1 / 3) / 2}[mode]
    assert slope == pytest.approx(DEFINITIONS[mode][2], abs=5e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(RReLU(mode)(x)), np.where(x < 0, slope * x, x), rtol=1e-5)


def test_what_is_not_negative_stays_as_it_is():
    x = np.abs(np.random.default_rng(0).normal(size=(50,))).astype("float32")
    x[:5] = 0
    for training in (False, True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(RReLU()(x, training=training)), x)


def test_ranges_of_ones_own():
    drawn = 1 / slopes(RReLU(divisor_range=(2, 4), seed=0))
    assert abs(drawn.mean() - 3) < 5 * 2 / np.sqrt(12 * N)
    drawn = slopes(RReLU("library", slope_range=(0, 0.5), seed=0))
    assert abs(drawn.mean() - 0.25) < 5 * 0.5 / np.sqrt(12 * N)
    np.testing.assert_allclose(slopes(RReLU(divisor_range=(4, 4)), (9,)), 0.25, rtol=1e-6)


def trained_on_a_row_of_weights(rate):
    """A model whose loss is the mean of RReLU(its weights)."""
    layer = keras.layers.Dense(4000, use_bias=False, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    model = keras.Sequential([keras.Input((1,)), layer, RReLU(seed=0)])
    model.compile(keras.optimizers.SGD(rate), lambda y, prediction: keras.ops.mean(prediction))
    return model, layer


def test_the_gradient_is_the_slope_that_was_drawn():
    model, layer = trained_on_a_row_of_weights(4000.0)
    before = layer.get_weights()[0][0].astype("float64")
    loss = float(model.train_on_batch(np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")))
    gradient = before - layer.get_weights()[0][0]
    np.testing.assert_allclose(gradient[before > 0], 1, atol=1e-5)
    drawn = gradient[before < 0]
    assert drawn.min() > 1 / 8 - 1e-5
    assert drawn.max() < 1 / 3 + 1e-5
    # The output is slope * x, so that the loss of the same draw is the mean of gradient * x.
    assert loss == pytest.approx(np.mean(gradient * before), rel=1e-4)


def test_draws_are_fresh_in_every_compiled_step():
    model, _ = trained_on_a_row_of_weights(0.0)
    losses = [float(model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))) for _ in range(4)]
    assert len(set(losses)) == 4


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch is the second reference")
def test_library_mode_is_pytorchs():
    import torch

    x = np.random.default_rng(0).normal(size=(50, 7)).astype("float32")
    theirs = torch.nn.RReLU()
    ours = keras.ops.convert_to_numpy(RReLU("library")(x))
    np.testing.assert_allclose(ours, theirs.eval()(torch.tensor(x)).numpy(), rtol=1e-5)
    drawn = -theirs.train()(-torch.ones(N)).numpy().astype("float64")
    assert stats.ks_2samp(drawn, slopes(RReLU("library", seed=0))).statistic < 2.23 * np.sqrt(2 / N)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "pytorch"}, "mode must be"),
        ({"divisor_range": (8, 3)}, "divisor_range must be"),
        ({"divisor_range": (0, 3)}, "divisor_range must be"),
        ({"divisor_range": (-3, 3)}, "divisor_range must be"),
        ({"divisor_range": (3, float("inf"))}, "divisor_range must be"),
        ({"divisor_range": (3,)}, "divisor_range must be"),
        ({"divisor_range": ()}, "divisor_range must be"),
        ({"mode": "library", "slope_range": (1 / 3, 1 / 8)}, "slope_range must be"),
        ({"mode": "library", "slope_range": (-0.1, 0.1)}, "slope_range must be"),
        ({"mode": "library", "divisor_range": (3, 8)}, "takes slope_range, not divisor_range"),
        ({"slope_range": (0.1, 0.2)}, "takes divisor_range, not slope_range"),
    ],
)
def test_illegal_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=rf"{message}.*Received"):
        RReLU(**arguments)
