"""Ops that change colours linearly, against NumPy and Pillow."""

import colorsys

import keras
import numpy as np
import pytest
from op_runs import (
    bound,
    by_backend,
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

from kerastricks.augment import sequence
from kerastricks.errors import SpecError
from kerastricks.layers import FancyPCA

FACTORS = np.linspace(0, 2, 12)
LUMA = np.array([0.299, 0.587, 0.114])


def yiq_turned(image, turns):
    """The chroma as a complex number I + jQ, turned clockwise: red goes to yellow."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    result = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        y, i, q = to_yiq @ image[place]
        chroma = complex(i, q) * np.exp(-2j * np.pi * turns)
        result[place] = np.linalg.solve(to_yiq, [y, chroma.real, chroma.imag])
    return result


def hsv_turned(image, turns):
    """colorsys: saturation and value as they are, values 0 to 255."""
    result = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place] / 255)
        result[place] = np.multiply(255, colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value))
    return result


# spec, parameter, its value per image, what becomes of an image (float64) under it, before it is clipped
REFERENCES = {
    "brightness": ("factor", FACTORS, lambda image, factor: factor * image),
    "contrast": ("factor", FACTORS, lambda image, factor: factor * image + (1 - factor) * np.mean(image @ LUMA)),
    "saturation": ("factor", FACTORS, lambda image, factor: factor * image + (1 - factor) * (image @ LUMA)[..., None]),
    "hue_yiq": ("turns", np.linspace(-0.5, 0.5, 12), yiq_turned),
    "grayscale": (
        "applied",
        np.arange(12) % 2,
        lambda image, on: (image @ LUMA)[..., None] + 0 * image if on else image,
    ),
    "invert": ("applied", np.arange(12) % 2, lambda image, on: 255 - image if on else image),
    "fancy_pca": ("shift", np.random.default_rng(0).normal(0, 60, (12, 3)), lambda image, colour: image + colour),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_an_op_is_its_definition(name):
    images = photographs()
    parameter, values, definition = REFERENCES[name]
    expected = [definition(image.astype("float64"), value) for image, value in zip(images, values, strict=True)]
    result = with_parameters(bound(name, images), images, **{parameter: values})
    np.testing.assert_allclose(result, np.clip(expected, 0, 255), rtol=1e-5, atol=1e-3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
def test_factors_are_pillows(name, enhancer):
    images = photographs()
    expected = [
        np.array(enhancer(Image.fromarray(image)).enhance(factor))
        for image, factor in zip(images, FACTORS, strict=True)
    ]
    result = with_parameters(bound(name, images), images, factor=FACTORS)
    # Pillow rounds the grey that it blends with (to 0.5, of a luma that was rounded to 0.5) and cuts the result off.
    assert np.abs(result - expected).max() < 2


@pytest.mark.tensorflow_only
def test_grayscale_and_invert_are_pillows():
    images = photographs()
    grey = [np.array(Image.fromarray(image).convert("L").convert("RGB")) for image in images]
    assert np.abs(with_parameters(bound("grayscale", images), images, applied=1) - grey).max() < 0.51
    negative = [np.array(ImageOps.invert(Image.fromarray(image))) for image in images]
    np.testing.assert_array_equal(with_parameters(bound("invert", images), images, applied=1), negative)


def test_contrast_of_grey_images_is_about_their_mean():
    images = photographs(channels=1)
    centre = images.mean(axis=(1, 2, 3), keepdims=True)
    result = with_parameters(bound("contrast", images), images, factor=FACTORS)
    factors = FACTORS[:, None, None, None]
    np.testing.assert_allclose(result, np.clip(centre + factors * (images - centre), 0, 255), atol=1e-3)


@pytest.mark.parametrize("name", ["hue", "hue_yiq"])
def test_a_positive_hue_turns_red_to_yellow_and_greys_stay(name):
    primary = np.zeros((2, 1, 3, 3), "float32")
    primary[0, 0] = (150, 60, 60), (60, 150, 60), (60, 60, 150)
    primary[1, 0] = [[0] * 3, [128] * 3, [255] * 3]
    turned = with_parameters(bound(name, primary), primary, turns=1 / 12)
    red, green, blue = turned[0, 0]
    assert red[1] > red[2] + 30  # to yellow
    assert green[2] > green[0] + 30  # to cyan
    assert blue[0] > blue[1] + 30  # to magenta
    if name == "hue":  # value and saturation stay
        np.testing.assert_allclose(np.sort(turned[0, 0])[:, [0, 2]], [[60, 150]] * 3, atol=1e-3)
    else:
        np.testing.assert_allclose(turned[0] @ LUMA, primary[0] @ LUMA, atol=1e-3)
    np.testing.assert_allclose(turned[1], primary[1], atol=1e-3)


EDGES = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (9, 9, 8)]


def test_a_hue_is_hsvs_of_python():
    images = photographs()
    images[:, 0, : len(EDGES)] = EDGES  # where two channels are equal, or the hue is undefined
    turns = np.linspace(-0.5, 0.5, len(images))
    expected = [hsv_turned(image, turn) for image, turn in zip(images, turns, strict=True)]
    result = with_parameters(bound("hue", images), images, turns=turns)
    np.testing.assert_allclose(result, expected, atol=2e-3)


@pytest.mark.tensorflow_only
def test_a_hue_is_the_one_of_torchvision_within_a_level():
    def adjusted(image, turns):
        """torchvision's adjust_hue on uint8 tensors: float32 HSV, the hue wrapped, truncated at 256 levels."""
        rgb = image.astype("float32") / 255
        high, low = rgb.max(-1), rgb.min(-1)
        chroma = high - low
        with np.errstate(invalid="ignore", divide="ignore"):
            red, green, blue = np.moveaxis((high[..., None] - rgb) / np.where(chroma == 0, 1, chroma)[..., None], -1, 0)
        hue = np.where(
            high == rgb[..., 0],
            blue - green,
            np.where(high == rgb[..., 1], 2 + red - blue, 4 + green - red),
        )
        hue = (np.fmod(hue / 6 + 1, 1) + turns) % 1
        saturation = chroma / np.where(high == 0, 1, high)
        sector = np.floor(hue * 6)
        rest = hue * 6 - sector
        p, q, t = (np.clip(high * (1 - saturation * share), 0, 1) for share in (np.ones_like(rest), rest, 1 - rest))
        choices = [(high, t, p), (q, high, p), (p, high, t), (p, q, high), (t, p, high), (high, p, q)]
        sector = sector.astype(int) % 6
        result = np.stack([np.choose(sector, [choice[channel] for choice in choices]) for channel in range(3)], -1)
        return (result * (256 - 1e-3)).astype("uint8")

    images = photographs()
    turns = np.linspace(-0.1, 0.1, len(images))
    expected = np.stack([adjusted(image, turn) for image, turn in zip(images, turns, strict=True)])
    result = np.round(with_parameters(bound("hue", images), images, turns=turns))
    assert np.abs(result - expected).max() <= 1


def test_normalize_gives_mean_0_and_deviation_1():
    images = photographs()
    (op,) = sequence.read("normalize", image_spec_of(images))
    result = by_backend([op], images, np.zeros((len(images), 0), "float32")).astype("float64")
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(0, 1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("scale", ["variance", "stddev"])
def test_fancy_pca_is_the_layers_and_its_draws_are_normal(scale):
    images = photographs(40)
    op = bound(f"fancy_pca(0.3, scale='{scale}')", images)
    drawn = uniforms(op, len(images))
    layer = FancyPCA(0.3, scale=scale).fit(images)
    shift = parameters_of(op, drawn)["shift"]
    alphas = shift @ np.linalg.inv(layer.components)
    expected = keras.ops.convert_to_numpy(layer.shift(images, alphas))
    np.testing.assert_allclose(by_backend([op], images, drawn), expected, atol=1e-3)

    shift = parameters_of(op, uniforms(op, 40_000))["shift"].astype("float64")
    alphas = shift @ np.linalg.inv(layer.components)  # N(0, 0.3), each on its own
    assert np.abs(alphas.mean(axis=0)).max() < 5 * 0.3 / np.sqrt(40_000)
    np.testing.assert_allclose(alphas.std(axis=0), 0.3, atol=5 * 0.3 / np.sqrt(2 * 40_000))
    np.testing.assert_allclose((alphas**4).mean(axis=0), 3 * 0.3**4, atol=5 * 0.3**4 * np.sqrt(96 / 40_000))
    assert np.abs(np.corrcoef(alphas.T) - np.eye(3)).max() < 5 / np.sqrt(40_000)


@pytest.mark.parametrize("fuse", [True, False])
def test_color_jitter_is_the_four_ops_in_order(fuse):
    images = photographs()
    (jitter,) = sequence.read("color_jitter(0.3, 0.5, 0.7, 0.2)", image_spec_of(images))
    four = sequence.read("brightness(0.3) | contrast(0.5) | saturation(0.7) | hue(0.2)", image_spec_of(images))
    drawn = uniforms(jitter, len(images))
    together = by_backend([jitter], images, drawn, fuse)
    np.testing.assert_allclose(together, by_backend(four, images, drawn), atol=1e-3)
    # One by one on float64, each with the mean of what is before it, clipped before the hue.
    expected = []
    for image, unit in zip(images, drawn.astype("float64"), strict=True):
        changed = REFERENCES["brightness"][2](image.astype("float64"), 0.7 + 0.6 * unit[0])
        changed = REFERENCES["contrast"][2](changed, 0.5 + 1.0 * unit[1])
        changed = REFERENCES["saturation"][2](changed, 0.3 + 1.4 * unit[2])
        expected.append(hsv_turned(np.clip(changed, 0, 255), -0.2 + 0.4 * unit[3]))
    np.testing.assert_allclose(together, expected, rtol=1e-5, atol=1e-3)


def test_color_jitter_leaves_out_what_is_0():
    images = photographs(channels=1)
    (jitter,) = sequence.read("color_jitter(0, 0.5, 0, 0)", image_spec_of(images))
    drawn = uniforms(jitter, len(images))
    (contrast,) = sequence.read("contrast(0.5)", image_spec_of(images))
    assert [type(op) for op in jitter.members] == [type(contrast)]
    alone = by_backend([contrast], images, drawn[:, 1:2])
    np.testing.assert_array_equal(by_backend([jitter], images, drawn), alone)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "parameter", "low", "high"),
    [
        ("brightness(0.3)", "factor", 0.7, 1.3),
        ("contrast(0.4)", "factor", 0.6, 1.4),
        ("saturation(1)", "factor", 0, 2),
        ("hue(0.2)", "turns", -0.2, 0.2),
        ("hue_yiq(0.2)", "turns", -0.2, 0.2),
    ],
)
def test_strengths_are_drawn_uniformly(spec, parameter, low, high):
    op = bound(spec, photographs())
    check_uniform(parameters_of(op, uniforms(op, 20_000))[parameter], low, high)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("spec", ["grayscale(0.3)", "invert(0.3)"])
