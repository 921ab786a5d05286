"""The random initializers by their distribution: variances from the papers, bounds from the sample size."""

import keras
import numpy as np
import pytest

from kerastricks.initializers import (
    DeltaOrthogonal,
    FanIn,
    HeNormal,
    HeUniform,
    SmallNormal,
    SmallUniform,
    XavierNormal,
    XavierUniform,
    fans,
)

CONV, DENSE = (3, 3, 50, 60), (200, 150)


def values(initializer, shape):
    return keras.ops.convert_to_numpy(initializer(shape)).astype("float64").ravel()


def fourth_moment(normal):
    return 3.0 if normal else 9 / 5  # of a distribution of variance 1


@pytest.mark.parametrize(
    ("initializer", "shape", "variance", "normal"),
    [
        (SmallNormal(seed=1), CONV, 1e-3**2, True),
        (SmallNormal(0.01, seed=1), DENSE, 0.01**2, True),
        (SmallUniform(seed=1), CONV, 1e-3**2 / 3, False),
        (SmallUniform(1.0, seed=1), DENSE, 1 / 3, False),
        (FanIn(seed=1), CONV, 1 / (3 * 3 * 50), True),
        (FanIn("uniform", seed=1), DENSE, 1 / 200, False),
        (XavierNormal(seed=1), CONV, 2 / (9 * 50 + 9 * 60), True),
        (XavierUniform(seed=1), CONV, 2 / (9 * 50 + 9 * 60), False),
        (XavierUniform(seed=1), DENSE, 2 / 350, False),
        (HeNormal(seed=1), CONV, 2 / (9 * 50), True),
        (HeNormal(0.25, seed=1), DENSE, 2 / ((1 + 0.0625) * 200), True),
        (HeUniform(seed=1), DENSE, 2 / 200, False),
        (HeUniform(1.0, seed=1), CONV, 1 / (9 * 50), False),
        (HeNormal(depthwise=True, seed=1), (5, 5, 400, 3), 2 / 25, True),
        (XavierNormal(depthwise=True, seed=1), (5, 5, 400, 3), 2 / (25 + 75), True),
        (FanIn("uniform", True, seed=1), (3, 3, 800, 4), 1 / 9, False),
    ],
)
def test_distribution(initializer, shape, variance, normal):
    drawn = values(initializer, shape) / np.sqrt(variance)
    n = drawn.size
    assert abs(drawn.mean()) < 5 / np.sqrt(n)
    assert abs(drawn.var() - 1) < 5 * np.sqrt((fourth_moment(normal) - 1) / n)
    if normal:
        # Untruncated: 4.55 % lie beyond two standard deviations, and some beyond three.
        assert abs((np.abs(drawn) > 2).mean() - 0.0455) < 5 * np.sqrt(0.0455 * 0.9545 / n)
        assert np.abs(drawn).max() > 3
    else:
        assert np.sqrt(3) * (1 - 20 / n) < np.abs(drawn).max() <= np.sqrt(3) * (1 + 1e-6)


@pytest.mark.tensorflow_only
def test_fans_of_kernels():
    assert fans((20, 30)) == (20, 30)
    assert fans((5, 3, 20, 30)) == (300, 450)
    assert fans((3, 3, 3, 20, 30)) == (540, 810)
    assert fans((3, 3, 64, 2), depthwise=True) == (9, 18)
    assert fans((5, 64, 1), depthwise=True) == (5, 5)


@pytest.mark.parametrize(("shape", "depthwise"), [((), False), ((4,), False), ((3, 4), True), ((0, 4), False)])
@pytest.mark.tensorflow_only
def test_fans_of_something_else_are_refused(shape, depthwise):
    with pytest.raises(ValueError, match=r"shape must be a .*kernel's.*Received"):
        fans(shape, depthwise)


def test_a_depthwise_layer_keeps_the_second_moment_behind_relu():
    images = np.random.default_rng(0).normal(size=(16, 12, 12, 128)).astype("float32")
    layer = keras.layers.DepthwiseConv2D(3, depthwise_initializer=HeNormal(depthwise=True, seed=1))
    out = keras.ops.convert_to_numpy(layer(np.maximum(images, 0)))
    # E[out^2] = n_in * var * E[relu(x)^2] = 9 * 2 / 9 * 1 / 2 = 1; 128 channels of 9 draws each set the spread.
    assert abs(np.square(out).mean() - 1) < 5 * np.sqrt(2 / (128 * 9)) * 3
    std = keras.ops.convert_to_numpy(layer.kernel).std()
    assert abs(std - np.sqrt(2 / 9)) < 5 * np.sqrt(2 / 9) / np.sqrt(2 * 9 * 128)


@pytest.mark.parametrize("make", [SmallNormal, SmallUniform, FanIn, XavierNormal, XavierUniform, HeNormal, HeUniform])
def test_seeds_follow_keras(make):
    first, again = make(seed=3), make(seed=3)
    np.testing.assert_array_equal(values(first, DENSE), values(first, DENSE))
    np.testing.assert_array_equal(values(first, DENSE), values(again, DENSE))
    np.testing.assert_array_equal(values(first, DENSE), values(first.clone(), DENSE))
    assert (values(first, DENSE) != values(make(seed=4), DENSE)).mean() > 0.99
    unseeded = make()
    assert (values(unseeded, DENSE) != values(unseeded.clone(), DENSE)).mean() > 0.99
    generated = make(seed=keras.random.SeedGenerator(3))
    assert (values(generated, DENSE) != values(generated, DENSE)).mean() > 0.99


def test_without_a_seed_set_random_seed_rules():
    drawn = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        drawn.append(values(HeNormal(), DENSE))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.99


def test_a_seed_generator_survives_the_config():
    start = HeNormal(seed=keras.random.SeedGenerator(3))
    again = keras.initializers.deserialize(keras.initializers.serialize(start))
    np.testing.assert_array_equal(values(again, DENSE), values(HeNormal(seed=keras.random.SeedGenerator(3)), DENSE))


@pytest.mark.parametrize(
    ("make", "arguments", "names"),
    [
        (SmallNormal, {"stddev": 0}, "stddev"),
        (SmallNormal, {"stddev": float("nan")}, "stddev"),
        (SmallUniform, {"limit": -1.0}, "limit"),
        (SmallUniform, {"limit": float("inf")}, "limit"),
        (FanIn, {"distribution": "gauss"}, "distribution"),
        (XavierNormal, {"depthwise": 1}, "depthwise"),
        (XavierUniform, {"seed": "one"}, "seed"),
        (HeNormal, {"negative_slope": float("nan")}, "negative_slope"),
        (HeUniform, {"negative_slope": float("inf")}, "negative_slope"),
        (DeltaOrthogonal, {"gain": 0}, "gain"),
    ],
)
@pytest.mark.tensorflow_only
def test_illegal_arguments_are_named(make, arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        make(**arguments)
