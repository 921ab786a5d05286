"""Multiply-adds, counted by hand."""

import keras
import pytest

from kerastricks.models.summary import count_flops

pytestmark = pytest.mark.tensorflow_only

layers = keras.layers


def model_of(*stack, shape=(8, 6, 4)):
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(5, 3, padding="same"), 8 * 6 * 9 * 4 * 5),
        (layers.Conv2D(5, (3, 2), strides=2), 3 * 3 * 6 * 4 * 5),
        (layers.Conv2D(6, 3, groups=2, padding="same"), 8 * 6 * 9 * 2 * 6),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 4 * 9 * 4 * 2),
        (layers.SeparableConv2D(5, 3, padding="same"), 8 * 6 * (9 * 4 + 4 * 5)),
        (layers.Conv2DTranspose(5, 3, strides=2, padding="same"), 8 * 6 * 9 * 4 * 5),
        (layers.Dense(7), 8 * 6 * 4 * 7),
        (layers.BatchNormalization(), 0),
        (layers.MaxPooling2D(), 0),
    ],
)
def test_a_layer(layer, expected):
    assert count_flops(model_of(layer)) == expected


def test_dense_behind_flatten():
    assert count_flops(model_of(layers.Flatten(), layers.Dense(7), layers.Dense(3))) == 8 * 6 * 4 * 7 + 7 * 3


def test_models_inside_models_count_for_the_size_they_are_called_with():
    inner = keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(4, 3, padding="same")])
    inputs = keras.Input((8, 6, 4))
    x = inner(inputs)
    x = inner(layers.MaxPooling2D(2)(x))  # the same weights again, on a quarter of the pixels
    assert count_flops(keras.Model(inputs, x)) == (8 * 6 + 4 * 3) * 9 * 4 * 4


def test_what_is_called_outside_of_the_model_is_not_counted():
    inputs = keras.Input((8, 6, 4))
    conv = layers.Conv2D(4, 1)
    model = keras.Model(inputs, conv(inputs))
    conv(model.output)
    assert count_flops(model) == 8 * 6 * 4 * 4


def test_open_sizes_and_other_models_are_refused():
    with pytest.raises(ValueError, match=r"for one image size. Received: layer 'conv'"):
        count_flops(model_of(layers.Conv2D(4, 3, name="conv"), shape=(None, None, 3)))

    class Own(keras.Model):
        pass

    with pytest.raises(ValueError, match=r"functional, or Sequential and built. Received: Own"):
        count_flops(Own())
    with pytest.raises(ValueError, match="Received: Sequential"):
        count_flops(keras.Sequential([layers.Dense(3)]))
