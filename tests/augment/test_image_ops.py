"""Ops that look at neighbours or the whole image, against Pillow and SciPy."""

import numpy as np
import pytest
from op_runs import (
    bound,
    check_executors,
    check_neutral,
    check_rate,
    check_uniform,
    image_spec_of,
    parameters_of,
    photographs,
    uniforms,
    with_parameters,
)
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter

from kerastricks.augment import sequence
from kerastricks.errors import SpecError


def fractions(**sizes):
    """Images as an op before leaves them."""
    images = photographs(**sizes).astype("float32")
    return np.clip(images + np.random.default_rng(5).uniform(-2, 2, images.shape), 0, 255).astype("float32")


def by_pillow(function, images):
    return np.array([np.array(function(Image.fromarray(image))) for image in images])


# 32x32: four pixels a step; 9x9: unchanged, for want of 255 pixels; 64x64: many.
@pytest.mark.parametrize("sizes", [(32, 32), (9, 9), (64, 64), (17, 16)])
def test_equalize_is_pillows_value_for_value(sizes):
    images = photographs(10, *sizes)
    images[2] = images[2] // 8 + 100  # little contrast
    images[3, ..., 1] = 0
    images[3, 0, 0, 1] = 255
    result = with_parameters(bound("equalize", images), images, applied=1)
    np.testing.assert_array_equal(result, by_pillow(ImageOps.equalize, images))


def test_equalize_rounds_first():
    images = fractions(height=32, width=32)
    expected = by_pillow(ImageOps.equalize, np.rint(images).astype("uint8"))[2:]
    result = with_parameters(bound("equalize", images), images, applied=1)
    np.testing.assert_array_equal(result[2:], expected)


def test_autocontrast_is_pillows_with_fractions():
    images = photographs(height=32, width=32)
    images[2] = images[2] // 8 + 100
    expected = by_pillow(ImageOps.autocontrast, images)
    result = with_parameters(bound("autocontrast", images), images, applied=1)
    difference = result - expected  # Pillow cuts fractions off
    assert difference.min() > -1e-3
    assert difference.max() < 1 + 1e-3
    np.testing.assert_array_equal(result[0], images[0])  # one colour
    assert result[2].min() == 0
    assert result[2].max() == 255


def test_autocontrast_does_not_blow_up_rounding_errors():
    generator = np.random.default_rng(0)
    images = (100 + generator.uniform(-1e-4, 1e-4, (3, 8, 8, 3))).astype("float32")
    images[1] += 0.5  # some are rounded up, some down
    result = with_parameters(bound("autocontrast", images), images, applied=1)
    np.testing.assert_array_equal(result[[0, 2]], images[[0, 2]])
    assert np.ptp(result[1]) < 0.1


def test_sharpness_is_pillows():
    images = photographs()
    factors = np.linspace(0, 2, 12)
    pairs = list(zip(images, factors, strict=True))
    expected = [np.array(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(factor)) for image, factor in pairs]
    result = with_parameters(bound("sharpness", images), images, factor=factors)
    assert np.abs(result - expected).max() < 1.6  # Pillow rounds the smooth image and cuts the result off

    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    height, width = images.shape[1:3]
    for (image, factor), sharp in zip(pairs, result, strict=True):
        image = image.astype("float64")
        blended = image.copy()
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                smooth = np.tensordot(kernel, image[y - 1 : y + 2, x - 1 : x + 2], 2)
                blended[y, x] = smooth + factor * (image[y, x] - smooth)
        np.testing.assert_allclose(sharp, np.clip(blended, 0, 255), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("largest", [2.0, 0.5, 1 / 3])
def test_blur_is_scipys(largest):
    images = fractions()
    sigmas = np.linspace(0.05, largest, len(images))
    expected = [
        gaussian_filter(image.astype("float64"), (sigma, sigma, 0), mode="mirror", radius=int(np.ceil(3 * largest)))
        for image, sigma in zip(images, sigmas, strict=True)
    ]
    result = with_parameters(bound(f"blur((0.05, {largest}))", images), images, sigma_px=sigmas)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-3)


def test_blur_keeps_the_mean_of_colours_apart():
    images = np.zeros((1, 9, 9, 3), "float32")
    images[0, 4, 4, 1] = 200
    result = with_parameters(bound("blur((1, 1))", images), images, sigma_px=1)
    assert result[..., [0, 2]].max() == 0
    np.testing.assert_allclose(result[..., 1].sum(), 200, rtol=1e-5)
    assert 20 < result[0, 4, 4, 1] < 40  # 200 / (2 pi)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("spec", ["equalize(0.3)", "autocontrast(0.3)"])
def test_an_image_is_drawn_with_its_rate(spec):
    op = bound(spec, photographs())
    applied = parameters_of(op, uniforms(op, 20_000))["applied"]
    assert set(applied) == {0, 1}
    check_rate(applied, 0.3)


@pytest.mark.tensorflow_only
def test_sharpness_and_blur_are_drawn_uniformly():
    op = bound("sharpness(0.4)", photographs())
    check_uniform(parameters_of(op, uniforms(op, 20_000))["factor"], 0.6, 1.4)
    op = bound("blur((0.5, 1.5), 0.3)", photographs())
    sigma = parameters_of(op, uniforms(op, 20_000))["sigma_px"]
    check_rate(sigma > 0, 0.3)
    check_uniform(sigma[sigma > 0], 0.5, 1.5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["equalize", "autocontrast", "sharpness", "blur"])
def test_neutral_parameters_change_nothing(name):
    check_neutral(name)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "atol"), [("equalize", 0), ("autocontrast", 1e-3), ("sharpness(1)", 1e-3), ("blur((0.1, 1.5))", 1e-3)]
)
def test_host_and_device_agree(spec, atol):
    whole = photographs(height=20, width=17).astype("float32")
    colourful = np.concatenate([whole, fractions(height=20, width=17)])
    for images in (colourful, photographs(height=20, width=17, channels=1)):
        result = check_executors(spec, images, atol)
        assert result.min() >= 0
        assert result.max() <= 255
        assert np.abs(result - images).max() > 10


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ("equalize(2)", "rate"),
        ("autocontrast(-0.1)", "rate"),
        ("sharpness(1.5)", "strength"),
        ("blur(2)", "sigma_px_range"),
        ("blur((-1, 1))", "sigma_px_range"),
        ("blur((2, 1))", "sigma_px_range"),
        ("blur((1, 2), 1.5)", "rate"),
    ],
)
def test_illegal_arguments_are_named(spec, argument):
    name = spec.partition("(")[0]
    with pytest.raises(SpecError, match=rf"^{name}: {argument} must be .*Received: {argument}=.*op 1 of"):
        sequence.read(spec, image_spec_of(photographs()))


@pytest.mark.tensorflow_only
def test_images_that_are_too_small_are_refused():
    with pytest.raises(SpecError, match=r"^blur: .*below the image's side, 9\. Received: sigma_px_range=\(1, 3\)"):
        sequence.read("blur((1, 3))", image_spec_of(photographs()))
    with pytest.raises(SpecError, match=r"^sharpness needs images of 3x3 or more\. Received: 11x2"):
        sequence.read("sharpness", image_spec_of(photographs(width=2)))
