"""Centering against NumPy in float64."""

import keras
import numpy as np
import pytest

from kerastricks.layers import Centering

AXES = {"channel": (0, 1, 2), "pixel": (0,), "image": (1, 2, 3)}


def images_of(dtype, shape=(20, 5, 4, 3), seed=0):
    return np.random.default_rng(seed).uniform(0, 256, shape).astype(dtype)


def result(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def centred(images, statistics_of, per, divide):
    images, statistics_of = np.asarray(images, "float64"), np.asarray(statistics_of, "float64")
    axes = AXES[per]
    out = images - statistics_of.mean(axis=axes, keepdims=True)
    return out / statistics_of.std(axis=axes, keepdims=True) if divide else out


@pytest.mark.parametrize("per", ["channel", "pixel"])
@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16"])
def test_new_images_are_centred_by_the_training_images(per, divide, dtype):
    train, new = images_of(dtype), images_of(dtype, (3, 5, 4, 3), seed=1)
    layer = Centering(per, divide_by_std=divide)
    layer.adapt(train)
    scale = 1 if divide else 255
    np.testing.assert_allclose(result(layer, new), centred(new, train, per, divide), rtol=1e-5, atol=1e-5 * scale)
    assert not layer.trainable_weights


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_each_image_is_centred_by_itself_without_adapt(divide, dtype):
    images = images_of(dtype)
    scale = 1 if divide else 255
    expected = centred(images, images, "image", divide)
    np.testing.assert_allclose(
        result(Centering("image", divide_by_std=divide), images), expected, rtol=1e-5, atol=1e-5 * scale
    )


def test_features_are_centred_each_or_per_sample():
    rows = np.random.default_rng(0).normal(3, 2, (50, 7)).astype("float32")
    for per in ("channel", "pixel"):
        layer = Centering(per, divide_by_std=True)
        layer.adapt(rows)
        expected = (rows - rows.mean(axis=0, dtype="float64")) / rows.std(axis=0, dtype="float64")
        np.testing.assert_allclose(result(layer, rows), expected, atol=1e-5)
    per_sample = rows - rows.mean(axis=1, dtype="float64", keepdims=True)
    np.testing.assert_allclose(result(Centering("image"), rows), per_sample, atol=1e-5)


@pytest.mark.parametrize("per", ["channel", "pixel", "image"])
def test_what_is_constant_is_centred_and_not_divided(per):
    images = np.full((4, 3, 3, 2), 254.3, "float32")
    layer = Centering(per, divide_by_std=True)
    if per != "image":
        layer.adapt(images)
        brighter = result(layer, images + 1)
        np.testing.assert_allclose(brighter, 1, atol=1e-4)
    np.testing.assert_array_equal(result(layer, images), 0)


@pytest.mark.parametrize("per", ["channel", "pixel", "image"])
def test_a_large_mean_beside_a_small_variance(per):
    # Multiples of 1/16 below 2^20 are exact in float32, and so is their mean's neighbourhood to 1/16.
    images = (1e6 + np.round(np.random.default_rng(0).normal(size=(400, 4, 4, 2)) * 16) / 16).astype("float32")
    layer = Centering(per, divide_by_std=True)
    if per != "image":
        layer.adapt(images)
        expected_std = images.std(axis=AXES[per], dtype="float64")
        np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.std), expected_std, rtol=1e-5)
    expected = centred(images, images, per, True)
    atol = 1e-5 if per == "image" else 1 / 32  # a mean that is kept has the resolution of float32
    np.testing.assert_allclose(result(layer, images), expected, rtol=1e-5, atol=1.1 * atol)


def test_half_precision_keeps_the_arithmetic_in_float32():
    images = images_of("float32")
    for policy, rounding in (("mixed_bfloat16", 2**-8), ("bfloat16", 2**-8), ("float16", 2**-11)):
        for per in ("channel", "pixel", "image"):
            layer = Centering(per, divide_by_std=True, dtype=policy)
            if per != "image":
                layer.adapt(images)
            out = keras.ops.convert_to_numpy(keras.ops.cast(layer(images), "float32"))
            np.testing.assert_allclose(out, centred(images, images, per, True), rtol=rounding, atol=1e-5)


def test_per_channel_images_may_have_any_size():
    small, large = images_of("uint8", (8, 4, 6, 3)), images_of("uint8", (2, 9, 5, 3), seed=1)
    layer = Centering(divide_by_std=True)
    layer.adapt([small, large])
    pixels = np.concatenate([small.reshape(-1, 3), large.reshape(-1, 3)]).astype("float64")
    expected = (large - pixels.mean(axis=0)) / pixels.std(axis=0)
    np.testing.assert_allclose(result(layer, large), expected, atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("arguments", "names"), [({"per": "batch"}, "per"), ({"epsilon": -1}, "epsilon")])
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        Centering(**arguments)


def test_per_image_has_nothing_to_adapt():
    with pytest.raises(ValueError, match="learns nothing"):
        Centering("image").adapt(images_of("uint8"))
