"""ChannelBias: the bias of a convolution as a layer of its own."""

import keras
import numpy as np
import pytest

from kerastricks.layers import ChannelBias
from kerastricks.regularizers import undecayed


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (2, 5)])
def test_adds_one_number_to_each_channel(shape):
    layer = ChannelBias()
    layer.build(shape)
    bias = np.arange(5, dtype="float32")
    layer.bias.assign(bias)
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(inputs)), inputs + bias, atol=1e-6)


@pytest.mark.tensorflow_only
def test_starts_as_nothing_trains_and_is_not_decayed():
    model = keras.Sequential([keras.Input((4, 4, 3)), ChannelBias(name="bias")])
    assert [weight.name for weight in model.trainable_weights] == ["bias"]
    np.testing.assert_array_equal(model.get_weights()[0], np.zeros(3))
    assert [id(weight) for weight in undecayed(model)] == [id(model.layers[0].bias)]


@pytest.mark.tensorflow_only
def test_needs_to_know_the_channels():
    with pytest.raises(ValueError, match="known number of channels"):
        ChannelBias().build((None, 4, 4, None))
