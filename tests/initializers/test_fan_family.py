"""The random initializers by their distribution: variances from the papers, bounds from the sample size."""

import keras
import numpy as np
import pytest

from kerastricks.initializers import (
    DeltaOrthogonal,
    FanIn,
    HeNormal,
    HeUniform,
    SmallNormal,
    SmallUniform,
    XavierNormal,
    XavierUniform,
    fans,
)

CONV, DENSE = (3, 3, 50, 60), (200, 150)


def values(initializer, shape):
    return keras.ops.convert_to_numpy(initializer(shape)).astype("float64").ravel()


def fourth_moment(normal):
    return 3.0 if normal else 9 / 5  # of a distribution of variance 1


@pytest.mark.parametrize(
    ("initializer", "shape", "variance", "normal"),
    [
        (SmallNormal(seed=1), CONV, 1e-3**2, True),
        (SmallNormal(0.01, seed=1), DENSE, 0.01**2, True),
        (SmallUniform(seed=1), CONV, 1e-3**2 / 3, False),
        (SmallUniform(1.0, seed=1), DENSE, 1 / 3, False),
        (FanIn(seed=1), CONV, 1 / (3 * 3 * 50), True),
        (FanIn("uniform", seed=1), DENSE, 1 / 200, False),
        (XavierNormal(seed=1), CONV, 2 / (9 * 50 + 9 * 60), True),
        (XavierUniform(seed=1), CONV, 2 / (9 * 50 + 9 * 60), False),
        (XavierUniform(seed=1), DENSE, 2 / 350, False),
        (HeNormal(seed=1), CONV, 2 / (9 * 50), True),
        (HeNormal(0.25, seed=1), DENSE, 2 / ((1 + 0.0625) * 200), True),
        (HeUniform(seed=1), DENSE, 2 / 200, False),
        (HeUniform(1.0, seed=1), CONV, 1 / (9 * 50), False),
        (HeNormal(depthwise=True, seed=1), (5, 5, 400, 3), 2 / 25, True),
        (XavierNormal(depthwise=True, seed=1), (5, 5, 400, 3), 2 / (25 + 75), True),
        (FanIn("uniform", True, seed=1), (3, 3, 800, 4), 1 / 9, False),
    ],
)
def test_distribution(initializer, shape, variance, normal):
    drawn = values(initializer, shape) / np.sqrt(variance)
    n = drawn.size
    assert abs(drawn.mean()) < 5 / np.sqrt(n)
    assert abs(drawn.var() - 1) < 5 * np.sqrt((fourth_moment(normal) - 1) / n)
    if normal:
        # Untruncated: 4.55 % lie beyond two standard deviations, and some beyond three.
        assert abs((np.abs(drawn) > 2).mean() - 0.0455) < 5 * np.sqrt(0.0455 * 0.9545 / n)
        assert np.abs(drawn).max() > 3
    else:
        assert np.sqrt(3) * (1 - 20 / n) < np.abs(drawn).max() <= np.sqrt(3) * (1 + 1e-6)


@pytest.mark.tensorflow_only
def test_fans_of_kernels():
    assert fans((20, 30)) == (20, 30)
    assert fans((5, 3, 20, 30)) == (300, 450)
    assert fans((3, 3, 3, 20, 30)) == (540, 810)
    assert fans((3, 3, 64, 2), depthwise=True) == (9, 18)
    assert fans((5, 64, 1), depthwise=True) == (5, 5)


@pytest.mark.parametrize(("shape", "depthwise"), [((), False), ((4,), False), ((3, 4), True), ((0, 4), False)])
@pytest.mark.tensorflow_only
def test_fans_of_something_else_are_refused(shape, depthwise):
    with pytest.raises(ValueError, match=r"shape must be a .*kernel's.*Received"):
        fans(shape, depthwise)


def kernels(layer, *shapes):
    """By name, the weights of a layer that is built for inputs of these shapes."""
    layer.build(*shapes)
    return {
        weight.path.split("/", 1)[-1]: keras.ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights
    }


