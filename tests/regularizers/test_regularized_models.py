"""A clone with regularization: the same function, the penalty asked for, saved and loaded with it."""

import random

import keras
import numpy as np
import pytest

from kerastricks.errors import SpecError, UnknownNameError
from kerastricks.layers import WeightNormalization
from kerastricks.models import create
from kerastricks.regularizers import apply_regularization, undecayed

layers = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


def network():
    """Nested functional and Sequential models, a shared layer, wrappers, dropout, and an adapted layer."""
    inner_inputs = keras.Input((8, 8, 4))
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(inner_inputs)
    inner = keras.Model(inner_inputs, layers.LayerNormalization(name="layer_norm")(x), name="inner")
    tail = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, "relu"), layers.Dropout(0.5, seed=3), layers.Dense(2)], name="tail"
    )
    normalization = layers.Normalization()
    normalization.adapt(IMAGES)
    shared = layers.Conv2D(4, 1, name="shared", kernel_regularizer=keras.regularizers.L1(0.1))
    inputs = keras.Input((8, 8, 3), name="pixels")
    x = normalization(inputs)
    x = layers.Conv2D(4, 3, padding="same", trainable=False, name="frozen")(x)
    x = layers.Conv2DTranspose(4, 3, padding="same", name="transposed", bias_regularizer="l2")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = inner(inner(shared(shared(x))))
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.TimeDistributed(layers.Dense(4, name="in_wrapper"), name="wrapper")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, tail(x), name="network")
    # Weights that no initializer makes, and moving averages that have moved.
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32" and "normalization" not in weight.path:
            weight.assign(generator.uniform(0.1, 0.9, weight.shape))
    return model


def kernels(model):
    """By path, the kernels that are trained."""
    exempt = {id(weight) for weight in undecayed(model)}
    return {weight.path: weight for weight in model.trainable_variables if id(weight) not in exempt}


def arrays(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


AXES = {
    "separable/depthwise_kernel": [0, 1],
    "separable/pointwise_kernel": [0, 1, 2],
    "transposed/kernel": [0, 1, 3],
    "shared/kernel": [0, 1, 2],
    "depthwise/kernel": [0, 1],
}


def check_all_kernels(model, strength, max_value):
    found = kernels(model)
    assert len(found) == 8
    for path, weight in found.items():
        assert weight.regularizer.get_config() == {"l2": pytest.approx(strength / 2)}, path
        axes = next((axes for end, axes in AXES.items() if path.endswith(end)), [0])
        assert weight.constraint.get_config() == {"max_value": max_value, "axis": axes}, path
    for weight in model.weights:
        if all(weight is not kernel for kernel in found.values()):
            own = "transposed/bias" in weight.path
            assert (weight.regularizer is not None) == own, weight.path
            assert weight.constraint is None, weight.path


def test_kernels_have_penalty_and_bound_and_the_function_is_the_same(tmp_path):
    model = network()
    clone = apply_regularization(model, "l2(0.02) | max_norm(1.5)")
    check_all_kernels(clone, 0.02, 1.5)
    for ours, theirs in zip(arrays(clone), arrays(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(clone.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))

    path = tmp_path / "model.keras"
    clone.save(path)
    loaded = keras.models.load_model(path)
    check_all_kernels(loaded, 0.02, 1.5)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))

    squares = sum(
        np.sum(keras.ops.convert_to_numpy(kernel).astype("float64") ** 2) for kernel in kernels(clone).values()
    )
    bias = keras.ops.convert_to_numpy(model.get_layer("transposed").bias).astype("float64")
    for each in (clone, loaded):
        total = sum(float(keras.ops.convert_to_numpy(loss)) for loss in each.losses)
        assert total == pytest.approx(0.01 * squares + 0.01 * np.sum(bias**2), rel=1e-5)


def test_the_model_is_not_changed_and_shares_nothing_with_the_clone():
    model = network()
    model.compile("sgd", "mse")
    before, config = arrays(model), model.get_config()
    regularizers = [weight.regularizer for weight in model.weights]
    clone = apply_regularization(model, "l2(0.02)")
    assert not clone.compiled
    clone.compile(keras.optimizers.SGD(0.1), "mse")
    clone.fit(IMAGES, np.ones((4, 2)), verbose=0)
    for old, now in zip(before, arrays(model), strict=True):
        np.testing.assert_array_equal(old, now)
    assert model.get_config() == config
    assert [weight.regularizer for weight in model.weights] == regularizers
    model.fit(IMAGES, np.ones((4, 2)), verbose=0)


