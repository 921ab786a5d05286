"""PatchWhitening against its definition: outputs are uncorrelated and of variance 1."""

import keras
import numpy as np
import pytest

from kerastricks.errors import UsageError
from kerastricks.initializers import PatchWhitening, start_from_data, whiten_patches
from kerastricks.models import create


def correlated_images(channels=3):
    """Neighbouring pixels and channels that go together, as in photographs."""
    noise = np.random.default_rng(0).normal(size=(64, 17, 17, channels))
    smooth = noise[:, 1:, 1:] + noise[:, :-1, :-1] + noise[:, 1:, :-1] + noise[:, :-1, 1:]
    return (smooth + smooth.mean(axis=-1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_whitens_the_patches(channels):
    images = correlated_images(channels)
    size = 4 * channels
    kernel = PatchWhitening.fit(images, 2, epsilon=0.0)((2, 2, channels, 2 * size))
    out = keras.ops.convert_to_numpy(keras.ops.conv(images, kernel, padding="valid")).reshape(-1, 2 * size)
    np.testing.assert_allclose(np.cov(out[:, :size], rowvar=False), np.eye(size), atol=5e-3)


def test_second_half_is_the_negative_of_the_first():
    kernel = keras.ops.convert_to_numpy(PatchWhitening.fit(correlated_images(), 2)((2, 2, 3, 24)))
    np.testing.assert_array_equal(kernel[..., :12], -kernel[..., 12:])


def test_filters_are_eigenvectors_over_standard_deviations():
    images = correlated_images(1)
    patches = np.stack(
        [images[:, y : y + 16 - 1, x : x + 16 - 1, 0].ravel() for y in (0, 1) for x in (0, 1)], axis=1
    ).astype("float64")
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False, bias=True))
    kernel = keras.ops.convert_to_numpy(PatchWhitening.fit(images, 2, epsilon=1e-3)((2, 2, 1, 8)))
    for k in range(4):
        expected = vectors[:, -1 - k] / np.sqrt(values[-1 - k] + 1e-3)
        found = kernel[..., k].ravel()
        np.testing.assert_allclose(found * np.sign(found @ expected), expected, atol=1e-4)


def test_whiten_patches_sets_the_first_convolution_from_what_it_sees():
    model = create("plain_cnn(widths=(4,))", (8, 8, 1), 2, mean=100.0, std=20.0)
    images = (100 + 20 * correlated_images(1)[:, :8, :8]).clip(0, 255)
    before = (
        model.get_layer("whitening").kernel.numpy() if hasattr(model.get_layer("whitening").kernel, "numpy") else None
    )
    assert whiten_patches(model, images)
    kernel = keras.ops.convert_to_numpy(model.get_layer("whitening").kernel)
    expected = keras.ops.convert_to_numpy(PatchWhitening.fit((images - 100) / 20, 2)(kernel.shape))
    np.testing.assert_allclose(kernel, expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(before, kernel)
    assert not whiten_patches(model, images)
    assert "PatchWhitening" not in model.to_json()


def test_whiten_patches_leaves_other_models_alone():
    assert not whiten_patches(create("resnet_20(width=2)", (8, 8, 1), 2), np.zeros((4, 8, 8, 1), "float32"))


@pytest.mark.tensorflow_only
def test_a_kernel_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"fitted for kernels of 12 values.*Received"):
        PatchWhitening.fit(correlated_images(), 2)((3, 3, 3, 8))
    with pytest.raises(ValueError, match="images must be"):
        PatchWhitening.fit(np.zeros((4, 4)), 2)


def nested():
    inner = keras.Sequential([keras.Input((8, 8, 1)), conv("inside", PatchWhitening())], name="inner")
    return keras.Sequential([keras.Input((8, 8, 1)), inner])


def conv(name, start):
    return keras.layers.Conv2D(8, 2, kernel_initializer=start, name=name)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: create("plain_cnn(widths=(4,), initializer='patch_whitening')", (8, 8, 1), 2), "'whitening', 'stage1"),
        (lambda: create("mlp(depth=1, initializer='patch_whitening')", (8, 8, 1), 2), "'dense1'"),
        (nested, "'inside'"),
    ],
    ids=["two", "dense", "nested"],
)
def test_whitening_that_no_images_would_set_is_refused(make, names):
    images = correlated_images(1)[:, :8, :8]
    for start in (whiten_patches, start_from_data):
        with pytest.raises(UsageError, match=f"PatchWhitening is for one Conv2D.*Received: it in {names}") as caught:
            start(make(), images)
        assert "\n" not in str(caught.value)
