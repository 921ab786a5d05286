"""A model in a few lines."""

import keras
import pytest

from kerastricks.models import create
from kerastricks.models.summary import count_flops, summarize

pytestmark = pytest.mark.tensorflow_only


def test_stages_are_the_sizes_of_the_maps():
    summary = summarize(create("resnet_20(width=4)", (32, 32, 3), 10))
    assert [stage.output for stage in summary.stages] == ["32x32x4", "16x16x8", "8x8x16", "10"]
    assert [stage.layers for stage in summary.stages] == [
        "7 conv 3x3",
        "1 conv 3x3/2, 5 conv 3x3",
        "1 conv 3x3/2, 5 conv 3x3",
        "1 dense",
    ]
    # Convolutions without bias, and factor and offset of each normalisation.
    assert summary.stages[0].parameters == 3 * 9 * 4 + 6 * 9 * 4 * 4 + 7 * 2 * 4
    assert summary.stages[0].flops == 32 * 32 * (3 * 9 * 4 + 6 * 9 * 4 * 4)


@pytest.mark.parametrize(
    "name", ["airbench", "plain_30(width=0.1)", "nin", "mlp", "applications/MobileNetV3Small", "resnet_50(width=8)"]
)
def test_stages_add_up(name):
    model = create(name, (64, 64, 3), 10)
    summary = summarize(model)
    assert sum(stage.parameters for stage in summary.stages) == summary.parameters
    assert summary.parameters + summary.frozen == model.count_params()
    assert sum(stage.flops for stage in summary.stages) == summary.flops == count_flops(model)
    assert (summary.input, summary.classes) == ("64x64x3", 10)
    assert len(summary.stages) < 12


def test_a_shared_layer_has_its_weights_once_and_its_work_twice():
    inputs = keras.Input((8, 8, 4))
    conv = keras.layers.Conv2D(4, 1, use_bias=False)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(conv(conv(inputs)))))
    first = summarize(model).stages[0]
    assert (first.parameters, first.flops) == (16, 2 * 64 * 16)
    assert first.layers == "2 conv 1x1"
