"""RangeScaling against NumPy in float64."""

import keras
import numpy as np
import pytest

from kerastricks.layers import RangeScaling


def result(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


@pytest.mark.parametrize(("per", "axes"), [("channel", (0, 1, 2)), ("pixel", (0,))])
@pytest.mark.parametrize("output_range", [(-1, 1), (0, 1), (2, 7)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_each_dimension_fills_the_range(per, axes, output_range, dtype):
    train = np.random.default_rng(0).uniform(0, [10, 100, 255], (20, 4, 5, 3)).astype(dtype)
    new = np.random.default_rng(1).uniform(0, 255, (3, 4, 5, 3)).astype(dtype)
    layer = RangeScaling(per, output_range)
    layer.adapt(train)
    low, high = output_range
    smallest, largest = (f(train.astype("float64"), axis=axes, keepdims=True) for f in (np.min, np.max))
    expected = low + (new - smallest) / (largest - smallest) * (high - low)  # not clipped
    np.testing.assert_allclose(result(layer, new), expected, rtol=1e-5, atol=1e-5)
    fitted = result(layer, train)
    np.testing.assert_allclose(fitted.min(axis=axes), low, atol=1e-5)
    np.testing.assert_allclose(fitted.max(axis=axes), high, atol=1e-5)


def test_a_constant_dimension_is_always_the_middle():
    train = np.array([[0.0, 5.0], [10.0, 5.0]], "float32")
    layer = RangeScaling(output_range=(0, 4))
    layer.adapt(train)
    np.testing.assert_array_equal(result(layer, np.array([[10.0, 5.0], [0.0, 900.0]], "float32")), [[4, 2], [0, 2]])


def test_half_precision_keeps_the_arithmetic_in_float32():
    images = np.arange(256, dtype="float32").reshape(-1, 1, 1, 1)  # 255 and 254 are one number in bfloat16
    layer = RangeScaling(output_range=(0, 255), dtype="bfloat16")
    layer.adapt(images)
    out = keras.ops.convert_to_numpy(keras.ops.cast(layer(images / 2 + 0.25), "float32"))
    np.testing.assert_allclose(out, images / 2 + 0.25, rtol=2**-8)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [({"per": "image"}, "per"), ({"output_range": (1, 1)}, "output_range"), ({"output_range": (0, 1, 2)}, "output")]
    + [({"output_range": value}, "output_range") for value in (1, (0, float("inf")))],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        RangeScaling(**arguments)
