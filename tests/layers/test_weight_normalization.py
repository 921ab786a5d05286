"""WeightNormalization against the equations of Salimans and Kingma 2016."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.layers import WeightNormalization

# How a layer is made, the shape of its input, and the axes of its kernel that make up one unit's vector.
KINDS = {
    "dense": (lambda **k: keras.layers.Dense(5, **k), (6,), (0,)),
    "conv": (lambda **k: keras.layers.Conv2D(5, (3, 2), **k), (6, 7, 4), (0, 1, 2)),
    "grouped": (lambda **k: keras.layers.Conv2D(6, 3, groups=2, **k), (6, 7, 4), (0, 1, 2)),
    "depthwise": (lambda **k: keras.layers.DepthwiseConv2D(3, depth_multiplier=2, **k), (6, 7, 4), (0, 1)),
    "transposed": (lambda **k: keras.layers.Conv2DTranspose(5, 3, strides=2, **k), (4, 5, 3), (0, 1, 3)),
}
kinds = pytest.mark.parametrize(("make", "shape", "axes"), KINDS.values(), ids=KINDS)
# Two steps are compiled for each: on JAX and torch of a kernel whose units are its last axis, and of one where not.
trained_kinds = pytest.mark.parametrize(
    ("make", "shape", "axes"),
    [
        pytest.param(*kind, id=name) if name in ("dense", "transposed") else tensorflow_case(*kind, id=name)
        for name, kind in KINDS.items()
    ],
)


def data(shape, size=16):
    return np.random.default_rng(0).normal(1, 2, (size, *shape)).astype("float32")


def values(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def wrapped(make, shape, **arguments):
    """A built wrapper whose g and bias are random; v, ||v|| (to be broadcast) and g (likewise)."""
    layer = WeightNormalization(make(**arguments))
    layer.build((None, *shape))
    generator = np.random.default_rng(1)
    layer.g.assign(generator.uniform(0.5, 2, layer.g.shape))
    if layer.layer.use_bias:
        layer.layer.bias.assign(generator.normal(size=layer.layer.bias.shape))
    return layer


def parts(layer, axes):
    v = values(layer.layer.kernel)
    norm = np.sqrt((v**2).sum(axis=axes, keepdims=True))
    return v, norm, values(layer.g).reshape(norm.shape)


def plain_with(layer, make, shape, kernel, **arguments):
    plain = make(**arguments)
    plain.build((None, *shape))
    plain.set_weights([kernel, values(layer.layer.bias)])
    return plain


@kinds
def test_the_kernel_is_g_v_over_the_norm_of_v(make, shape, axes):
    layer = wrapped(make, shape)
    v, norm, g = parts(layer, axes)  # equation 2
    expected = values(plain_with(layer, make, shape, g * v / norm)(data(shape)))
    np.testing.assert_allclose(values(layer(data(shape))), expected, rtol=1e-5, atol=1e-5)


@kinds
def test_wrapping_a_trained_layer_changes_nothing(make, shape, axes):
    plain = make(activation="tanh")
    before = values(plain(data(shape)))
    np.testing.assert_allclose(values(WeightNormalization(plain)(data(shape))), before, rtol=1e-5, atol=1e-5)


def step(layer, shape, images):
    """The gradients of the mean of the output's square, from one step of SGD at rate 1, by variable name."""
    model = keras.Sequential([keras.Input(shape), layer])
    model.compile(keras.optimizers.SGD(1.0), lambda y, prediction: keras.ops.mean(keras.ops.square(prediction)))
    before = [values(v) for v in layer.trainable_variables]
    model.train_on_batch(images, np.zeros((len(images), 1)))
    return {v.name: old - values(v) for v, old in zip(layer.trainable_variables, before, strict=True)}


