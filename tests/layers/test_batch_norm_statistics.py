"""Statistics recomputed for given weights equal those of a NumPy pass."""

import contextlib

import keras
import numpy as np
import pytest

from kerastricks.keras_graph import precision
from kerastricks.layers import recompute_batch_norm
from kerastricks.training.fused_batch_norm import fused_batch_norm

IMAGES = np.random.default_rng(0).normal(3, 2, (23, 4, 3, 2)).astype("float32")
BATCHES = [IMAGES[:10], IMAGES[10:20], IMAGES[20:]]


def network(nested=True, dropout=0.0):
    """A 1x1 convolution, two normalisations (the second in a model inside), an end."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 3, 2))
    x = keras.layers.Conv2D(5, 1, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.7, name="first")(x)
    x = keras.layers.ReLU()(x)
    inner_inputs = keras.Input(x.shape[1:])
    y = keras.layers.Conv2D(4, 1, name="inner_conv")(inner_inputs)
    if dropout:
        y = keras.layers.Dropout(dropout, seed=3)(y)
    y = keras.layers.BatchNormalization(name="second")(y)
    inner = keras.Model(inner_inputs, y, name="inner")
    x = inner(x) if nested else y
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


def normalisations(model):
    return model.get_layer("first"), model.get_layer("inner").get_layer("second")


def numpy_statistics(model, batches):
    """[(mean, variance)] of both layers, over all images, each batch normalised by itself on the way."""
    weights = {weight.path: keras.ops.convert_to_numpy(weight).astype("float64") for weight in model.weights}
    of = {path.split("/", 1)[-1] if path.startswith("inner/") else path: value for path, value in weights.items()}
    seen = [[], []]
    for images in batches:
        x = images.astype("float64") @ of["conv/kernel"][0, 0] + of["conv/bias"]
        seen[0].append(x.reshape(-1, 5))
        x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3) * of["first/gamma"] + of["first/beta"]
        seen[1].append((np.maximum(x, 0) @ of["inner_conv/kernel"][0, 0] + of["inner_conv/bias"]).reshape(-1, 4))
    return [(np.concatenate(x).mean(0), np.concatenate(x).var(0)) for x in seen]


def assert_statistics(model, expected, rtol=1e-5):
    for layer, (mean, variance) in zip(normalisations(model), expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.moving_mean), mean, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.moving_variance), variance, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("form", ["images", "pairs", "tensors", "generator"])
def test_statistics_are_those_of_all_images(form):
    model = network()
    expected = numpy_statistics(model, BATCHES)
    assert not np.allclose(expected[0][0], 0, atol=0.1)  # what they were before
    batches = {
        "images": BATCHES,
        "pairs": [(batch, np.zeros(len(batch))) for batch in BATCHES],
        "tensors": [keras.ops.convert_to_tensor(batch) for batch in BATCHES],
        "generator": (batch for batch in [*BATCHES, IMAGES[:0]]),
    }[form]
    assert recompute_batch_norm(model, batches) == 2
    assert_statistics(model, expected)


def test_the_variance_between_batches_counts():
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    recompute_batch_norm(model, [np.zeros((4, 1), "float32"), np.full((2, 1), 3.0, "float32")])
    mean, variance = (keras.ops.convert_to_numpy(weight) for weight in model.layers[0].weights[2:])
    np.testing.assert_allclose([mean[0], variance[0]], [1.0, 2.0], rtol=1e-6)


def test_all_else_is_as_before():
    model = network(dropout=0.4)
    model.get_layer("first").moving_mean.assign(np.full(5, np.nan))  # does not spoil what is found
    before = {variable.path: keras.ops.convert_to_numpy(variable).copy() for variable in model.variables}
    recompute_batch_norm(model, BATCHES)
    changed = {
        variable.path.split("/", 1)[-1] if "inner" in variable.path else variable.path
        for variable in model.variables
        if not np.array_equal(keras.ops.convert_to_numpy(variable), before[variable.path])
    }
    assert {name.split("/")[-1] for name in changed} == {"moving_mean", "moving_variance"}
    assert all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in model.weights)
    first, second = normalisations(model)
    assert (first.momentum, second.momentum) == (0.7, 0.99)


def test_dropout_acts_as_in_training():
    plain, dropped = network(), network(dropout=0.5)
    for model in (plain, dropped):
        recompute_batch_norm(model, [np.tile(IMAGES, (20, 1, 1, 1))])
    variances = [keras.ops.convert_to_numpy(normalisations(model)[1].moving_variance) for model in (plain, dropped)]
    # E[(x m / 0.5)^2] = 2 E[x^2]: larger by E[x^2], which is the variance at least.
    assert (variances[1] > 1.5 * variances[0]).all()


def test_a_frozen_layer_keeps_its_statistics():
    model = network()
    first, second = normalisations(model)
    second.trainable = False
    second.moving_mean.assign(np.full(4, 0.25))
    assert recompute_batch_norm(model, BATCHES) == 1
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(second.moving_mean), np.full(4, 0.25, "float32"))
    assert not np.allclose(keras.ops.convert_to_numpy(first.moving_mean), 0)
    model.trainable = False
    assert recompute_batch_norm(model, iter(())) == 0


@pytest.mark.parametrize(("policy", "fused"), [("mixed_bfloat16", False), ("float32", True), ("mixed_bfloat16", True)])
def test_mixed_precision_and_the_fused_kernel(policy, fused):
    model = network()
    expected = numpy_statistics(model, BATCHES)
    with precision(model, policy), fused_batch_norm(model) if fused else contextlib.nullcontext():
        recompute_batch_norm(model, BATCHES)
    assert_statistics(model, expected, 0.05 if policy != "float32" else 1e-4)


def test_the_global_policy_does_not_round_the_statistics():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = keras.Sequential([keras.Input((1,), dtype="float32"), keras.layers.BatchNormalization(dtype="float32")])
        images = np.random.default_rng(1).normal(100, 0.1, (50, 1)).astype("float32")
        recompute_batch_norm(model, [images])
    finally:
        keras.config.set_dtype_policy("float32")
    found = float(keras.ops.convert_to_numpy(model.layers[0].moving_mean)[0])
    assert found == pytest.approx(float(images.mean(dtype="float64")), abs=1e-3)


def test_averaged_weights_need_it():
    """Two solutions and the middle between them: with the statistics' average, inference is not what training is."""
    model = network()
    kernels = [np.random.default_rng(seed).normal(size=(1, 1, 2, 5)) for seed in (1, 2)]
    statistics = []
    for kernel in kernels:
        model.get_layer("conv").kernel.assign(kernel)
        recompute_batch_norm(model, BATCHES)
        statistics.append([keras.ops.convert_to_numpy(w).copy() for w in normalisations(model)[0].weights[2:]])
    model.get_layer("conv").kernel.assign((kernels[0] + kernels[1]) / 2)
    for variable, a, b in zip(normalisations(model)[0].weights[2:], *statistics, strict=True):
        variable.assign((a + b) / 2)
    in_training = keras.ops.convert_to_numpy(model(IMAGES, training=True))
    averaged = model.predict_on_batch(IMAGES)
    recompute_batch_norm(model, [IMAGES])
    recomputed = model.predict_on_batch(IMAGES)
    np.testing.assert_allclose(recomputed, in_training, atol=1e-4)
    assert np.abs(averaged - in_training).max() > 0.05


def test_a_renormalising_layer():
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(renorm=True)])
    images = np.random.default_rng(0).normal(5, 3, (40, 2)).astype("float32")
    recompute_batch_norm(model, [images[:25], images[25:]])
    layer = model.layers[0]
    assert layer.renorm
    for variable, value in (
        (layer.moving_mean, images.mean(0)),
        (layer.moving_variance, images.var(0)),
        (layer.renorm_mean, images.mean(0)),
        (layer.renorm_stddev, np.sqrt(images.var(0) + 1e-3)),
    ):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), value, rtol=1e-5)


def test_failures_leave_the_model_as_it_was():
    model = network()
    recompute_batch_norm(model, BATCHES)
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]

    def broken():
        yield IMAGES
        raise OSError("the disk")

    for batches, error, message in (
        (broken(), OSError, "the disk"),
        ([], ValueError, "batches must hold images"),
        ([np.full_like(IMAGES, np.nan)], ValueError, "must be finite"),
    ):
        with pytest.raises(error, match=message):
            recompute_batch_norm(model, batches)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_a_model_that_is_not_built():
    with pytest.raises(ValueError, match="must be built"):
        recompute_batch_norm(keras.Sequential([keras.layers.BatchNormalization()]), [IMAGES])