LAYERS = {
    # layer, shapes it is built for, and of each kernel n_in and n_out
    "dense": (lambda s: keras.layers.Dense(150, kernel_initializer=s), [(None, 200)], {"kernel": (200, 150)}),
    "conv 1d": (lambda s: keras.layers.Conv1D(60, 5, kernel_initializer=s), [(None, 9, 50)], {"kernel": (250, 300)}),
    "grouped": (
        lambda s: keras.layers.Conv2D(64, 3, strides=2, groups=4, kernel_initializer=s),
        [(None, 9, 9, 32)],
        {"kernel": (9 * 8, 9 * 16)},
    ),
    "conv 3d": (
        lambda s: keras.layers.Conv3D(20, 3, kernel_initializer=s),
        [(None, 4, 4, 4, 10)],
        {"kernel": (27 * 10, 27 * 20)},
    ),
    "depthwise 1d": (
        lambda s: keras.layers.DepthwiseConv1D(5, depth_multiplier=2, depthwise_initializer=s),
        [(None, 9, 400)],
        {"kernel": (5, 10)},
    ),
    "depthwise 2d": (
        lambda s: keras.layers.DepthwiseConv2D(3, depthwise_initializer=s),
        [(None, 9, 9, 400)],
        {"kernel": (9, 9)},
    ),
    "separable": (
        lambda s: keras.layers.SeparableConv2D(
            60, 3, depth_multiplier=2, depthwise_initializer=s, pointwise_initializer=s
        ),
        [(None, 9, 9, 100)],
        {"depthwise_kernel": (9, 18), "pointwise_kernel": (200, 60)},
    ),
    "transposed 1d": (
        lambda s: keras.layers.Conv1DTranspose(40, 4, strides=2, kernel_initializer=s),
        [(None, 9, 80)],
        {"kernel": (4 * 80 / 2, 4 * 40)},
    ),
    "transposed 2d": (
        lambda s: keras.layers.Conv2DTranspose(64, 3, kernel_initializer=s),
        [(None, 9, 9, 32)],
        {"kernel": (9 * 32, 9 * 64)},
    ),
    "transposed 2d, strides": (
        lambda s: keras.layers.Conv2DTranspose(32, 3, strides=2, kernel_initializer=s),
        [(None, 9, 9, 64)],
        {"kernel": (9 * 64 / 4, 9 * 32)},
    ),
    "transposed 3d": (
        lambda s: keras.layers.Conv3DTranspose(8, 2, strides=(1, 2, 2), kernel_initializer=s),
        [(None, 4, 4, 4, 50)],
        {"kernel": (8 * 50 / 4, 8 * 8)},
    ),
    "einsum, heads": (
        lambda s: keras.layers.EinsumDense("abc,cde->abde", (None, 8, 32), kernel_initializer=s),
        [(None, 7, 256)],
        {"kernel": (256, 256)},
    ),
    "einsum, batched": (  # one matrix a head: the heads join nothing
        lambda s: keras.layers.EinsumDense("abhc,hcd->abhd", (None, 10, 30), kernel_initializer=s),
        [(None, 7, 10, 40)],
        {"kernel": (40, 30)},
    ),
    "einsum, any rank": (
        lambda s: keras.layers.EinsumDense("...x,xy->...y", (150,), kernel_initializer=s),
        [(None, 7, 200)],
        {"kernel": (200, 150)},
    ),
    "einsum, turned": (
        lambda s: keras.layers.EinsumDense("abc,dc->abd", (None, 150), kernel_initializer=s),
        [(None, 7, 200)],
        {"kernel": (200, 150)},
    ),
    "attention": (
        lambda s: keras.layers.MultiHeadAttention(8, 16, value_dim=24, output_shape=96, kernel_initializer=s),
        [(None, 7, 64), (None, 7, 80)],
        {
            "query/kernel": (64, 128),
            "key/kernel": (80, 128),
            "value/kernel": (80, 192),
            "attention_output/kernel": (192, 96),
        },
    ),
    "grouped attention": (
        lambda s: keras.layers.GroupQueryAttention(16, 8, 2, kernel_initializer=s),
        [(None, 7, 96), (None, 7, 96)],
        {
            "query/kernel": (96, 128),
            "key/kernel": (96, 32),
            "value/kernel": (96, 32),
            "attention_output/kernel": (128, 96),
        },
    ),
    "embedding": (
        lambda s: keras.layers.Embedding(1_000, 20, embeddings_initializer=s),
        [(None, 7)],
        {"embeddings": (1, 20)},
    ),
    "recurrent": (
        lambda s: keras.layers.LSTMCell(50, kernel_initializer=s, recurrent_initializer=s),
        [(None, 80)],
        {"kernel": (80, 200), "recurrent_kernel": (50, 200)},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_kernel_of_kerass_layers_has_its_fans(name):
    make, shapes, expected = LAYERS[name]
    for start, variance in (
        (FanIn(seed=1), lambda n_in, n_out: 1 / n_in),
        (XavierUniform(seed=2), lambda n_in, n_out: 2 / (n_in + n_out)),
    ):
        found = kernels(make(start), *shapes)
        for kernel, fan in expected.items():
            drawn = found[kernel].ravel() / np.sqrt(variance(*fan))
            # A fourth moment of 3 at most.
            assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / drawn.size), kernel


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_a_transposed_convolution_keeps_the_second_moment_after_relu(strides):
    images = np.random.default_rng(0).normal(size=(4, 24, 24, 64)).astype("float32")
    layer = keras.layers.Conv2DTranspose(48, 3, strides, "same", kernel_initializer=HeNormal(seed=1))
    out = keras.ops.convert_to_numpy(layer(np.maximum(images, 0)))[:, 3:-3, 3:-3]
    # Sums over 9 * 64 products; what is left is the chance of 9 * 64 * 48 weights, and of the mean of relu.
    assert abs(np.square(out).mean() - 1) < 0.1


@pytest.mark.tensorflow_only
@pytest.mark.tensorflow_only
def test_without_a_layer_the_shape_decides_and_a_layer_knows_better():
    """(256, 8, 32): a kernel of Conv1D with 2,048 inputs, or of attention with 256."""
    alone = values(FanIn(seed=1), (256, 8, 32))
    attention = keras.layers.MultiHeadAttention(8, 32, kernel_initializer=FanIn(seed=1))
    attention.build((1, 4, 256), (1, 4, 256))
    kernel = keras.ops.convert_to_numpy(attention.query_dense.kernel)
    assert kernel.shape == (256, 8, 32)
    for drawn, inputs in ((alone, 2048), (kernel.ravel(), 256)):
        assert abs(drawn.var() * inputs - 1) < 5 * np.sqrt(2 / drawn.size)


def test_a_layer_of_ones_own_is_counted_by_its_shape_and_what_it_says():
    class Own(keras.layers.Layer):
        def __init__(self, start):
            super().__init__()
            self.kernel = self.add_weight(shape=(3, 3, 50, 60), initializer=start, name="kernel")

    for start, n_in in ((FanIn(seed=1), 450), (FanIn(depthwise=True, seed=1), 9)):
        drawn = keras.ops.convert_to_numpy(Own(start).kernel).ravel() * np.sqrt(n_in)
        assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / drawn.size)