def test_an_image_is_drawn_with_its_rate(spec):
    op = bound(spec, photographs())
    applied = parameters_of(op, uniforms(op, 20_000))["applied"]
    assert set(applied) == {0, 1}
    check_rate(applied, 0.3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", REFERENCES)
def test_neutral_parameters_change_nothing(name):
    check_neutral(name)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "spec",
    [
        "brightness(0.4)",
        "contrast(0.8)",
        "saturation",
        "hue(0.5)",
        "hue_yiq(0.5)",
        "grayscale(0.5)",
        "invert(0.5)",
        "fancy_pca(0.5, 'stddev')",
        "normalize",
        "color_jitter | grayscale(0.2) | invert(0.3) | fancy_pca | normalize",
    ],
)
def test_host_and_device_agree(spec):
    result = check_executors(spec, photographs())
    if "normalize" not in spec:
        assert result.min() >= 0
        assert result.max() <= 255


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ("brightness(-0.1)", "strength"),
        ("contrast(1.5)", "strength"),
        ("saturation(-1)", "strength"),
        ("hue(0.6)", "turns"),
        ("hue_yiq(0.6)", "turns"),
        ("grayscale(1.1)", "rate"),
        ("invert(-0.1)", "rate"),
        ("fancy_pca(-1)", "stddev"),
        ("fancy_pca(0.1, 'sigma')", "scale"),
        ("color_jitter(1.1)", "brightness"),
        ("color_jitter(contrast=-1)", "contrast"),
        ("color_jitter(0, 0, 2)", "saturation"),
        ("color_jitter(hue=0.6)", "hue"),
    ],
)
def test_illegal_arguments_are_named(spec, argument):
    name = spec.partition("(")[0]
    with pytest.raises(SpecError, match=rf"^{name}: {argument} must be .*Received: {argument}=.*op 1 of"):
        sequence.read(spec, image_spec_of(photographs()))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["saturation", "hue", "hue_yiq", "grayscale", "fancy_pca", "color_jitter"])
def test_grey_images_are_refused_where_there_must_be_colours(name):
    with pytest.raises(SpecError, match=f"^{name} needs colour images"):
        sequence.read(name, image_spec_of(photographs(channels=1)))


def test_a_grey_that_was_rounded_apart_has_no_hue():
    from kerastricks.augment.colours import to_hsv

    channels = np.array([[200.0, 200.0001, 199.9999], [0.7, 0.70000005, 0.7]], "float32").T[..., None, None]
    hue, saturation, _ = (keras.ops.convert_to_numpy(part) for part in to_hsv(*channels, keras.ops))
    assert not hue.any()
    assert not saturation.any()
    hue, saturation, _ = to_hsv(*np.array([[10.0], [9.0], [9.0]], "float32")[..., None], keras.ops)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(saturation), 0.1, rtol=1e-5)
