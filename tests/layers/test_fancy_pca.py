"""FancyPCA against a NumPy reference written from Krizhevsky et al. 2012, section 4.1."""

import keras
import numpy as np
import pytest

from kerastricks.layers import FancyPCA
from kerastricks.layers.fancy_pca import IMAGENET_EIGENVALUES, IMAGENET_EIGENVECTORS


def reference(images, alphas, low, high, power=1.0):
    p, values = np.array(IMAGENET_EIGENVECTORS), np.array(IMAGENET_EIGENVALUES) ** power
    result = np.empty(images.shape)
    for i, image in enumerate(images.astype("float64")):
        colour = p @ (alphas[i] * values)  # [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T
        result[i] = np.clip(image + colour * (high - low), low, high)
    return result


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1)])
@pytest.mark.parametrize(("scale", "power"), [("variance", 1.0), ("stddev", 0.5)])
def test_shift_is_the_papers(low, high, scale, power):
    generator = np.random.default_rng(0)
    images = generator.uniform(low, high, (5, 4, 3, 3)).astype("float32")
    alphas = generator.normal(0, 0.1, (5, 3)).astype("float32")
    shifted = FancyPCA(value_range=(low, high), scale=scale).shift(images, alphas)
    expected = reference(images, alphas, low, high, power)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(shifted), expected, rtol=1e-5, atol=1e-5 * (high - low))


def test_every_pixel_of_an_image_gets_one_colour_and_images_differ():
    images = np.full((6, 5, 4, 3), 128, "float32")
    shifts = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0)(images, training=True)) - images
    assert np.ptp(shifts, axis=(1, 2)).max() == 0
    assert len(np.unique(shifts[:, 0, 0].round(3), axis=0)) == 6


@pytest.mark.tensorflow_only
def test_draws_have_the_distribution_of_the_definition():
    images = np.full((20_000, 1, 1, 3), 128, "float32")
    shifted = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0)(images, training=True))
    shift = (shifted - images).reshape(-1, 3).astype("float64") / 255
    # Projected on the eigenvectors (orthonormal up to their printed digits) the draws are N(0, (0.1 l)^2).
    deviations = (shift @ np.array(IMAGENET_EIGENVECTORS)).std(axis=0) / (0.1 * np.array(IMAGENET_EIGENVALUES))
    np.testing.assert_allclose(deviations, 1, atol=5 / np.sqrt(2 * 20_000) + 5e-3)
    assert np.abs(shift.mean(axis=0)).max() < 5 * 0.1 * 0.2175 / np.sqrt(20_000)


def test_two_uses_differ_and_inference_is_the_identity():
    images = np.full((2, 3, 3, 3), 100, "float32")
    layer = FancyPCA(0.1, seed=0)
    first, second = (keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(images)), images)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"stddev": -1}, "stddev"),
        ({"stddev": float("nan")}, "stddev"),
        ({"scale": "sigma"}, "scale"),
        ({"value_range": (1, 1)}, "value_range"),
        ({"value_range": 255}, "value_range"),
        ({"value_range": (0, float("inf"))}, "value_range"),
        ({"eigenvalues": (1, 2)}, "eigenvalues"),
        ({"eigenvalues": (1, 1, -1)}, "eigenvalues"),
        ({"eigenvalues": (1, float("nan"), 0)}, "eigenvalues"),
        ({"eigenvectors": np.full((3, 3), np.inf)}, "eigenvectors"),
        ({"channels": "hsv"}, "channels"),
    ],
)
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        FancyPCA(**arguments)


@pytest.mark.tensorflow_only
def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="FancyPCA needs images"):
        FancyPCA()(np.zeros((1, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"FancyPCA needs images.*\(None, 8, 8, 1\)"):  # not only when it runs
        FancyPCA()(keras.Input((8, 8, 1)))


@pytest.mark.tensorflow_only
def test_channels_that_a_graph_does_not_know_are_refused():
    import tensorflow as tf

    layer = FancyPCA()
    graph = tf.function(lambda images: layer(images, training=True))
    with pytest.raises(ValueError, match=r"FancyPCA needs images.*\(None, 8, 8, None\)"):
        graph.get_concrete_function(tf.TensorSpec((None, 8, 8, None)))


def coloured_images(count=40):
    """Images whose channels vary together, uint8."""
    generator = np.random.default_rng(1)
    light = generator.normal(0, 40, (count, 6, 5, 1)) * [1.0, 0.8, 0.5]
    return np.clip(120 + light + generator.normal(0, 12, (count, 6, 5, 3)), 0, 255).astype("uint8")


def colour_covariance(layer):
    vectors = np.array(layer.eigenvectors)
    return vectors @ np.diag(layer.eigenvalues) @ vectors.T


@pytest.mark.tensorflow_only
def test_shifts_have_the_covariance_of_the_definition():
    draws = 50_000
    images = np.full((draws, 1, 1, 3), 128, "float32")
    shifted = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=3, scale="stddev")(images, training=True))
    shift = (shifted - images).reshape(-1, 3).astype("float64") / 255
    p = np.array(IMAGENET_EIGENVECTORS)
    expected = 0.1**2 * p @ np.diag(IMAGENET_EIGENVALUES) @ p.T  # a sqrt(l) has variance 0.01 l
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / draws)
    assert (np.abs(np.cov(shift.T) - expected) < 5 * error).all()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("low", "high", "dtype"), [(0, 255, "uint8"), (0, 1, "float32"), (-1, 1, "float64")])
