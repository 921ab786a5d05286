"""Which weights weight decay leaves alone."""

import keras
import numpy as np
import pytest

from kerastricks.regularizers import undecayed

layers = keras.layers


def network():
    """Nested models, a shared layer, and each kind of weight."""
    inner_inputs = keras.Input((8, 8, 4))
    x = layers.SeparableConv2D(4, 3, padding="same")(inner_inputs)
    x = layers.GroupNormalization(2)(x)
    inner = keras.Model(inner_inputs, layers.LayerNormalization(axis=[1, 2, 3])(x), name="inner")
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.PReLU(shared_axes=[1])(x)
    x = inner(x)
    x = inner(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Conv2DTranspose(4, 3, padding="same")(x)
    x = layers.RMSNormalization()(x)
    x = shared(shared(x))
    x = layers.Reshape((64, 4))(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.GRU(3)(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_kernels_alone_are_decayed():
    model = network()
    found = undecayed(model)
    assert len({id(weight) for weight in found}) == len(found)
    left_alone = {id(weight) for weight in found}
    decayed = [weight for weight in model.trainable_variables if id(weight) not in left_alone]
    # separable 2, convolution, depthwise, transposed, shared, attention 4, GRU 2, head
    assert len(decayed) == 2 + 3 + 1 + 4 + 2 + 1
    assert all(weight.name.endswith("kernel") for weight in decayed)
    assert {weight.name for weight in found} == {"alpha", "beta", "bias", "gamma", "scale"}


def test_a_step_with_decay_moves_the_others_alone():
    model = network()
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=undecayed(model))
    left_alone = {id(weight) for weight in undecayed(model)}
    for weight in model.trainable_variables:
        weight.assign(np.ones(weight.shape))
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in model.trainable_variables])
    for weight in model.trainable_variables:
        expected = 1.0 if id(weight) in left_alone else 1 - 0.1 * 0.5
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-6, err_msg=weight.path)


@pytest.mark.tensorflow_only
def test_frozen_layers_are_listed_and_embeddings_are_not():
    model = keras.Sequential([keras.Input((3,)), layers.Embedding(5, 4), layers.Dense(2)])
    model.layers[-1].trainable = False
    assert [weight.path for weight in undecayed(model)] == [model.layers[-1].bias.path]


@pytest.mark.tensorflow_only
def test_a_subclassed_models_own_weights_count():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.temperature = self.add_weight(shape=(), name="temperature")

        def call(self, inputs):
            return self.dense(inputs) * self.temperature

    model = Own()
    with pytest.raises(ValueError, match="built"):
        undecayed(model)
    model(np.ones((1, 3)))
    assert {id(weight) for weight in undecayed(model)} == {id(model.temperature), id(model.dense.bias)}