def test_a_depthwise_layer_keeps_the_second_moment_behind_relu():
    images = np.random.default_rng(0).normal(size=(16, 12, 12, 128)).astype("float32")
    layer = keras.layers.DepthwiseConv2D(3, depthwise_initializer=HeNormal(depthwise=True, seed=1))
    out = keras.ops.convert_to_numpy(layer(np.maximum(images, 0)))
    # E[out^2] = n_in * var * E[relu(x)^2] = 9 * 2 / 9 * 1 / 2 = 1; 128 channels of 9 draws each set the spread.
    assert abs(np.square(out).mean() - 1) < 5 * np.sqrt(2 / (128 * 9)) * 3
    std = keras.ops.convert_to_numpy(layer.kernel).std()
    assert abs(std - np.sqrt(2 / 9)) < 5 * np.sqrt(2 / 9) / np.sqrt(2 * 9 * 128)


@pytest.mark.parametrize("make", [SmallNormal, SmallUniform, FanIn, XavierNormal, XavierUniform, HeNormal, HeUniform])
def test_seeds_follow_keras(make):
    first, again = make(seed=3), make(seed=3)
    np.testing.assert_array_equal(values(first, DENSE), values(first, DENSE))
    np.testing.assert_array_equal(values(first, DENSE), values(again, DENSE))
    np.testing.assert_array_equal(values(first, DENSE), values(first.clone(), DENSE))
    assert (values(first, DENSE) != values(make(seed=4), DENSE)).mean() > 0.99
    unseeded = make()
    assert (values(unseeded, DENSE) != values(unseeded.clone(), DENSE)).mean() > 0.99
    generated = make(seed=keras.random.SeedGenerator(3))
    assert (values(generated, DENSE) != values(generated, DENSE)).mean() > 0.99


def test_without_a_seed_set_random_seed_rules():
    drawn = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        drawn.append(values(HeNormal(), DENSE))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.99


def test_a_seed_generator_survives_the_config():
    start = HeNormal(seed=keras.random.SeedGenerator(3))
    again = keras.initializers.deserialize(keras.initializers.serialize(start))
    np.testing.assert_array_equal(values(again, DENSE), values(HeNormal(seed=keras.random.SeedGenerator(3)), DENSE))


@pytest.mark.parametrize(
    ("make", "arguments", "names"),
    [
        (SmallNormal, {"stddev": 0}, "stddev"),
        (SmallNormal, {"stddev": float("nan")}, "stddev"),
        (SmallUniform, {"limit": -1.0}, "limit"),
        (SmallUniform, {"limit": float("inf")}, "limit"),
        (FanIn, {"distribution": "gauss"}, "distribution"),
        (XavierNormal, {"depthwise": 1}, "depthwise"),
        (XavierUniform, {"seed": "one"}, "seed"),
        (HeNormal, {"negative_slope": float("nan")}, "negative_slope"),
        (HeUniform, {"negative_slope": float("inf")}, "negative_slope"),
        (DeltaOrthogonal, {"gain": 0}, "gain"),
    ],
)
@pytest.mark.tensorflow_only
def test_illegal_arguments_are_named(make, arguments, names):
    with pytest.raises(ValueError, match=f"{names}.*Received"):
        make(**arguments)
