"""Maxout against loops written from Goodfellow et al. 2013, section 3."""

import keras
import numpy as np
import pytest

from kerastricks.layers import Maxout


def reference(x, units, axis):
    x = np.moveaxis(x, axis, -1)
    k = x.shape[-1] // units
    result = np.empty((*x.shape[:-1], units))
    for i in range(units):
        for position in np.ndindex(x.shape[:-1]):
            result[(*position, i)] = max(x[position][i + j * units] for j in range(k))
    return np.moveaxis(result, -1, axis)


@pytest.mark.parametrize(
    ("shape", "units", "axis"),
    [((3, 12), 4, -1), ((2, 4, 3, 6), 2, -1), ((2, 6, 4, 3), 3, 1), ((2, 4, 6, 3), 6, -2), ((2, 4, 3, 5), 1, 3)],
)
def test_a_unit_is_the_maximum_of_its_channels(shape, units, axis):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    result = keras.ops.convert_to_numpy(Maxout(units, axis)(x))
    np.testing.assert_array_equal(result, reference(x, units, axis).astype("float32"))


def test_the_gradient_goes_to_the_winner():
    layer = keras.layers.Dense(6, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer, Maxout(2)])
    model.compile(keras.optimizers.SGD(2.0), lambda y, prediction: keras.ops.mean(prediction))
    layer.set_weights([np.array([[1, 3, 2, -5, -6, -4]], "float32")])
    model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
    np.testing.assert_allclose(layer.get_weights()[0], [[1, 2, 1, -5, -6, -4]], atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"units": 0}, (2, 6), "units must be an integer, 1 or more"),
        ({"units": 1.5}, (2, 6), "units must be an integer, 1 or more.*Received: units=1.5"),
        ({"units": 2, "axis": 0}, (2, 6), "axis must be that of the channels"),
        ({"units": 4}, (2, 6), "multiple of units=4.*6 channels"),
        ({"units": 2, "axis": 2}, (2, 6), "axis=2 must be an axis of the input"),
        ({"units": 2, "axis": -2}, (2, 6), "axis=-2 must be an axis of the input"),
    ],
)
def test_illegal_arguments_are_named(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        Maxout(**arguments)(np.zeros(shape, "float32"))
