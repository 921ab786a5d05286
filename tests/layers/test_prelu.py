"""PReLU and LeakyReLU: Keras's own layers with the defaults of their papers."""

import keras
import numpy as np
import pytest

from kerastricks.layers import LeakyReLU, PReLU

X = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")


def test_prelu_starts_at_a_quarter_with_one_slope_per_channel_and_no_decay():
    layer = PReLU(name="mine")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(X)), np.where(X < 0, X / 4, X), rtol=1e-6)
    assert type(layer) is keras.layers.PReLU
    assert layer.name == "mine"
    assert layer.count_params() == 3
    assert layer.losses == []


def test_prelu_of_vectors_has_a_slope_per_unit():
    layer = PReLU(0.1, shared_axes=None)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(X[:, 0, 0])), np.where(X < 0, X / 10, X)[:, 0, 0], 1e-5)
    assert layer.count_params() == 3


def test_prelu_learns_each_channels_slope():
    layer = PReLU()
    model = keras.Sequential([keras.Input(X.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(1.0), lambda y, prediction: keras.ops.mean(prediction))
    model.train_on_batch(X, X)
    gradient = 0.25 - keras.ops.convert_to_numpy(layer.alpha).ravel()
    # He et al., equation 11: df/da is 0 for y > 0 and y for y <= 0, summed over the channel.
    np.testing.assert_allclose(gradient, np.minimum(X, 0).sum(axis=(0, 1, 2)) / X.size, rtol=1e-4)


def test_leaky_relu_is_keras_layer_with_the_papers_slope():
    layer = LeakyReLU(name="mine")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(X)), np.where(X < 0, 0.01 * X, X), rtol=1e-5)
    assert type(layer) is keras.layers.LeakyReLU
    assert layer.name == "mine"
    very_leaky = keras.ops.convert_to_numpy(LeakyReLU(1 / 5.5)(X))
    np.testing.assert_allclose(very_leaky, np.where(X < 0, X / 5.5, X), rtol=1e-5)


@pytest.mark.tensorflow_only
def test_illegal_arguments_are_named():
    with pytest.raises(ValueError, match=r"initial_slope.*Received: alpha_initializer='zeros'"):
        PReLU(alpha_initializer="zeros")
    for slope in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=r"negative_slope must be 0 or more.*Received"):
            LeakyReLU(slope)