def test_a_step_bounds_the_norms_and_the_frozen_layer_stays():
    model = network()
    clone = apply_regularization(model, "max_norm(0.5)", layers=["transposed", "tail"])
    clone.compile(keras.optimizers.SGD(1e-4), "mse")
    clone.fit(IMAGES, np.ones((4, 2)), verbose=0)
    kernel = keras.ops.convert_to_numpy(clone.get_layer("transposed").kernel)  # (height, width, out, in)
    for filter in range(kernel.shape[2]):
        assert np.linalg.norm(kernel[:, :, filter]) == pytest.approx(0.5, rel=1e-5)
    dense = keras.ops.convert_to_numpy(clone.get_layer("tail").layers[0].kernel)
    np.testing.assert_allclose(np.linalg.norm(dense, axis=0), 0.5, rtol=1e-5)
    bounded = [weight.path for weight in clone.weights if weight.constraint is not None]
    assert len(bounded) == 3
    assert clone.get_layer("shared").kernel.regularizer.get_config() == {"l1": pytest.approx(0.1)}
    for layer in ("frozen", "depthwise"):
        drift = np.abs(clone.get_layer(layer).get_weights()[0] - model.get_layer(layer).get_weights()[0]).max()
        assert drift == 0 if layer == "frozen" else drift > 0


def test_dropout_goes_on_where_the_model_is():
    model = network()
    images = keras.ops.convert_to_tensor(IMAGES)
    model(images, training=True)
    clone = apply_regularization(model, "l2(0.02)")
    for _ in range(2):
        ours = keras.ops.convert_to_numpy(clone(images, training=True))
        theirs = keras.ops.convert_to_numpy(model(images, training=True))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.tensorflow_only
def test_no_seed_is_used_up():
    model = network()
    state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()
    expected = keras.initializers.HeNormal()((3, 3)).numpy()
    random.setstate(state)
    apply_regularization(model, "l2(0.02)")
    np.testing.assert_array_equal(keras.initializers.HeNormal()((3, 3)).numpy(), expected)
    assert np.random.get_state()[1].tolist() == numpy_state


@pytest.mark.tensorflow_only
def test_what_the_spec_does_not_name_stays():
    once = apply_regularization(network(), "l2(0.02) | max_norm(1.5)")
    twice = apply_regularization(once, "l1(0.3)")
    kernel = twice.get_layer("shared").kernel
    assert kernel.regularizer.get_config() == {"l1": pytest.approx(0.3)}
    assert kernel.constraint.max_value == 1.5


@pytest.mark.tensorflow_only
def test_flags_policies_and_names_are_kept():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.Dense(3, name="b")], name="inner")
    inner.trainable = False
    inner.get_layer("b").trainable = True
    model = keras.Sequential(
        [keras.Input((4,)), inner, layers.Dense(2, dtype="mixed_bfloat16"), layers.Dense(2, dtype="bfloat16")],
        name="outer",
    )
    clone = apply_regularization(model, "l2(0.02)")
    assert isinstance(clone, keras.Sequential)
    assert [layer.name for layer in clone._flatten_layers()] == [layer.name for layer in model._flatten_layers()]
    for ours, theirs in zip(clone.variables, model.variables, strict=True):
        assert (ours.trainable, ours.dtype) == (theirs.trainable, theirs.dtype), ours.path
    for ours, theirs in zip(arrays(clone), arrays(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [layer.dtype_policy.name for layer in clone.layers] == [layer.dtype_policy.name for layer in model.layers]
    assert (clone.get_layer("inner").trainable, clone.get_layer("inner").get_layer("b").trainable) == (False, True)
    regularized = [weight.path for weight in clone.weights if weight.regularizer is not None]
    assert len(regularized) == 3
    assert clone.get_layer("inner").get_layer("a").kernel.regularizer is None


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["resnet_20(width=4)", "plain_cnn(widths=(4, 4), activation='prelu', dropout=0.2)"])
def test_every_kernel_of_the_zoos_models_is_reached(name):
    model = create(name, (8, 8, 3), 3)
    clone = apply_regularization(model, "l2(5e-4)")
    assert len(clone.losses) == len(kernels(model))
    np.testing.assert_array_equal(clone.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


@pytest.mark.tensorflow_only
def test_layers_and_functions_of_ones_own():
    class Kernel(layers.Layer):
        """Has the argument in its config."""

        def __init__(self, kernel_regularizer=None, **kwargs):
            super().__init__(**kwargs)
            self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel", regularizer=self.kernel_regularizer)

        def call(self, x):
            return x @ self.kernel

        def get_config(self):
            regularizer = keras.regularizers.serialize(self.kernel_regularizer)
            return {**super().get_config(), "kernel_regularizer": regularizer}

    model = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: 2 * x), Kernel(), layers.Dense(2)])
    clone = apply_regularization(model, "l2(0.02)")
    assert len(clone.losses) == 2
    x = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(clone(x), model(x))
    with pytest.raises(ValueError, match=r"max_norm knows no axes for layer 'kernel\w*', a Kernel.*layers="):
        apply_regularization(model, "max_norm(3)")