def test_fit_gives_the_eigenpairs_of_the_pixels_in_0_to_1(low, high, dtype):
    images = coloured_images()
    values, vectors = np.linalg.eigh(np.cov(images.reshape(-1, 3).T / 255.0, bias=True))
    layer = FancyPCA(0.1, value_range=(low, high))
    assert layer.fit((images / 255.0 * (high - low) + low).astype(dtype)) is layer
    np.testing.assert_allclose(layer.eigenvalues, values[::-1], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.array(layer.eigenvectors).T @ vectors[:, ::-1]), np.eye(3), atol=1e-5)


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index % len(self.batches)], np.zeros(1)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("form", ["arrays", "tuples", "lists", "generator", "tensors", "PyDataset"])
def test_fit_reads_batches_of_any_size_as_one_array(form):
    images = coloured_images()
    batches = np.split(images, [3, 4, 30])
    data = {
        "arrays": batches,
        "tuples": [(batch, np.zeros(len(batch))) for batch in batches],
        "lists": [[batch, np.zeros(len(batch)), None] for batch in batches],
        "generator": (batch for batch in batches),
        "tensors": [keras.ops.convert_to_tensor(batch) for batch in batches],
        "PyDataset": Batches(batches),
    }[form]
    np.testing.assert_allclose(
        colour_covariance(FancyPCA().fit(data)), colour_covariance(FancyPCA().fit(images)), rtol=1e-9
    )


@pytest.mark.tensorflow_only
def test_fit_reads_a_large_array_in_pieces(monkeypatch):
    whole = colour_covariance(FancyPCA().fit(coloured_images()))
    monkeypatch.setattr("kerastricks.augment.colour_statistics.PIXELS", 100)  # three images
    np.testing.assert_allclose(colour_covariance(FancyPCA().fit(coloured_images())), whole, rtol=1e-9)


@pytest.mark.tensorflow_only
def test_fit_reads_tf_data_and_refuses_one_without_an_end():
    import tensorflow as tf

    images = coloured_images()
    data = tf.data.Dataset.from_tensor_slices((images, np.zeros(len(images)))).batch(7)
    np.testing.assert_allclose(
        colour_covariance(FancyPCA().fit(data)), colour_covariance(FancyPCA().fit(images)), rtol=1e-9
    )
    with pytest.raises(ValueError, match="data must end"):
        FancyPCA().fit(data.repeat())
    with pytest.raises(ValueError, match="batch the data set first"):
        FancyPCA().fit(data.unbatch())


@pytest.mark.tensorflow_only
def test_what_was_fitted_is_part_of_the_configuration():
    layer = FancyPCA(0.1, seed=0).fit(coloured_images())
    again = FancyPCA.from_config(layer.get_config())
    assert again.eigenvalues == layer.eigenvalues != list(IMAGENET_EIGENVALUES)
    np.testing.assert_array_equal(again.components, layer.components)


def test_bgr_is_rgb_with_the_channels_turned_round():
    images, alphas = coloured_images(5), np.random.default_rng(0).normal(0, 0.5, (5, 3))
    rgb = FancyPCA().fit(images)
    bgr = FancyPCA(channels="bgr").fit(images[..., ::-1])
    np.testing.assert_allclose(colour_covariance(bgr), colour_covariance(rgb), rtol=1e-9)
    expected = keras.ops.convert_to_numpy(rgb.shift(images, alphas))
    bgr.eigenvectors = rgb.eigenvectors  # whose sign is free
    turned = keras.ops.convert_to_numpy(bgr.shift(np.ascontiguousarray(images[..., ::-1]), alphas))
    np.testing.assert_allclose(turned[..., ::-1], expected, atol=1e-4)


def test_8_bit_images_really_change():
    images = coloured_images(200)
    shifted = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0).fit(images)(images, training=True))
    strength = 0.1 * 255 * FancyPCA().fit(images).eigenvalues[0]  # of the first component, in grey levels
    assert 0.3 * strength < np.abs(shifted - images).mean() < strength
    shifted = keras.ops.convert_to_numpy(FancyPCA(0.1, seed=0)(images, training=True))
    assert (np.round(shifted) != images).mean() > 0.7


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
def test_integers_in_a_small_range_are_refused(value_range):
    images = coloured_images(2)
    with pytest.raises(ValueError, match=r"value_range=.*float.*Received: uint8; give value_range=\(0, 255\)"):
        FancyPCA(value_range=value_range)(images, training=True)
    with pytest.raises(ValueError, match=r"value_range=.*Received: uint8"):
        FancyPCA(value_range=value_range).fit(images)


@pytest.mark.tensorflow_only
def test_unusable_data_is_refused():
    images = coloured_images(4).astype("float32")
    holed = images.copy()
    holed[2, 0, 0, 1] = np.nan
    for data, message in (
        (holed, "finite.*nan"),
        (np.where(images > 200, np.inf, images + 100), "within value_range"),
        (images - 200, "within value_range"),
        (images[0], r"data must be images .*\(6, 5, 3\)"),
        (images[..., :1], r"data must be images .*\(4, 6, 5, 1\)"),
        ([images, images[0]], "in batch 1"),
        (images[:0], "Received: none"),
        ([], "Received: none"),
        (3, "Received: int"),
        (np.full((2, 3, 3, 3), 7), "more than one colour"),
    ):
        with pytest.raises(ValueError, match=message):
            FancyPCA().fit(data)