@trained_kinds
def test_gradients_are_the_papers(make, shape, axes):
    layer = wrapped(make, shape)
    v, norm, g = parts(layer, axes)
    of_w = step(plain_with(layer, make, shape, g * v / norm), shape, data(shape))
    ours = step(layer, shape, data(shape))
    # Equation 3.
    of_g = (of_w["kernel"] * v).sum(axis=axes, keepdims=True) / norm
    of_v = g / norm * of_w["kernel"] - g * of_g / norm**2 * v
    np.testing.assert_allclose(ours["g"], of_g.reshape(ours["g"].shape), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours["kernel"], of_v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours["bias"], of_w["bias"], rtol=1e-4, atol=1e-5)


def test_gradients_by_finite_differences():
    layer = wrapped(KINDS["dense"][0], (6,), activation="tanh")
    x = data((6,)).astype("float64") / 4
    start = {"g": values(layer.g), "kernel": values(layer.layer.kernel), "bias": values(layer.layer.bias)}

    def loss(w):
        lengths = w["g"] / np.sqrt((w["kernel"] ** 2).sum(axis=0))
        return np.mean(np.tanh(x @ (w["kernel"] * lengths) + w["bias"]) ** 2)

    found = step(layer, (6,), x.astype("float32"))
    for name, value in start.items():
        expected = np.empty(value.shape)
        for index in np.ndindex(value.shape):
            moved = np.zeros(value.shape)
            moved[index] = 1e-5
            up, down = loss({**start, name: value + moved}), loss({**start, name: value - moved})
            expected[index] = (up - down) / 2e-5
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)


@kinds
def test_initialize_is_equation_6(make, shape, axes):
    layer = wrapped(make, shape, activation="relu")
    v, norm, _ = parts(layer, axes)
    x = data(shape, 64)
    layer.initialize(x)
    plain = make(use_bias=False)
    plain.build((None, *shape))
    plain.set_weights([v / norm])
    t = values(plain(x))  # equation 5
    mean, deviation = t.mean(axis=tuple(range(t.ndim - 1))), t.std(axis=tuple(range(t.ndim - 1)))
    np.testing.assert_allclose(values(layer.g).ravel(), 1 / deviation, rtol=1e-4)
    np.testing.assert_allclose(values(layer.layer.bias), -mean / deviation, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values(layer.layer.kernel), v)


def test_initialize_builds_and_does_without_a_bias():
    layer = WeightNormalization(keras.layers.Dense(4, use_bias=False))
    layer.initialize(data((6,), 200))
    np.testing.assert_allclose(values(layer(data((6,), 200))).std(axis=0), 1, rtol=1e-4)


def test_initialize_refuses_data_on_which_a_unit_is_constant():
    for bad in (np.ones((8, 6)), np.full((8, 6), np.nan)):
        with pytest.raises(ValueError, match=r"data must be finite and vary.*\(8, 6\).*5 of 5"):
            WeightNormalization(keras.layers.Dense(5)).initialize(bad)


@kinds
def test_to_plain_is_a_layer_of_keras_that_does_the_same(make, shape, axes):
    layer = wrapped(make, shape)
    plain = layer.to_plain()
    assert type(plain) is type(layer.layer)
    assert len(plain.variables) == 2
    np.testing.assert_allclose(values(plain(data(shape))), values(layer(data(shape))), rtol=1e-5, atol=1e-5)


