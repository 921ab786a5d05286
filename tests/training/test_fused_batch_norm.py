"""The fused kernel gives what Keras's layer gives: outputs, gradients and moving statistics."""

import keras
import numpy as np
import pytest

from kerastricks.training.fused_batch_norm import fused_batch_norm


def network(**options):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 5, 4))
    x = keras.layers.Conv2D(7, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3, name="norm", **options)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


def train(model, fused, steps=5):
    images = np.random.default_rng(0).normal(1, 2, (8, 6, 5, 4)).astype("float32")
    labels = np.arange(8) % 3
    model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False)
    if not fused:
        return [model.train_on_batch(images, labels) for _ in range(steps)], model.predict_on_batch(images)
    with fused_batch_norm(model):
        return [model.train_on_batch(images, labels) for _ in range(steps)], model.predict_on_batch(images)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"trainable": False}])
def test_training_and_inference_equal_keras(options):
    plain, fused = network(**options), network(**options)
    (losses, outputs), (fused_losses, fused_outputs) = train(plain, False), train(fused, True)
    np.testing.assert_allclose(fused_losses, losses, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fused_outputs, outputs, rtol=1e-4, atol=1e-5)
    for a, b in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=1e-4, atol=1e-5, err_msg=a.path
        )


@pytest.mark.tensorflow_only
def test_a_tanh_may_follow():
    # TensorFlow fuses the three on a CPU and then has no kernel for it.
    inputs = keras.Input((6, 5, 4))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(7, 3, use_bias=False)(inputs))
    model = keras.Model(inputs, keras.layers.Activation("tanh")(x))
    images = np.random.default_rng(0).normal(size=(8, 6, 5, 4)).astype("float32")
    expected = np.asarray(model(images))
    with fused_batch_norm(model):
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_the_layer_is_lent_and_given_back():
    model = network()
    layer = model.get_layer("norm")
    with fused_batch_norm(model):
        assert "call" in vars(layer)
    assert "call" not in vars(layer)
    assert type(layer) is keras.layers.BatchNormalization


@pytest.mark.tensorflow_only
def test_what_the_kernel_does_not_have_is_left_alone():
    inputs = keras.Input((6, 5, 4))
    model = keras.Model(inputs, keras.layers.BatchNormalization(axis=1, name="norm")(inputs))
    with fused_batch_norm(model):
        assert "call" not in vars(model.get_layer("norm"))
