"""Ops that change each pixel by itself, against colorsys, NumPy and Pillow."""

import colorsys

import keras
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
from PIL import Image, ImageOps

from kerastricks.augment import sequence
from kerastricks.errors import SpecError
from kerastricks.layers import RandomHSV

HSV = (
    "saturation_power",
    "value_power",
    "saturation_factor",
    "value_factor",
    "saturation_shift",
    "value_shift",
    "turns",
)


def fractions():
    """Images as an op before leaves them."""
    images = photographs().astype("float32")
    return np.clip(images + np.random.default_rng(5).uniform(-2, 2, images.shape), 0, 255).astype("float32")


def test_gamma_is_a_power_of_the_image_in_0_to_1():
    images = fractions()
    images[2, 0] = 0  # log 0
    gammas = np.geomspace(0.2, 5, 12)
    expected = 255 * (images.astype("float64") / 255) ** gammas[:, None, None, None]
    np.testing.assert_allclose(with_parameters(bound("gamma", images), images, gamma=gammas), expected, atol=2e-3)


@pytest.mark.tensorflow_only
def test_gamma_is_drawn_log_uniformly():
    op = bound("gamma(3)", photographs())
    check_uniform(np.log(parameters_of(op, uniforms(op, 20_000))["gamma"]), -np.log(3), np.log(3))


def test_hsv_is_the_definition():
    images = fractions()
    images[2, 0, :7] = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 0)]
    op = bound("hsv", images)
    chosen = parameters_of(op, uniforms(op, len(images)))
    expected = np.empty(images.shape)
    for place in np.ndindex(images.shape[:3]):
        power_s, power_v, factor_s, factor_v, shift_s, shift_v, turns = (float(chosen[k][place[0]]) for k in HSV)
        h, s, v = colorsys.rgb_to_hsv(*(images[place].astype("float64") / 255))
        s, v = s**power_s * factor_s + shift_s, v**power_v * factor_v + shift_v
        expected[place] = colorsys.hsv_to_rgb((h + turns) % 1, min(max(s, 0), 1), min(max(v, 0), 1))
    np.testing.assert_allclose(with_parameters(op, images, **chosen), 255 * expected, rtol=1e-5, atol=3e-3)


def test_hsv_is_the_layers():
    images = fractions()
    op, layer = bound("hsv", images), RandomHSV(seed=0)
    numbers = keras.ops.convert_to_numpy(layer.draw(len(images)))
    expected = keras.ops.convert_to_numpy(layer.transform(images, numbers))
    result = with_parameters(op, images, **dict(zip(HSV, numbers.T, strict=True)))
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("power_draw", ["log_uniform", "uniform"])
def test_hsv_draws_have_the_distribution_of_the_definition(power_draw):
    op = bound(f"hsv(power_draw='{power_draw}')", photographs())
    drawn = parameters_of(op, uniforms(op, 20_000))
    assert tuple(drawn) == HSV
    bounds = [(0.25, 4)] * 2 + [(0.7, 1.4)] * 2 + [(-0.1, 0.1)] * 3
    for name, (low, high) in zip(HSV, bounds, strict=True):
        values = drawn[name]
        if name.endswith("power") and power_draw == "log_uniform":
            values, low, high = np.log(values), np.log(low), np.log(high)
        check_uniform(values, low, high)
    assert np.abs(np.corrcoef(list(drawn.values())) - np.eye(7)).max() < 5 / np.sqrt(20_000)


def test_posterize_keeps_pillows_bits():
    images = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1).repeat(8, axis=0)
    bits = np.arange(1, 9)
    expected = [np.array(ImageOps.posterize(Image.fromarray(images[0, ..., 0]), int(number))) for number in bits]
    np.testing.assert_array_equal(with_parameters(bound("posterize", images), images, bits=bits)[..., 0], expected)


def test_posterize_rounds_first():
    images = np.array([63.4, 63.6, 64.0, 254.9]).reshape(1, 2, 2, 1).astype("float32")
    result = with_parameters(bound("posterize", images), images, bits=2)
    np.testing.assert_array_equal(result.ravel(), [0, 64, 64, 192])


def test_solarize_inverts_what_pillow_inverts():
    images = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1).repeat(6, axis=0)
    thresholds = np.array([0, 1, 100, 128, 255, 256])
    expected = [np.array(ImageOps.solarize(Image.fromarray(images[0, ..., 0]), int(number))) for number in thresholds]
    result = with_parameters(bound("solarize", images), images, threshold=thresholds)
    np.testing.assert_array_equal(result[..., 0], expected)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "parameter", "value"), [("posterize(3, 0.3)", "bits", 3), ("solarize(100, 0.3)", "threshold", 100)]
)
def test_an_image_is_drawn_with_its_rate(spec, parameter, value):
    op = bound(spec, photographs())
    drawn = parameters_of(op, uniforms(op, 20_000))[parameter]
    assert set(drawn) == {value, op.neutral[parameter]}
    check_rate(drawn == value, 0.3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["gamma", "hsv", "posterize", "solarize"])
def test_neutral_parameters_change_nothing(name):
    check_neutral(name)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "atol"), [("gamma(3)", 1e-3), ("hsv", 2e-3), ("posterize(3)", 0), ("solarize(100.5)", 0)]
)
def test_host_and_device_agree(spec, atol):
    images = np.concatenate([photographs().astype("float32"), fractions()])
    result = check_executors(spec, images, atol)
    assert result.min() >= 0
    assert result.max() <= 255
    assert np.abs(result - images).max() > 20


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ("gamma(0.5)", "most"),
        ("posterize(0)", "bits"),
        ("posterize(9)", "bits"),
        ("posterize(2.5)", "bits"),
        ("posterize(4, 2)", "rate"),
        ("solarize(-1)", "threshold"),
        ("solarize(257)", "threshold"),
        ("solarize(128, -0.5)", "rate"),
        ("hsv((4, 0.25))", "power_range"),
        ("hsv((0, 1))", "power_range"),
        ("hsv(2)", "power_range"),
        ("hsv(factor_range=(-1, 1))", "factor_range"),
        ("hsv(shift_range=(-2, 0))", "shift_range"),
        ("hsv(hue_range=(0.1, 0))", "hue_range"),
        ("hsv(power_draw='normal')", "power_draw"),
    ],
)
def test_illegal_arguments_are_named(spec, argument):
    name = spec.partition("(")[0]
    with pytest.raises(SpecError, match=rf"^{name}: {argument} must be .*Received: {argument}=.*op 1 of"):
        sequence.read(spec, image_spec_of(photographs()))


@pytest.mark.tensorflow_only
def test_hsv_refuses_grey_images():
    with pytest.raises(SpecError, match=r"^hsv needs colour images"):
        sequence.read("hsv", image_spec_of(photographs(channels=1)))
