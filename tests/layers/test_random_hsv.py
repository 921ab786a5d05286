"""RandomHSV against Python's colorsys and the formula of Dosovitskiy et al. 2014, section 2.1."""

import colorsys

import keras
import numpy as np
import pytest

from kerastricks.layers import RandomHSV

EDGES = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]


def pixels_in_0_to_1(count=4):
    images = np.random.default_rng(0).integers(0, 256, (count, 9, 7, 3)) / 255
    images[:, :, 0] = EDGES  # grey, black, primaries: where the hue is undefined or turns
    return images


def reference(images, draws):
    result = np.empty(images.shape)
    for place in np.ndindex(images.shape[:3]):
        power_s, power_v, factor_s, factor_v, shift_s, shift_v, hue = draws[place[0]]
        h, s, v = colorsys.rgb_to_hsv(*images[place])
        s = min(max(s**power_s * factor_s + shift_s, 0), 1)
        v = min(max(v**power_v * factor_v + shift_v, 0), 1)
        result[place] = colorsys.hsv_to_rgb((h + hue) % 1, s, v)
    return result


def numpy_draws(layer, count):
    return keras.ops.convert_to_numpy(layer.draw(count)).astype("float64")


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1)])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_transform_is_the_definitions(low, high, channels):
    images = pixels_in_0_to_1()
    layer = RandomHSV(value_range=(low, high), channels=channels, seed=0)
    draws = numpy_draws(layer, len(images))
    draws[0] = (1, 1, 1, 1, 0, 0, 0)  # changes nothing
    draws[1] = (0.25, 4, 1.4, 0.7, 0.1, -0.1, -0.1)
    expected = reference(images, draws) * (high - low) + low
    given = (images * (high - low) + low).astype("float32")
    turn = slice(None, None, -1 if channels == "bgr" else 1)
    result = keras.ops.convert_to_numpy(layer.transform(np.ascontiguousarray(given[..., turn]), draws))[..., turn]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * (high - low))
    np.testing.assert_allclose(result[0], given[0], atol=1e-5 * (high - low))


def test_training_applies_a_draw_of_its_own_to_each_image():
    images = np.repeat((255 * pixels_in_0_to_1(1)).astype("float32"), 5, axis=0)
    result = keras.ops.convert_to_numpy(RandomHSV(seed=4)(images, training=True))
    again = RandomHSV(seed=4)
    np.testing.assert_allclose(result, reference(images / 255, numpy_draws(again, 5)) * 255, rtol=1e-5, atol=3e-3)
    assert min(np.abs(result[i] - result[j]).max() for i in range(5) for j in range(i)) > 1


@pytest.mark.parametrize("power_draw", ["log_uniform", "uniform"])
def test_draws_have_the_distribution_of_the_definition(power_draw):
    draws = numpy_draws(RandomHSV(power_draw=power_draw, seed=0), 40_000)
    lows, highs = np.array([[0.25, 4]] * 2 + [[0.7, 1.4]] * 2 + [[-0.1, 0.1]] * 3).T
    assert (draws >= lows * (1 - 1e-6) - 1e-6 * (lows < 0)).all()
    assert (draws <= highs * (1 + 1e-6)).all()
    if power_draw == "log_uniform":
        draws[:, :2], lows[:2], highs[:2] = np.log(draws[:, :2]), np.log(lows[:2]), np.log(highs[:2])
    unit = (draws - lows) / (highs - lows)  # uniform in [0, 1]: mean 1/2, variance 1/12, its error sqrt(1/180)
    assert np.abs(unit.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 40_000)
    assert np.abs(unit.var(axis=0) - 1 / 12).max() < 5 * np.sqrt(1 / 180 / 40_000)
    # Independent of each other, and of the image before.
    assert np.abs(np.corrcoef(unit.T) - np.eye(7)).max() < 5 / np.sqrt(40_000)
    assert np.abs([np.corrcoef(unit[1:, k], unit[:-1, k])[0, 1] for k in range(7)]).max() < 5 / np.sqrt(40_000)


def test_two_calls_differ_and_the_same_seed_draws_the_same():
    layer, same = RandomHSV(seed=7), RandomHSV(seed=7)
    first, second = numpy_draws(layer, 8), numpy_draws(layer, 8)
    assert np.abs(first - second).min(axis=0).max() > 1e-3
    np.testing.assert_array_equal(numpy_draws(same, 8), first)
    np.testing.assert_array_equal(numpy_draws(same, 8), second)


def test_inference_is_the_identity():
    images = (255 * pixels_in_0_to_1()).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(RandomHSV(seed=0)(images)), images)


def test_8_bit_images_are_taken_and_stay_in_range():
    images = np.random.default_rng(0).integers(0, 256, (64, 5, 5, 3)).astype("uint8")
    result = keras.ops.convert_to_numpy(RandomHSV(seed=0)(images, training=True))
    assert result.min() >= 0
    assert result.max() <= 255
    assert np.abs(result - images).mean() > 10


def test_grey_stays_grey_without_a_shift():
    images = np.tile(np.linspace(0, 255, 8, dtype="float32")[None, :, None, None], (6, 1, 2, 3))
    result = keras.ops.convert_to_numpy(RandomHSV(shift_range=(0, 0), seed=0)(images, training=True))
    assert np.ptp(result, axis=-1).max() == 0
    assert np.abs(result - images).max() > 10


def test_what_is_outside_the_range_is_clipped_first():
    draws = np.array([[1, 1, 1, 1, 0, 0, 0.0]])
    result = RandomHSV().transform(np.array([[[[-20.0, 300.0, 100.0]]]], "float32"), draws)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result).ravel(), [0, 255, 100], atol=1e-3)


def test_gradients_are_finite_where_hue_and_root_have_none():
    # Black out of a convolution of zeros: the hue is undefined and s^0.25 has an infinite slope.
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(3, 1, kernel_initializer="zeros")(inputs)
    x = RandomHSV(value_range=(0, 1), shift_range=(0.05, 0.1), seed=0)(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
    model.train_on_batch(np.ones((4, 4, 4, 3), "float32"), np.ones((4, 3), "float32"))
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"power_range": (4, 0.25)}, "power_range"),
        ({"power_range": (0, 1)}, "power_range"),
        ({"power_range": 2.0}, "power_range"),
        ({"factor_range": (-0.1, 1)}, "factor_range"),
        ({"factor_range": (1, float("inf"))}, "factor_range"),
        ({"shift_range": (0.1, -0.1)}, "shift_range"),
        ({"hue_range": (-0.1, 1.5)}, "hue_range"),
        ({"value_range": (1, 0)}, "value_range"),
        ({"channels": "gbr"}, "channels"),
        ({"power_draw": "normal"}, "power_draw"),
    ],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        RandomHSV(**arguments)


@pytest.mark.tensorflow_only
def test_unusable_images_are_refused():
    with pytest.raises(ValueError, match="RandomHSV needs images"):
        RandomHSV()(np.zeros((1, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"RandomHSV needs images.*\(None, 8, 8, 1\)"):  # not only when it runs
        RandomHSV()(keras.Input((8, 8, 1)))
    with pytest.raises(ValueError, match=r"RandomHSV needs images.*\(2, 2, 3\)"):
        RandomHSV()(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"RandomHSV with value_range=.*Received: uint8"):
        RandomHSV(value_range=(0, 1))(np.zeros((1, 2, 2, 3), "uint8"))
