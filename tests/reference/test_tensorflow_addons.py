"""Our layers against what tensorflow-addons 0.23 computes, and where they differ on purpose."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from vectors import cases

from kerastricks.layers import Maxout, RReLU, StochasticDepth, WeightNormalization
from kerastricks.schedules import ExponentialCyclical, Triangular, Triangular2

RRELU, MAXOUT, DEPTH = cases("rrelu"), cases("maxout"), cases("stochastic_depth")
NORMALIZED, CYCLICAL = cases("weight_normalization"), cases("cyclical_rates")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def rrelu(values, **arguments):
    # tensorflow-addons takes bounds the wrong way round, and draws between them all the same.
    return RReLU(mode="library", slope_range=sorted([values["lower"], values["upper"]]), **arguments)


@pytest.mark.parametrize("case", RRELU)
def test_rrelu_in_evaluation(case):
    values = RRELU[case]
    np.testing.assert_allclose(convert_to_numpy(rrelu(values)(values["inputs"])), values["evaluation"], **CLOSE)


@pytest.mark.parametrize("case", RRELU)
def test_rrelu_slopes_in_training(case):
    values, ours, theirs = RRELU[case], 100_000, RRELU[case]["training_draws"]
    layer = rrelu(values, seed=0)
    slopes = -convert_to_numpy(layer(-np.ones(ours, "float32"), training=True)).astype("float64")
    width = abs(values["upper"] - values["lower"])
    # Mean and variance of n uniform draws have the variances width^2 / 12 n and width^4 / 180 n.
    pooled = np.sqrt(1 / ours + 1 / theirs)
    assert abs(slopes.mean() - values["training_mean"]) <= 5 * width / np.sqrt(12) * pooled + 1e-7
    assert abs(slopes.var() - values["training_variance"]) <= 5 * width**2 / np.sqrt(180) * pooled + 1e-12
    # A gap at an end is longer than x with probability (1 - x / width)^n: below exp(-20) for these.
    gap = width * 20 * (1 / ours + 1 / theirs) + 1e-6
    assert abs(slopes.min() - values["training_minimum"]) <= gap
    assert abs(slopes.max() - values["training_maximum"]) <= gap


def test_rrelu_refuses_bounds_the_wrong_way_round():
    values = RRELU["swapped"]
    assert values["training_minimum"] < values["training_maximum"]  # tensorflow-addons went on
    with pytest.raises(ValueError, match="slope_range"):
        RReLU(mode="library", slope_range=(values["lower"], values["upper"]))


@pytest.mark.parametrize("case", MAXOUT)
def test_maxout(case):
    values = MAXOUT[case]
    outputs = convert_to_numpy(Maxout(values["num_units"], axis=values["axis"])(values["inputs"]))
    np.testing.assert_allclose(outputs, values["outputs"], **CLOSE)


WRAPPED = {
    "dense": lambda: keras.layers.Dense(5),
    "dense_relu_no_bias": lambda: keras.layers.Dense(4, activation="relu", use_bias=False),
    "conv": lambda: keras.layers.Conv2D(4, 3, padding="same"),
    "conv_strides": lambda: keras.layers.Conv2D(3, (2, 3), strides=2, activation="tanh"),
}


def weight_normalization(name, values, bias):
    """Ours around a layer that has the recorded kernel and bias already."""
    layer = WRAPPED[name]()
    layer.build(values["inputs"].shape)
    layer.set_weights([values["kernel"], *([values[bias]] if layer.use_bias else [])])
    wrapped = WeightNormalization(layer)
    wrapped.build(values["inputs"].shape)
    return wrapped


@pytest.mark.parametrize("start", ["norm", "data"])
@pytest.mark.parametrize("name", WRAPPED)
def test_weight_normalization_with_a_given_length(name, start):
    values = NORMALIZED[f"{name}_{start}"]
    layer = weight_normalization(name, values, "initialized_bias")
    layer.g.assign(values["g"])
    np.testing.assert_allclose(convert_to_numpy(layer(values["inputs"])), values["outputs"], **CLOSE)


@pytest.mark.parametrize("name", WRAPPED)
def test_weight_normalization_starts_from_the_kernels_length(name):
    values = NORMALIZED[f"{name}_norm"]
    layer = weight_normalization(name, values, "bias_before")
    np.testing.assert_allclose(convert_to_numpy(layer.g), values["initialized_g"], **CLOSE)
    np.testing.assert_allclose(convert_to_numpy(layer(values["inputs"])), values["first_outputs"], **CLOSE)


@pytest.mark.parametrize("name", WRAPPED)
def test_weight_normalization_started_from_data(name):
    # The paper's t is v x / ||v||. tensorflow-addons measures v x, so that its g lacks a factor ||v||, and what comes
    # out has deviation 1 / ||v||, not 1. The bias, a quotient, is the same.
    values = NORMALIZED[f"{name}_data"]
    norms = np.linalg.norm(values["kernel"].reshape(-1, values["kernel"].shape[-1]).astype("float64"), axis=0)
    layer = weight_normalization(name, values, "bias_before")
    layer.initialize(values["inputs"])
    np.testing.assert_allclose(convert_to_numpy(layer.g), values["initialized_g"] * norms, **CLOSE)
    if layer.layer.use_bias:
        np.testing.assert_allclose(convert_to_numpy(layer.layer.bias), values["initialized_bias"], **CLOSE)
    if name in ("dense", "conv"):  # no activation: the outputs show it
        axes = tuple(range(values["inputs"].ndim - 1))
        np.testing.assert_allclose(values["first_outputs"].std(axis=axes), 1 / norms, **CLOSE)
        np.testing.assert_allclose(convert_to_numpy(layer(values["inputs"])).std(axis=axes), 1, **CLOSE)


@pytest.mark.parametrize("case", DEPTH)
def test_stochastic_depth_in_inference(case):
    values = DEPTH[case]  # tensorflow-addons takes [shortcut, residual] and the rate of survival
    layer = StochasticDepth(1 - values["survival_probability"], scale="inference")
    outputs = values["shortcut"] + convert_to_numpy(layer(values["residual"]))
    np.testing.assert_allclose(outputs, values["inference"], **CLOSE)


@pytest.mark.parametrize("case", DEPTH)
def test_stochastic_depth_in_training(case):
    # tensorflow-addons draws once per batch, as the paper; ours once per sample. The distribution of one draw agrees.
    values, ours = DEPTH[case], 20_000
    rate = values["survival_probability"]
    layer = StochasticDepth(1 - rate, scale="inference", seed=0)
    kept = convert_to_numpy(layer(np.ones((ours, 2), "float32"), training=True))
    assert set(np.unique(kept)) <= {0, 1}
    np.testing.assert_array_equal(kept[:, 0], kept[:, 1])
    bound = 5 * np.sqrt(rate * (1 - rate) * (1 / ours + 1 / values["training_draws"]))
    assert abs(kept.mean(dtype="float64") - values["training_mean"]) <= bound
    assert values["training_spread_within_batch"] == 0
    assert np.ptp(kept[:, 0]) == (rate < 1)


@pytest.mark.parametrize("case", CYCLICAL)
def test_cyclical_rates(case):
    values = CYCLICAL[case]
    peak, kind = values["maximal_learning_rate"], case.partition("_")[0]
    made = {"triangular": Triangular, "triangular2": Triangular2, "exponential": ExponentialCyclical}[kind]
    more = {} if made is Triangular else {"scale_mode": values["scale_mode"]}
    more |= {"gamma": values["gamma"]} if made is ExponentialCyclical else {}
    schedule = made(peak, values["step_size"], values["initial_learning_rate"] / peak, **more)
    np.testing.assert_allclose([float(schedule(step)) for step in values["steps"]], values["rates"], **CLOSE)
