"""PCAWhitening against NumPy in float64."""

import keras
import numpy as np
import pytest

from kerastricks.augment.colours import eigenpairs
from kerastricks.layers import PCAWhitening


def correlated(count=300, shape=(3, 4, 2), seed=0, dtype="float32"):
    """Images whose components have clearly different variances, 1 to about 30."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    rotation, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(size, size)))
    rows = generator.normal(size=(count, size)) * np.geomspace(1, 5.5, size) @ rotation
    return (rows * 4 + 100).reshape(count, *shape).astype(dtype)


def reference(train, new, epsilon, components=None):
    rows = train.reshape(len(train), -1).astype("float64")
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    out = np.empty((len(new), len(mean)))
    for k in range(len(mean)):
        vector = vectors[:, -1 - k]
        vector = vector * np.sign(vector[np.argmax(np.abs(vector))])
        out[:, k] = (new.reshape(len(new), -1) - mean) @ vector / np.sqrt(values[-1 - k] + epsilon)
    return out[:, :components]


def result(layer, images):
    return keras.ops.convert_to_numpy(layer(images)).astype("float64")


@pytest.mark.parametrize(("epsilon", "components"), [(1e-5, None), (3.0, None), (1e-5, 5)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_new_images_are_whitened_by_the_training_images(epsilon, components, dtype):
    train, new = correlated(dtype=dtype), correlated(7, seed=1, dtype=dtype)
    layer = PCAWhitening(epsilon, components)
    layer.adapt(train)
    expected = reference(train, new, epsilon, components)
    assert expected.shape == tuple(layer.compute_output_shape(new.shape))
    np.testing.assert_allclose(result(layer, new), expected, atol=1e-5 * np.abs(expected).max())
    assert not layer.trainable_weights


def test_the_training_images_come_out_white():
    train = correlated()
    layer = PCAWhitening()
    layer.adapt(train)
    white = result(layer, train)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(24), atol=1e-5)


def test_a_large_mean_beside_a_small_variance():
    # Multiples of 1/16 at 10^6 are exact in float32.
    train = (1e6 + np.round(np.random.default_rng(0).normal(size=(500, 2, 2, 1)) * 16) / 16).astype("float32")
    layer = PCAWhitening()
    layer.adapt(train)
    np.testing.assert_allclose(np.cov(result(layer, train), rowvar=False, bias=True), np.eye(4), atol=5e-5)


def test_half_precision_keeps_the_arithmetic_in_float32():
    train = correlated()
    layer = PCAWhitening(dtype="bfloat16")
    layer.adapt(train)
    out = keras.ops.convert_to_numpy(keras.ops.cast(layer(train), "float32"))
    np.testing.assert_allclose(out, reference(train, train, 1e-5), rtol=2**-8, atol=1e-4)


def test_fewer_images_than_dimensions_do_for_few_components():
    train = correlated(20)
    with pytest.raises(ValueError, match=r"data must have more images than dimensions, 24.*Received: 20 images"):
        PCAWhitening().adapt(train)
    layer = PCAWhitening(components=5)
    layer.adapt(train)
    np.testing.assert_allclose(np.cov(result(layer, train), rowvar=False, bias=True), np.eye(5), atol=1e-5)


@pytest.mark.tensorflow_only
def test_the_sign_is_that_of_the_first_of_the_largest_entries():
    angle = np.array([[1.0, -1.0], [-1.0, 1.0]]) / 2  # (1, -1) / sqrt 2: both as large up to rounding
    for rounding in (-1e-12, 0, 1e-12):
        values, vectors = eigenpairs(angle + np.diag([rounding, 0]))
        np.testing.assert_allclose(values, [1, 0], atol=1e-9)
        np.testing.assert_allclose(vectors, np.array([[1, 1], [-1, 1]]) / np.sqrt(2), atol=1e-9)
    assert values.min() >= 0


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [({"epsilon": 0}, "epsilon"), ({"components": 0}, "components"), ({"components": 2.5}, "components")],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        PCAWhitening(**arguments)


def test_a_whole_number_of_components_is_an_integer():
    layer = PCAWhitening(components=5.0)
    layer.adapt(correlated())
    assert tuple(layer(correlated(7)).shape) == (7, 5)


@pytest.mark.tensorflow_only
def test_more_components_than_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"components must be at most the 24 values.*Received: components=25"):
        PCAWhitening(components=25).adapt(correlated())
