"""The copy that the checks look into computes the same, and the model stays as it was."""

import pickle
import random

import keras
import numpy as np
import pytest

from kerastricks.checks import check_activations, check_signal, check_units
from kerastricks.checks.instrument import Instrument, values
from kerastricks.errors import UsageError
from kerastricks.layers import WeightNormalization

RANDOM = np.random.default_rng(0)
CHECKS = [check_signal, check_activations, check_units]


def many_layers():
    """Models inside models, layers called twice, operations, statistics, own activations, draws."""
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(RANDOM.normal(3, 2, (20, 8, 8, 3)))
    inner_input = keras.Input((None, None, 4))
    y = keras.layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv")(inner_input)
    inner = keras.Model(inner_input, keras.layers.BatchNormalization(name="norm")(y) + inner_input, name="inner")
    tail = keras.Sequential(
        [keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(6, "relu", name="dense")], name="tail"
    )

    x = inputs = keras.Input((8, 8, 3))
    x = normalization(x)
    x = keras.layers.SeparableConv2D(4, 3, activation="silu", name="separable")(x)
    x = inner(x, training=False)
    x = keras.ops.leaky_relu(x, negative_slope=0.3)
    x = inner(x)
    x = keras.layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    twice = keras.layers.Dense(4, keras.layers.ELU(), name="twice")
    x = tail(twice(twice(x)))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="logits")(x), name="many")


def drawn():
    if keras.backend.backend() != "torch":
        return None
    import torch

    return torch.get_rng_state().numpy().tobytes()


def test_the_copy_computes_what_the_model_computes():
    model = many_layers()
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(RANDOM.uniform(0.5, 1.5, variable.shape))
    model.get_layer("normalization").finalize_state()
    places = []

    def tap(place, tensor):
        places.append(place.name)
        return tensor

    images = RANDOM.normal(size=(5, 8, 8, 3)).astype("float32")
    instrument = Instrument(model, (8, 8, 3), tap, to_logits=False)
    np.testing.assert_allclose(values(instrument.model(images)), values(model(images)), rtol=1e-5, atol=1e-6)
    assert places[:4] == ["separable", "separable:silu", "inner/conv", "inner/conv:tanh"]
    assert places[5:] == [
        "inner/conv#2", "inner/conv#2:tanh", "prelu", "twice", "twice#2", "tail/dense", "tail/dense:relu", "logits",
        "logits:softmax",
    ]  # fmt: skip
    # The same layers, not more: those called twice have one copy.
    assert instrument.model.count_params() == model.count_params()


def test_every_check_takes_such_a_model():
    model, images = many_layers(), RANDOM.normal(size=(6, 8, 8, 3))
    signal = check_signal(model, images)
    assert all(np.isfinite([row.variance, row.gradient]).all() for row in signal.rows)
    assert signal.rows[-1].is_head
    assert {row.activation for row in check_activations(model, images).rows} >= {"silu", "leaky_relu", "prelu", "elu"}
    assert [row.layer for row in check_units(model, images, steps=2).rows if row.is_head] == ["logits"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_model_optimizer_and_random_state_stay_as_they_are(check):
    model, images = many_layers(), RANDOM.normal(size=(6, 8, 8, 3)).astype("float32")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(images, np.zeros(6, "int32"))
    trained = [*model.variables, *model.optimizer.variables]

    def state():
        weights = [keras.ops.convert_to_numpy(variable).tobytes() for variable in trained]
        graph = [len(operation._inbound_nodes) for operation in model.operations]
        return weights, graph, random.getstate(), pickle.dumps(np.random.get_state()), drawn()

    before = state()
    check(model, images)
    assert state() == before
    assert model.layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_other_precisions(policy):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, "relu", dtype=policy),
            keras.layers.Dense(3, "softmax", dtype="float32"),
        ]
    )
    images = RANDOM.normal(size=(8, 6))
    report = check_signal(model, images)
    assert all(row.variance > 0 and row.gradient > 0 for row in report.rows)
    assert check_activations(model, images).rows[0].units == 5
    assert check_units(model, images, steps=2).rows[0].distinct_outputs_after == 5


