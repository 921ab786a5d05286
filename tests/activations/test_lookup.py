"""Activations by name."""

import keras
import numpy as np
import pytest

from kerastricks.activations import ACTIVATIONS, KerasFunction, get
from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.layers import RReLU

X = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")


def values(layer, x=X):
    return keras.ops.convert_to_numpy(layer(x))


def test_ours_have_the_defaults_of_their_papers():
    assert set(ACTIVATIONS) >= {"leaky_relu", "prelu", "rrelu"}
    np.testing.assert_allclose(values(get("leaky_relu")), np.where(X < 0, 0.01 * X, X), rtol=1e-5)
    np.testing.assert_allclose(values(get("leaky_relu(0.18)")), np.where(X < 0, 0.18 * X, X), rtol=1e-5)
    np.testing.assert_allclose(values(get("prelu")), np.where(X < 0, 0.25 * X, X), rtol=1e-5)
    np.testing.assert_allclose(values(get("rrelu")), np.where(X < 0, X / 5.5, X), rtol=1e-5)
    assert isinstance(get("rrelu(mode='library')"), RReLU)


def test_prelu_shares_what_the_rank_leaves():
    assert [get("prelu", rank).shared_axes for rank in (2, 3, 4, 5)] == [None, [1], [1, 2], [1, 2, 3]]
    assert get("prelu(0.1, shared_axes=(2,))").shared_axes == [2]
    assert get("prelu(0.1, (2,))").shared_axes == [2]


def test_names_of_keras_are_its_activation_layer():
    for name in ("relu", "tanh", "softplus", "gelu", "swish", "selu", "sigmoid"):
        layer = get(name, name="act")
        assert type(layer) is keras.layers.Activation
        assert layer.name == "act"
        function = getattr(keras.activations, name)
        np.testing.assert_array_equal(values(layer), keras.ops.convert_to_numpy(function(keras.ops.array(X))))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("elu(alpha=0.5)", lambda x: np.where(x < 0, 0.5 * np.expm1(x), x)),
        ("elu(0.5)", lambda x: np.where(x < 0, 0.5 * np.expm1(x), x)),
        ("relu(0.1, 1.0)", lambda x: np.where(x < 0, 0.1 * x, np.minimum(x, 1))),
        ("celu(alpha=2.0)", lambda x: np.where(x < 0, 2 * np.expm1(x / 2), x)),
        ("threshold(0.5, -1.0)", lambda x: np.where(x > 0.5, x, -1)),
    ],
)
def test_names_of_keras_with_arguments(spec, expected, tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), get(spec)])
    np.testing.assert_allclose(values(model), expected(X.astype("float64")), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(values(keras.models.load_model(tmp_path / "model.keras")), values(model))


@pytest.mark.tensorflow_only
def test_layers_of_keras_serve_where_there_are_some():
    assert type(get("elu(0.5)")) is keras.layers.ELU
    assert isinstance(get("gelu(approximate=True)").activation, KerasFunction)


def test_a_layer_is_copied_without_its_weights_and_name():
    layer = keras.layers.PReLU("ones", shared_axes=[1], name="mine")
    layer(X)
    copy, named = get(layer), get(layer, name="other")
    assert copy is not layer
    assert not copy.built
    assert copy.shared_axes == [1]
    assert (copy.name == "mine", named.name) == (False, "other")


def test_a_function_is_taken_as_it_is():
    np.testing.assert_array_equal(values(get(lambda x: x * 2, name="twice")), 2 * X)


def test_each_call_gives_a_layer_of_its_own():
    for activation in ("relu", "prelu", "rrelu", keras.layers.ReLU()):
        assert get(activation) is not get(activation)


@pytest.mark.tensorflow_only
def test_ones_own_activation_can_be_registered():
    ACTIVATIONS.register("twice")(lambda factor=2.0, name=None: keras.layers.Rescaling(factor, name=name))
    try:
        np.testing.assert_allclose(values(get("twice(3.0)")), 3 * X)
    finally:
        del ACTIVATIONS._entries["twice"]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("activation", "error", "message"),
    [
        ("rellu", UnknownNameError, "no activation is called 'rellu': did you mean relu"),
        ("leaky_rleu", UnknownNameError, "did you mean leaky_relu"),
        ("get", UnknownNameError, "no activation is called 'get'"),
        ("tanh(3)", SpecError, r"tanh\(3\): too many positional arguments"),
        ("elu(slope=1)", SpecError, r"arguments of elu: alpha"),
        ("threshold", SpecError, "missing a required argument"),
        ("rrelu(mode='pytorch')", SpecError, 'mode must be "paper" or "library"'),
        ("rrelu(name='x')", SpecError, "name cannot be set here"),
        ("leaky_relu(-1)", SpecError, "negative_slope must be 0 or more"),
        ("relu | tanh", SpecError, "expected one name"),
        (None, ValueError, "must be a spec, a layer or a function. Received: activation=None"),
        (keras.layers.ReLU, ValueError, "must be a spec, a layer or a function. Received: activation=<class"),
    ],
)
def test_what_is_no_activation_is_named(activation, error, message):
    with pytest.raises(error, match=message) as caught:
        get(activation)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_a_rank_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"rank must be 2 or more.*Received: rank=1"):
        get("prelu", rank=1)
