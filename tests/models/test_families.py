"""What makes each family itself."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.errors import SpecError
from kerastricks.initializers import Dirac, start_from_data
from kerastricks.layers import StochasticDepth
from kerastricks.models import create

RANDOM = np.random.default_rng(0)
structure = pytest.mark.tensorflow_only


def images(count, side, channels=3):
    return RANDOM.uniform(0, 255, (count, side, side, channels)).astype("float32")


def of_kind(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(("name", "side", "levels"), [("plain_22", 224, (7, 3, 2, 1)), ("plain_30", 224, (6, 3, 2, 1))])
@structure
def test_plain_has_the_papers_pyramid(name, side, levels):
    model = create(f"{name}(width=0.02, dense=())", (side, side, 3), 4)
    assert model.get_layer("pyramid").output.shape[-1] == sum(level**2 for level in levels) * max(
        layer.filters for layer in of_kind(model, keras.layers.Conv2D)
    )


@structure
def test_plain_is_deep_without_normalisation():
    for name, count in (("plain_22", 19), ("plain_30", 27)):
        model = create(f"{name}(width=0.02, dense=(5, 6))", (32, 32, 3), 4)
        assert len(of_kind(model, keras.layers.Conv2D)) == count
        assert len(of_kind(model, keras.layers.Dense)) == 3
        assert not of_kind(model, keras.layers.BatchNormalization)
        assert [layer.rate for layer in of_kind(model, keras.layers.Dropout)] == [0.5, 0.5]


@structure
def test_vgg_ends_in_an_average_or_in_dense_layers():
    averaged = create("vgg_11(width=4, dropout=0.2)", (32, 32, 3), 4)
    assert averaged.get_layer("pool").output.shape == (None, 32)
    assert len(of_kind(averaged, keras.layers.Dense)) == len(of_kind(averaged, keras.layers.Dropout)) == 1
    dense = create("vgg_11(width=4, dense=(7, 6), dropout=0.2)", (224, 224, 3), 4)
    assert dense.get_layer("flatten").output.shape == (None, 7 * 7 * 32)
    assert [layer.units for layer in of_kind(dense, keras.layers.Dense)] == [7, 6, 4]
    assert [layer.rate for layer in of_kind(dense, keras.layers.Dropout)] == [0.2, 0.2]


@pytest.mark.parametrize("depth", [18, tensorflow_case(50)])
def test_resnet_starts_as_if_it_had_no_blocks(depth):
    spec = f"resnet_{depth}(variant='b', width=4, zero_gamma={{}})"
    batch = images(2, 64)
    for zero_gamma in (True, False):
        model = create(spec.format(zero_gamma), (64, 64, 3), 4)
        names = ("stage2_block2_add", "stage2_block1_activation3" if depth == 50 else "stage2_block1_activation2")
        after, before = keras.Model(model.inputs, [model.get_layer(name).output for name in names]).predict_on_batch(
            batch
        )
        assert np.array_equal(after, before) == zero_gamma


@structure
def test_resnet_variants_are_those_of_the_paper():
    models = {name: create(f"resnet_50(variant='{name}')", (64, 64, 3), 4, width=4) for name in ("original", *"bcd")}
    strides = {
        name: [model.get_layer(f"stage2_block1_conv{number}").strides[0] for number in (1, 2)]
        for name, model in models.items()
    }
    assert strides == {"original": [2, 1], "b": [1, 2], "c": [1, 2], "d": [1, 2]}
    assert [model.get_layer("stem_conv1").kernel_size[0] for model in models.values()] == [7, 7, 3, 3]
    assert [model.get_layer(f"stem_conv{number}").filters for number in (1, 2, 3) for model in [models["c"]]] == [
        2,
        2,
        4,
    ]
    assert [model.get_layer("stage2_block1_shortcut_conv").strides[0] for model in models.values()] == [2, 2, 2, 1]
    averages = [[layer.name for layer in of_kind(model, keras.layers.AveragePooling2D)] for model in models.values()]
    assert averages == [[], [], [], [f"stage{stage}_block1_shortcut_pool" for stage in (2, 3, 4)]]


@structure
@pytest.mark.parametrize(("side", "first", "last"), [(63, 63, 8), (64, 16, 2)])
def test_resnet_keeps_small_images_large(side, first, last):
    model = create("resnet_18(width=4)", (side, side, 3), 4)
    assert model.get_layer("stage1_block1_add").output.shape[1] == first
    assert model.get_layer("stage4_block2_add").output.shape[1] == last


@structure
def test_wide_resnet_normalises_before_and_drops_inside():
    model = create("wide_resnet_16_8(width=1, dropout=0.3)", (32, 32, 3), 4)
    assert [layer.rate for layer in of_kind(model, keras.layers.Dropout)] == [0.3] * 6
    block = "stage2_block1"
    assert model.get_layer(f"{block}_conv1").input is model.get_layer(f"{block}_activation1").output
    assert model.get_layer(f"{block}_shortcut").input is model.get_layer(f"{block}_activation1").output
    assert model.get_layer(f"{block}_conv2").input is model.get_layer(f"{block}_dropout").output
    assert model.get_layer("stage1_block2_add").input[1] is model.get_layer("stage1_block1_add").output
    assert model.get_layer("pool").input is model.get_layer("last_activation").output


@structure
@pytest.mark.parametrize(
    ("spec", "blocks"),
    [("resnet_20(width=4", 9), ("resnet_18(width=4", 8), ("resnet_50(width=4", 16), ("wide_resnet_16_8(width=1", 6)],
)
def test_stochastic_depth_grows_linearly(spec, blocks):
    model = create(f"{spec}, stochastic_depth=0.5)", (32, 32, 3), 4)
    rates = [layer.drop_rate for layer in of_kind(model, StochasticDepth)]
    np.testing.assert_allclose(rates, 0.5 * np.arange(1, blocks + 1) / blocks)
    for layer in of_kind(model, StochasticDepth):
        # What is left out is the branch and never the shortcut.
        assert model.get_layer(layer.name.replace("_depth", "_add")).input[0] is layer.output
    assert not of_kind(create(f"{spec})", (32, 32, 3), 4), StochasticDepth)


def test_stochastic_depth_leaves_out_a_block():
    model = create("resnet_20(depth=8, width=4, stochastic_depth=0.9)", (8, 8, 3), 4)
    block = "stage3_block1"
    outputs = [model.get_layer(f"{block}_{name}").output for name in ("add", "shortcut")]
    added, shortcut = keras.Model(model.inputs[0], outputs)(images(200, 8), training=True)
    gone = np.all(keras.ops.convert_to_numpy(added) == keras.ops.convert_to_numpy(shortcut), axis=(1, 2, 3)).mean()
    assert abs(gone - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 200)


@structure
def test_airbench_is_the_papers():
    model = create("airbench", (32, 32, 3), 10)
    assert [model.get_layer(f"block{block}_conv1").input.shape[1] for block in (1, 2, 3)] == [31, 15, 7]
    assert model.get_layer("pool").input.shape == (None, 3, 3, 256)
    for norm in of_kind(model, keras.layers.BatchNormalization):
        assert (norm.momentum, norm.epsilon, norm.scale) == (0.6, 1e-12, False)
    convs = of_kind(model, keras.layers.Conv2D)
    assert all(isinstance(conv.kernel_initializer, Dirac) for conv in convs[1:])
    assert not any(conv.use_bias for conv in convs)
    assert [layer.activation.__name__ for layer in of_kind(model, keras.layers.Activation)] == ["gelu"] * 7


def test_airbench_whitens_what_it_sees_and_trains_the_bias_alone():
    model = create("airbench(widths=(8,))", (16, 16, 3), 3)
    batch = images(64, 16)
    start_from_data(model, batch)
    whitened = keras.Model(model.inputs, model.get_layer("whitening").output).predict(batch, verbose=0)
    covariance = np.cov(whitened.reshape(-1, 24)[:, :12].astype("float64"), rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(12), atol=0.02)  # an epsilon of 5e-4 beside a variance of 1/3
    trainable = [
        weight.path for layer in model.layers if "whitening" in layer.name for weight in layer.trainable_weights
    ]
    assert trainable == ["whitening_bias/bias"]


def test_airbench_scales_its_outputs():
    model = create("airbench(widths=(8,))", (16, 16, 3), 3)
    pool, logits = keras.Model(
        model.inputs, [model.get_layer("pool").output, model.get_layer("logits").output]
    ).predict_on_batch(images(3, 16))
    head = model.get_layer("logits")
    head = [keras.ops.convert_to_numpy(weight) for weight in (head.kernel, head.bias)]
    np.testing.assert_allclose(logits, pool @ head[0] / 9 + head[1], rtol=1e-4, atol=1e-5)


@structure
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet_18(depth=19)", "depth must be 18, 34 or 50"),
        ("resnet_50(variant='e')", "variant one of original, b, c, d"),
        ("resnet_50(stochastic_depth=1.0)", r"stochastic_depth must be a number in \[0, 1\)"),
        ("resnet_20(stochastic_depth='x')", r"stochastic_depth must be a number in \[0, 1\)"),
        ("wide_resnet_16_8(depth=18)", "depth must be 6n"),
        ("wide_resnet_16_8(dropout=1.0)", "dropout must be a number"),
        ("vgg_16(depth=15)", "depth must be 11, 13, 16 or 19"),
        ("vgg_16(dense=(0,))", "dense must be numbers of units"),
        ("plain_30(network='14')", 'network must be "22" or "30"'),
        ("plain_30(dense=('a',))", "dense must be numbers of units"),
        ("airbench(widths=())", "widths must hold 1 block or more"),
        ("airbench(widths=(8, 8, 8, 8, 8))", "has room for n. Received: widths"),
    ],
)
def test_mistakes_are_one_line(spec, message):
    with pytest.raises(SpecError, match=message) as caught:
        create(spec, (32, 32, 3), 4)
    assert "\n" not in str(caught.value)