def small():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((5, 4, 4, 3)), r"shape \(N, 4, 4, 1\).*Received: shape \(5, 4, 4, 3\)"),
        (np.zeros((4, 4, 1)), r"Received: shape \(4, 4, 1\)"),
        (np.zeros((1, 4, 4, 1)), "N of 2 or more"),
        (np.full((3, 4, 4, 1), np.nan), "3 of 3 hold NaN or infinity, the first is image 0"),
        ("digits", "Received: str"),
    ],
)
def test_bad_images(check, images, message):
    with pytest.raises(UsageError, match=message):
        check(small(), images)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "images", [iter([np.zeros((1, 4, 4, 1))]), iter([]), iter([np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 2))])]
)
def test_bad_streams(images):
    with pytest.raises(UsageError, match="images must"):
        check_activations(small(), images)


class Subclassed(keras.Model):
    def call(self, x):
        return x


class Uncopyable(keras.layers.Layer):
    def __init__(self, needed, **kwargs):
        super().__init__(**kwargs)
        self.needed = needed

    def call(self, x):
        return x


def two_outputs():
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, [inputs, keras.layers.ReLU()(inputs)])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: "resnet_20", "Received: str"),
        (Subclassed, "Received: a subclassed or unbuilt one"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "Received: a subclassed or unbuilt one"),
        (two_outputs, "1 inputs and 2 outputs"),
        (
            lambda: keras.Sequential([*small().layers[:1], Uncopyable(object(), name="mine"), keras.layers.Dense(2)]),
            "unbuilt",
        ),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 1)), Uncopyable(object(), name="mine")]),
            r"layer 'mine' \(Uncopyable\) cannot be copied from its get_config|two classes or more",
        ),
    ],
)
def test_bad_models(check, model, message):
    with pytest.raises(UsageError, match=message) as caught:
        check(model(), np.zeros((4, 4, 4, 1)))
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_an_activation_inside_a_wrapper_is_seen():
    model = keras.Sequential([keras.Input((6,)), WeightNormalization(keras.layers.Dense(5, "tanh", name="inside"))])
    model.add(keras.layers.Dense(3))
    images = 1000 * RANDOM.normal(size=(16, 6))
    (row,) = check_activations(model, images).rows
    assert (row.activation, row.units) == ("tanh", 5)
    assert row.bound_share > 0.9
    assert [row.activation for row in check_signal(model, images).rows] == ["tanh", None]


@pytest.mark.tensorflow_only
def test_a_softmax_inside_a_wrapper_cannot_be_taken_for_logits():
    head = WeightNormalization(keras.layers.Dense(3, "softmax"), name="head")
    with pytest.raises(UsageError, match=r"linear for logits. Received: 'head' \(softmax\)"):
        check_signal(keras.Sequential([keras.Input((6,)), head]), np.zeros((4, 6)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("check", [check_signal, check_units], ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("units", "activation", "message"),
    [
        (3, "sigmoid", r"must be a softmax, or linear for logits. Received: 'head' \(sigmoid\)"),
        (1, "linear", r"two classes or more. Received: output shape \(None, 1\)"),
    ],
)
def test_bad_heads(check, units, activation, message):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, activation, name="head")])
    with pytest.raises(UsageError, match=message):
        check(model, np.zeros((4, 2)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("check", [check_signal, check_units], ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "4 class numbers"), (np.zeros(4), "float64"), ([0, 1, 2, 3], r"labels must be in 0-2. Received: 0 to 3")],
)
def test_bad_labels(check, labels, message):
    with pytest.raises(UsageError, match=message):
        check(small(), np.zeros((4, 4, 4, 1)), labels)
