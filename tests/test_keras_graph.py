"""Layers, graphs, heads, precision and optimizers through Keras's private names."""

import keras
import numpy as np
import pytest

from kerastricks import keras_graph
from kerastricks.errors import UsageError
from kerastricks.keras_graph import nodes, precision, producer, split_head, with_probabilities
from kerastricks.models import create


def small(classes=3):
    return create("plain_cnn(widths=(4,))", (8, 8, 3), classes)


class Pair(keras.layers.Layer):
    """Has a weight of its own and two layers inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(2, name="first")
        self.second = keras.layers.Dense(2, name="second")

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=())
        self.first.build(input_shape)
        self.second.build((None, 2))

    def call(self, x):
        return self.scale * self.second(self.first(x))


@pytest.mark.tensorflow_only
def test_layers_are_listed_at_any_depth_once():
    shared = keras.layers.Dense(2, name="shared")
    inner = keras.Sequential([keras.Input((2,)), shared, Pair(name="pair")], name="inner")
    inputs = keras.Input((2,), name="inputs")
    model = keras.Model(inputs, inner(shared(inputs)), name="model")
    layers = keras_graph.all_layers(model)
    assert layers[0] is model
    assert sorted(layer.name for layer in layers if not isinstance(layer, keras.layers.InputLayer)) == [
        "first", "inner", "model", "pair", "second", "shared",
    ]  # fmt: skip
    assert keras_graph.all_layers(model, include_self=False) == layers[1:]
    assert keras_graph.sublayers(model) == model.layers
    assert [layer.name for layer in keras_graph.sublayers(inner.layers[-1])] == ["first", "second"]


@pytest.mark.tensorflow_only
def test_own_variables_are_without_those_inside_and_with_those_of_frozen_layers():
    pair = Pair()
    pair.build((None, 2))
    pair.trainable = False
    assert [variable.name for variable in keras_graph.own_trainable_variables(pair)] == ["scale"]


@pytest.mark.tensorflow_only
def test_nodes_are_calls_in_order_those_of_a_shared_layer_included():
    dense = keras.layers.Dense(4, name="dense")
    inputs = keras.Input((4,), name="inputs")
    outputs = keras.ops.add(dense(dense(inputs)), inputs)
    elsewhere = dense(keras.Input((4,)))
    model = keras.Model(inputs, outputs)
    calls = nodes(model)
    assert [node.operation.name for node in calls[:3]] == ["inputs", "dense", "dense"]
    assert len(calls) == 4
    assert [node.is_input for node in calls] == [True, False, False, False]
    assert calls[-1].output_tensors[0] is model.outputs[0]
    assert keras_graph.producing_node(calls[2].input_tensors[0]) is calls[1]
    assert keras_graph.producing_node(elsewhere) not in calls
    assert producer(elsewhere) is dense
    assert producer(model.outputs[0]) is calls[-1].operation


@pytest.mark.tensorflow_only
def test_the_calls_of_a_sequential_are_those_of_its_layers():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")])
    calls = nodes(model)
    assert [node.operation.name for node in calls[1:]] == ["a", "b"]
    assert keras_graph.producing_node(model.outputs[0]) is calls[-1]


@pytest.mark.tensorflow_only
def test_who_has_a_graph():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    class Derived(keras.Model):
        pass

    inputs = keras.Input((4,))
    assert keras_graph.has_graph(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    assert keras_graph.has_graph(Derived(inputs, keras.layers.Dense(2)(inputs)))
    assert keras_graph.has_graph(keras.Sequential([inputs, keras.layers.Dense(2)]))
    for other in (Subclassed(), keras.Sequential([keras.layers.Dense(2)]), keras.layers.Dense(2)):
        assert not keras_graph.has_graph(other)


def test_a_softmax_is_put_after_logits_alone():
    inputs = keras.Input((4,))
    logits = keras.Model(inputs, keras.layers.Dense(3)(inputs), name="net")
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    found = with_probabilities(logits)
    np.testing.assert_allclose(found.predict(rows, verbose=0).sum(axis=1), 1, rtol=1e-5)
    assert found.name == "net"
    assert with_probabilities(found) is found


def test_an_optimizer_shows_its_schedule_and_its_own_counter():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=2)
    assert keras_graph.own_learning_rate(optimizer) is schedule
    assert isinstance(keras_graph.own_learning_rate(keras.optimizers.SGD(0.1)), keras.Variable)
    assert isinstance(keras_graph.step_counter(optimizer), keras.Variable)
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    assert keras_graph.step_counter(scaled) is keras_graph.step_counter(optimizer)
    variables = [keras.Variable([0.0]), keras.Variable([0.0])]
    optimizer.build(variables)
    assert [keras_graph.variable_index(optimizer, variable) for variable in variables] == [0, 1]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("last", "from_logits", "cut"),
    [
        (lambda x: keras.layers.Softmax()(keras.layers.Dense(3)(x)), True, True),
        (lambda x: keras.layers.Activation("softmax")(keras.layers.Dense(3)(x)), True, True),
        (lambda x: keras.layers.Dense(3, activation="softmax")(x), False, False),
        (lambda x: keras.layers.Dense(3)(x), True, False),
        (lambda x: keras.layers.Activation("linear", dtype="float32")(keras.layers.Dense(3)(x)), True, False),
        (
            lambda x: keras.layers.Activation("linear")(keras.layers.Softmax(axis=1)(keras.layers.Dense(3)(x))),
            True,
            True,
        ),
        (
            lambda x: keras.layers.Identity()(keras.layers.Dense(3, activation="softmax")(x)),
            False,
            False,
        ),
    ],
)
def test_heads_are_recognised(last, from_logits, cut):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, last(inputs))
    part, logits = split_head(model)
    assert logits is from_logits
    assert (part is not model) is cut


@pytest.mark.tensorflow_only
def test_a_softmax_in_a_nested_model_or_an_operation_is_no_logits():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    nested = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(2.0), inner])
    assert split_head(nested) == (nested, False)
    inputs = keras.Input((4,))
    operation = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(inputs)))
    assert split_head(operation) == (operation, False)
    with pytest.raises(UsageError, match="must be a softmax, or linear for logits"):
        split_head(keras.Model(inputs, keras.layers.Dropout(0.1)(keras.layers.Dense(3, activation="softmax")(inputs))))


@pytest.mark.tensorflow_only
def test_other_heads_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(UsageError, match="sigmoid"):
        split_head(keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(inputs)))
    with pytest.raises(UsageError, match="must be a softmax"):
        split_head(keras.Model(inputs, keras.layers.Softmax(axis=0)(inputs)))
    with pytest.raises(UsageError, match="functional or Sequential"):
        split_head(keras.Sequential([keras.layers.Dense(3)]))


def test_precision_changes_the_middle_and_comes_back():
    model = small()
    with precision(model, "mixed_bfloat16"):
        policies = {layer.name: layer.dtype_policy.name for layer in model.layers}
        assert policies["stage1_conv1"] == "mixed_bfloat16"
        for name in ("normalization", "logits", "probabilities"):
            assert policies[name] == "float32"
        assert all(keras.backend.standardize_dtype(w.dtype) == "float32" for w in model.trainable_weights)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


def test_precision_comes_back_after_an_error():
    model = small()
    with pytest.raises(KeyError), precision(model, "mixed_bfloat16"):
        raise KeyError
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