@pytest.mark.tensorflow_only
def test_attention_and_recurrent_layers_have_a_penalty_and_no_bound():
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Bidirectional(layers.LSTM(3))(x)))
    assert len(apply_regularization(model, "l2(0.02)").losses) == 4 + 2 * 2 + 1
    with pytest.raises(ValueError, match="max_norm knows no axes"):
        apply_regularization(model, "max_norm(3)")
    assert apply_regularization(model, "max_norm(3)", layers=["head"]).get_layer("head").kernel.constraint is not None


@pytest.mark.tensorflow_only
def test_the_penalty_of_a_weight_normalized_kernel_is_that_of_w():
    layer = WeightNormalization(layers.Dense(3))
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.g.assign([2.0, 3.0, 4.0])
    clone = apply_regularization(model, "l2(0.1)")
    assert float(clone.losses[0]) == pytest.approx(0.05 * (2**2 + 3**2 + 4**2))
    with pytest.raises(
        ValueError, match=r"'max_norm\(3\)': WeightNormalization's layer must have no kernel_constraint"
    ):
        apply_regularization(model, "max_norm(3)")


@pytest.mark.tensorflow_only
def test_a_sequential_model_without_shape_is_regularized_when_it_is_built():
    clone = apply_regularization(keras.Sequential([layers.Dense(3), layers.Dense(2)]), "l2(0.02)")
    clone(np.ones((1, 4)))
    assert len(clone.losses) == 2


class Hidden(layers.Layer):
    """Has a kernel that its config does not show."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def unregistered(x):
    return 2 * x


def twice_the_name():
    kinds = [type("Same", (layers.Dense,), {}) for _ in range(2)]
    return keras.Sequential([keras.Input((4,)), kinds[0](2), kinds[1](2)])


def crossed():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    inner_inputs = keras.Input((4,))
    return keras.Model(inputs, keras.Model(inner_inputs, shared(inner_inputs))(shared(inputs)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("make", "spec", "chosen", "error", "match"),
    [
        (network, "", None, ValueError, "spec must name"),
        (network, "l2(-1)", None, SpecError, "0 or more"),
        (network, "l9(1)", None, UnknownNameError, "no regularizer"),
        (network, "l2(1)", ["separabel"], UnknownNameError, "did you mean separable"),
        (network, "l2(1)", "separable", ValueError, r"write \['separable'\]"),
        (network, "l2(1)", ["separable", "frozen"], ValueError, "nothing to regularize in 'frozen'"),
        (network, "l2(1)", ["batch_norm"], ValueError, "nothing to regularize in 'batch_norm'"),
        (network, "l2(1)", [], ValueError, "nothing to regularize in 'network'"),
        (Subclassed, "l2(1)", None, ValueError, "subclassed model.*kernel_regularizer="),
        (crossed, "l2(1)", None, ValueError, "'shared' is shared between models"),
        (twice_the_name, "l2(1)", None, ValueError, "two classes Same.*register"),
        (
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2, unregistered)]),
            "l2(1)",
            None,
            ValueError,
            "Could not locate function 'unregistered'.*register",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), Hidden(name="hidden"), layers.Dense(2)]),
            "l2(1)",
            None,
            ValueError,
            r"weight '.*hidden.*/kernel'.*layers=",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(make, spec, chosen, error, match):
    with pytest.raises(error, match=match) as caught:
        apply_regularization(make(), spec, layers=chosen)
    assert "\n" not in str(caught.value)
