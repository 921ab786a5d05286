"""Grad-CAM against its definition, and on networks whose evidence is known."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.checks import grad_cam
from kerastricks.errors import UsageError
from kerastricks.models import create

layers = keras.layers


def by_definition(maps, kernel, classes):
    """After an average over places and a linear layer, the gradient is the kernel's column over the places."""
    found = np.maximum((maps * kernel.T[classes][:, None, None]).sum(axis=3), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return found / np.where(largest > 0, largest, 1)


def network(end, inside=False):
    """A convolution, an average and a linear layer, with a softmax of its own, after it or inside."""
    inputs = keras.Input((8, 8, 3))
    body = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(5, 3, activation="tanh", name="last")])
    x = body(inputs) if inside else body.layers[0](inputs)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(4, activation="softmax" if end == "inside" else None, name="head")(x)
    x = layers.Softmax()(x) if end == "after" else x
    return keras.Model(inputs, x), body


@pytest.mark.parametrize(
    ("end", "inside"), [("after", False), tensorflow_case("inside", False), tensorflow_case("logits", True)]
)
def test_it_is_the_papers(end, inside):
    model, body = network(end, inside)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")
    before = [np.array(weight) for weight in model.get_weights()]
    classes = np.array([0, 1, 2, 3, 1])
    found = grad_cam(model, images, classes, batch_size=3)
    maps = keras.ops.convert_to_numpy(body(images))
    wanted = by_definition(maps, model.get_layer("head").get_weights()[0], classes)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert found.shape == (5, 6, 6)
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("rescaling", [{"scale": 0.1}, {"scale": 0.1, "offset": -0.5}])
def test_a_model_whose_pooling_is_inside_is_opened(rescaling):
    inner = [layers.Conv2D(5, 3, activation="tanh"), layers.GlobalMaxPooling2D()]
    first, last = layers.Rescaling(**rescaling), layers.Dense(4, "softmax")
    nested = keras.Sequential([keras.Input((8, 8, 3)), first, keras.Sequential([keras.Input((8, 8, 3)), *inner]), last])
    flat = keras.Sequential([keras.Input((8, 8, 3)), first, *inner, last])
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    found = grad_cam(nested, images, [0, 3])
    assert found.shape == (2, 6, 6)
    assert found.max() == 1
    np.testing.assert_allclose(found, grad_cam(flat, images, [0, 3]), atol=1e-5)


@pytest.mark.tensorflow_only
def test_evidence_is_where_the_bright_square_is():
    """A network that counts bright pixels explains the bright class by the square."""
    inputs = keras.Input((8, 8, 1))
    conv = layers.Conv2D(1, 1, activation="relu")
    x = layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(conv(inputs)))
    model = keras.Model(inputs, layers.Softmax()(x))
    conv.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    model.get_layer("head").set_weights([np.array([[-1.0, 1.0]]), np.zeros(2)])
    image = np.zeros((1, 8, 8, 1))
    image[0, 2:4, 5:7] = 1
    assert (grad_cam(model, image, [1])[0] == image[0, ..., 0]).all()
    assert not grad_cam(model, image, [0]).any()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["plain_cnn(widths=(4, 4))", "resnet_20(width=2)"])
def test_networks_of_the_zoo_have_maps(name):
    model = create(name, (16, 16, 3), 3)
    before = [np.array(weight) for weight in model.get_weights()]
    found = grad_cam(model, np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)), [0, 2])
    assert found.shape[1:] == (4, 4)
    assert found.max() <= 1
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.tensorflow_only
def test_the_map_before_a_dense_layer_is_taken():
    """A map that is reshaped from a vector is passed over."""
    stack = [layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(32), layers.Reshape((4, 4, 2))]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.GlobalAveragePooling2D(), layers.Dense(2)])
    assert grad_cam(model, np.ones((2, 8, 8, 3)), [0, 1]).shape == (2, 6, 6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("shape", [(64,), (16, 4)])
def test_an_image_in_a_row_has_places(shape):
    stack = [layers.Reshape((8, 8, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    model = keras.Sequential([keras.Input(shape), *stack])
    assert grad_cam(model, np.ones((2, *shape)), [0, 1]).shape == (2, 6, 6)


@pytest.mark.tensorflow_only
def test_models_without_a_map_are_refused():
    images = np.zeros((2, 8, 8, 3))
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    inputs = keras.Input((8, 8, 3))
    outputs = [layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(inputs)) for _ in range(2)]
    two = keras.Model(inputs, layers.Softmax()(layers.Add()(outputs)))
    for model in (dense, two):
        with pytest.raises(UsageError, match="has no feature map"):
            grad_cam(model, images, [0, 1])
    with pytest.raises(UsageError, match="labels must be in 0-1"):
        grad_cam(dense, images, [0, 2])


@pytest.mark.tensorflow_only
def test_places_that_a_dense_layer_makes_are_refused():
    def stack(*inside):
        return keras.Sequential([keras.Input((8, 8, 3)), *inside, layers.GlobalAveragePooling2D(), layers.Dense(2)])

    def made():
        return [layers.Flatten(), layers.Dense(32), layers.Reshape((4, 4, 2))]

    convolution = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 2)])
    for model in (
        stack(*made()),
        stack(*made(), layers.Conv2D(3, 2)),
        stack(*made(), convolution),
        stack(keras.Sequential([keras.Input((8, 8, 3)), *made()]), layers.Conv2D(3, 2)),
    ):
        with pytest.raises(UsageError, match="has no feature map"):
            grad_cam(model, np.zeros((2, 8, 8, 3)), [0, 1])
