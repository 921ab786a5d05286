"""Batch normalisations in the convolutions before them: the same function, fewer layers."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastricks.models import create
from kerastricks.serving import fold_batch_norm

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 255, (4, 12, 12, 3)).astype("float32")


def with_statistics(model):
    """As if trained: no factor is 1, no mean 0."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for variable, (low, high) in {"gamma": (0.5, 2), "beta": (-1, 1)}.items():
                if getattr(layer, variable) is not None:
                    getattr(layer, variable).assign(GENERATOR.uniform(low, high, layer.moving_mean.shape))
            layer.moving_mean.assign(GENERATOR.normal(size=layer.moving_mean.shape))
            layer.moving_variance.assign(GENERATOR.uniform(0.2, 3, layer.moving_mean.shape))
    return model


def outputs(model, images=IMAGES):
    return keras.ops.convert_to_numpy(model(images, training=False))


def normalisations(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model._flatten_layers())


def check(model, left, images=IMAGES):
    """Folds, compares, and says that the model itself is as it was."""
    with_statistics(model)
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.weights]
    expected = outputs(model, images)
    folded = fold_batch_norm(model)
    assert normalisations(folded) == left
    np.testing.assert_allclose(outputs(folded, images), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))
    return folded


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 3, use_bias=False),
        layers.Conv2D(6, 3, strides=2, padding="same", groups=3),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.Dense(7),
    ],
    ids=["convolution", "groups", "depthwise", "dense"],
)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}], ids=str)
def test_each_kind_of_layer(layer, options):
    layer = type(layer).from_config(layer.get_config())
    model = keras.Sequential([keras.Input((12, 12, 3)), layer, layers.BatchNormalization(**options), layers.ReLU()])
    check(model, 0)


@pytest.mark.parametrize(("spec", "left"), [("resnet_20(width=4)", 0), ("plain_cnn(widths=(4, 8))", 2)])
def test_networks_of_the_zoo(spec, left):
    model = create(spec, (12, 12, 3), 3, mean=127.5, std=60.0)
    folded = check(model, left)
    assert len(folded.layers) < len(model.layers)
    assert folded.count_params() < model.count_params()


def test_models_inside_are_folded():
    inner = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner")
    pixels = keras.Input((12, 12, 3))
    model = keras.Model(pixels, layers.GlobalAveragePooling2D()(layers.ReLU()(inner(pixels / 255))))
    check(model, 0)


def conv_used_twice():
    pixels = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3)(pixels)
    return keras.Model(pixels, layers.Add()([x, layers.BatchNormalization()(x)]))


def conv_is_an_output():
    pixels = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3)(pixels)
    return keras.Model(pixels, layers.Concatenate()([layers.BatchNormalization()(x), x]))


def shared_convolution():
    pixels = keras.Input((12, 12, 3))
    convolution = layers.Conv2D(4, 3)
    first, second = convolution(pixels), convolution(pixels * 2)
    return keras.Model(pixels, layers.Add()([layers.BatchNormalization()(first), second]))


def shared_normalisation():
    pixels = keras.Input((12, 12, 3))
    normalisation = layers.BatchNormalization()
    first, second = layers.Conv2D(4, 3)(pixels), layers.Conv2D(4, 3)(pixels)
    return keras.Model(pixels, layers.Add()([normalisation(first), normalisation(second)]))


def sequential(*inner):
    return keras.Sequential([keras.Input((12, 12, 3)), *inner])


@pytest.mark.parametrize(
    "make",
    [
        conv_used_twice,
        conv_is_an_output,
        shared_convolution,
        shared_normalisation,
        lambda: sequential(layers.Conv2D(4, 3, activation="tanh"), layers.BatchNormalization()),
        lambda: sequential(layers.Conv2D(10, 3), layers.BatchNormalization(axis=1)),
        lambda: sequential(layers.BatchNormalization(), layers.Conv2D(4, 3)),
    ],
    ids=["used twice", "is read", "shared", "shared normalisation", "activation", "other axis", "before"],
)
def test_what_cannot_be_folded_stays(make):
    model = make()
    assert fold_batch_norm(model).count_params() == model.count_params()
    check(model, 1)


def test_batch_statistics_stay():
    pixels = keras.Input((12, 12, 3))
    model = keras.Model(pixels, layers.BatchNormalization()(layers.Conv2D(4, 3)(pixels), training=True))
    assert normalisations(fold_batch_norm(model)) == 1


def test_only_what_can_be_is_folded():
    model = sequential(
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
    )
    check(model, 1)


def test_folding_twice_and_a_model_of_ones_own():
    model = with_statistics(sequential(layers.Conv2D(4, 3), layers.BatchNormalization()))
    once = fold_batch_norm(model)
    assert fold_batch_norm(once) is once

    class Own(keras.Model):
        def call(self, x):
            return x

    own = Own()
    assert fold_batch_norm(own) is own
    again = fold_batch_norm(model)
    np.testing.assert_array_equal(outputs(once), outputs(again))


def test_an_adapted_normalisation_keeps_what_it_has_seen():
    """Its constants are no weights: a copy of these alone has mean 0 and variance 1."""
    normalisation = layers.Normalization()
    normalisation.adapt(IMAGES)
    inner = keras.Sequential([keras.Input((12, 12, 3)), normalisation, layers.Conv2D(4, 3)])
    model = keras.Sequential([keras.Input((12, 12, 3)), inner, layers.Conv2D(4, 3), layers.BatchNormalization()])
    check(model, left=0)
    flat = [keras.Input((12, 12, 3)), *inner.layers, layers.BatchNormalization()]
    check(keras.Sequential(flat), left=0)
