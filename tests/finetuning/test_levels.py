import keras
import pytest

import kerastricks
from kerastricks.finetuning.levels import cuts, find_levels

pytestmark = pytest.mark.tensorflow_only


def test_the_levels_of_a_residual_network_end_where_the_image_gets_smaller():
    levels = find_levels(kerastricks.models.create("resnet_20", (32, 32, 3), 10))
    assert [level.output_shape for level in levels[:3]] == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]
    assert [level.end for level in levels[:3]] == [f"stage{n}_block3_activation2" for n in (1, 2, 3)]


@pytest.mark.parametrize("name", ["plain_cnn", "resnet_20", "nin", "mlp"])
def test_levels_hold_every_layer_and_weight_once(name):
    model = kerastricks.models.create(name, (32, 32, 3), 10)
    levels = find_levels(model)
    assert [layer for level in levels for layer in level.layers] == [operation.name for operation in model.operations]
    assert sum(level.parameters for level in levels) == model.count_params()


def test_a_pooling_alone_is_no_level():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(x))
    assert [level.end for level in find_levels(model)] == ["pool"]


def test_dense_layers_are_levels_each():
    model = kerastricks.models.create("mlp(depth=3)", (8, 8, 1), 4)
    assert [level.end for level in find_levels(model)][:3] == ["activation1", "activation2", "activation3"]


def test_no_cut_lies_within_a_branch():
    inputs = keras.Input((8, 8, 3), name="in")
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    branch = keras.layers.Conv2D(4, 3, padding="same", name="branch")(x)
    branch = keras.layers.ReLU(name="inside")(branch)
    joined = keras.layers.Add(name="add")([x, branch])
    model = keras.Model(inputs, joined)
    names = [operation.name for operation in model.operations]
    assert [names[place] for place in cuts(model)] == ["in", "stem", "add"]


def test_a_shared_layer_is_refused_by_name():
    inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'twice' more than once"):
        find_levels(model)