def test_a_model_that_is_built_inside_fit_starts_with_g_as_the_norm():
    model = keras.Sequential([WeightNormalization(keras.layers.Dense(5)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(data((6,)), np.zeros((16, 1)), verbose=0)
    v, norm, g = parts(model.layers[0], (0,))
    assert v.std() > 0.1
    np.testing.assert_allclose(g, norm, rtol=1e-5)


@trained_kinds
def test_mixed_precision_trains_float32_variables(make, shape, axes):
    exact = wrapped(make, shape)
    mixed = WeightNormalization(make(dtype="mixed_bfloat16"))
    mixed.build((None, *shape))
    mixed.set_weights(exact.get_weights())
    assert {v.dtype for v in mixed.variables} == {"float32"}
    expected, found = step(exact, shape, data(shape)), step(mixed, shape, data(shape))
    for name in ("g", "kernel"):  # Keras sums the gradient of a bias in bfloat16
        # Two roundings of the kernel, those of inputs and outputs: a few times 2^-9 of the largest.
        assert np.abs(found[name] - expected[name]).max() < 8 * 2**-9 * np.abs(expected[name]).max()


def test_a_clone_has_weights_of_its_own():
    layer = wrapped(*KINDS["dense"][:2])
    model = keras.Sequential([keras.Input((6,)), layer])
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(values(clone(data((6,)))), values(model(data((6,)))), rtol=1e-6)
    assert clone.layers[0].layer.kernel is not layer.layer.kernel


def test_a_kernel_regularizer_acts_on_w_and_once():
    layer = wrapped(KINDS["dense"][0], (6,), kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((6,)), layer])
    # ||w|| is g, so that the sum of the squares of w is that of g.
    expected = 0.1 * (values(layer.g) ** 2).sum()
    assert [float(values(loss)) for loss in model.losses] == pytest.approx([expected], rel=1e-5)
    model.compile(keras.optimizers.SGD(1.0), lambda y, prediction: 0 * keras.ops.mean(prediction))
    g, v = values(layer.g), values(layer.layer.kernel)
    assert float(model.train_on_batch(data((6,)), np.zeros((16, 5)))) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(values(layer.g), g - 0.2 * g, rtol=1e-5)
    np.testing.assert_allclose(values(layer.layer.kernel), v, atol=1e-6)


def test_an_activity_regularizer_counts_once():
    plain = keras.layers.Dense(5, activity_regularizer=keras.regularizers.L2(0.1))
    layer = WeightNormalization(plain)
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(keras.optimizers.SGD(0.0), lambda y, prediction: 0 * keras.ops.mean(prediction))
    expected = 0.1 * (values(model(data((6,)))) ** 2).sum() / 16
    assert float(model.train_on_batch(data((6,)), np.zeros((16, 5)))) == pytest.approx(expected, rel=1e-4)


def test_frozen_it_has_nothing_to_train():
    layer = wrapped(*KINDS["dense"][:2])
    layer.trainable = False
    assert layer.trainable_variables == []
    assert len(layer.non_trainable_variables) == 3


def test_saved_after_training_it_is_the_same(tmp_path):
    layer = wrapped(*KINDS["conv"][:2], kernel_regularizer="l2", activity_regularizer="l2")
    model = keras.Sequential([keras.Input((6, 7, 4)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(values(ours), values(theirs))
    assert float(values(loaded.losses[0])) == pytest.approx(float(values(model.losses[0])), rel=1e-6)


def test_axis_names_the_units_of_other_layers():
    layer = WeightNormalization(keras.layers.EinsumDense("bi,ijk->bjk", (3, 4), bias_axes="jk"), axis=(1, 2))
    layer(data((6,)))
    assert layer.g.shape == (3, 4)
    np.testing.assert_allclose(values(layer.g), np.sqrt((values(layer.layer.kernel) ** 2).sum(axis=0)), rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightNormalization(keras.layers.LSTM(3)), "give axis"),
        (lambda: WeightNormalization(keras.layers.SeparableConv2D(3, 3)), "give axis"),
        (lambda: WeightNormalization(keras.layers.Dense(3, kernel_constraint="unit_norm")), "no kernel_constraint"),
        (lambda: WeightNormalization(keras.layers.Dense(3, kernel_initializer="zeros")), "kernel with a direction"),
        (lambda: WeightNormalization(keras.layers.Dense(3), axis=2).build((None, 4)), r"axis must be .*\(4, 3\)"),
        (lambda: WeightNormalization(keras.layers.Embedding(9, 3), axis=1).build((None, 2)), "variable `kernel`"),
    ],
)
def test_layers_that_it_cannot_wrap_are_refused(make, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        make()


def test_an_axis_that_is_named_twice_counts_once():
    layer = WeightNormalization(keras.layers.Dense(3), axis=(1, -1))
    layer.build((None, 4))
    assert tuple(layer.g.shape) == (3,)


def test_to_plain_needs_weights():
    with pytest.raises(ValueError, match=r"needs weights.*Received"):
        WeightNormalization(keras.layers.Dense(3)).to_plain()
