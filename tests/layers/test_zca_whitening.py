"""ZCAWhitening against NumPy in float64."""

import keras
import numpy as np
import pytest

from kerastricks.layers import PCAWhitening, ZCAWhitening


def correlated(count=300, shape=(3, 4, 2), seed=0, dtype="float32"):
    """Images whose components have variances of 16 to about 500."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    rotation, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(size, size)))
    rows = generator.normal(size=(count, size)) * np.geomspace(1, 5.5, size) @ rotation
    return (rows * 4 + 100).reshape(count, *shape).astype(dtype)


def inverse_square_root(matrix):
    """By Denman and Beavers' iteration, without eigenvectors."""
    root, inverse = matrix, np.eye(len(matrix))
    for _ in range(60):
        root, inverse = (root + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(root)) / 2
    return inverse


def covariance(images):
    return np.cov(images.reshape(len(images), -1).astype("float64"), rowvar=False, bias=True)


def result(layer, images):
    return keras.ops.convert_to_numpy(layer(images)).astype("float64")


@pytest.mark.parametrize("epsilon", [1e-5, 30.0])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_new_images_are_multiplied_by_the_inverse_square_root_of_the_covariance(epsilon, dtype):
    train, new = correlated(dtype=dtype), correlated(7, seed=1, dtype=dtype)
    layer = ZCAWhitening(epsilon)
    layer.adapt(train)
    rows = new.reshape(7, -1) - train.reshape(300, -1).mean(axis=0, dtype="float64")
    expected = (rows @ inverse_square_root(covariance(train) + epsilon * np.eye(24))).reshape(new.shape)
    np.testing.assert_allclose(result(layer, new), expected, atol=1e-5 * np.abs(expected).max())
    assert not layer.trainable_weights


def test_the_training_images_come_out_white_and_as_near_as_white_can_be():
    train = correlated()
    zca, pca = ZCAWhitening(), PCAWhitening()
    zca.adapt(train)
    pca.adapt(train)
    white = result(zca, train).reshape(300, -1)
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(24), atol=1e-5)
    matrix = keras.ops.convert_to_numpy(zca.whitening).astype("float64")
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)  # the symmetric one, which is the nearest
    np.testing.assert_allclose(matrix @ covariance(train) @ matrix, np.eye(24), atol=1e-5)
    rows = train.reshape(300, -1) - train.reshape(300, -1).mean(axis=0)
    distance = np.square(white - rows).sum()
    assert distance < np.square(result(pca, train) - rows).sum()
    for seed in range(20):  # turned by any small angle it is farther away
        turn = np.random.default_rng(seed).normal(size=(24, 24)) * 0.05
        rotation, _ = np.linalg.qr(np.eye(24) + turn - turn.T)
        rotation *= np.sign(np.diag(rotation))
        assert distance < np.square(white @ rotation - rows).sum()


def test_images_of_zero_variance_come_out_finite_and_zero():
    train = correlated()
    train[:, 0] = 50.0  # a border that never changes
    layer = ZCAWhitening()
    layer.adapt(train)
    white = result(layer, train)
    np.testing.assert_allclose(white[:, 0], 0, atol=1e-4)
    np.testing.assert_allclose(np.diag(covariance(white[:, 1:])), 1, atol=1e-4)


def test_half_precision_keeps_the_arithmetic_in_float32():
    train = correlated()
    outs = []
    for policy in ("float32", "bfloat16"):
        layer = ZCAWhitening(dtype=policy)
        layer.adapt(train)
        outs.append(keras.ops.convert_to_numpy(keras.ops.cast(layer(train), "float32")))
    np.testing.assert_allclose(outs[1], outs[0], rtol=2**-8, atol=1e-4)


@pytest.mark.tensorflow_only
def test_no_more_images_than_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"data must have more images than dimensions, 24.*Received: 24 images"):
        ZCAWhitening().adapt(correlated(24))


@pytest.mark.tensorflow_only
def test_images_whose_covariance_does_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"at most 16384 values per image.*Received: shape \(1, 224, 224, 3\)"):
        ZCAWhitening().adapt(np.zeros((1, 224, 224, 3), "uint8"))


def test_epsilon_must_be_positive():
    with pytest.raises(ValueError, match=r"epsilon.*Received"):
        ZCAWhitening(0.0)
