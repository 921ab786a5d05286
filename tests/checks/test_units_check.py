"""check_units: symmetry that training does not break, and symmetry that it does."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_case

from kerastricks.checks import check_units
from kerastricks.checks.unit_check import incoming_weights, same
from kerastricks.errors import UsageError

RANDOM = np.random.default_rng(0)


def net(initializer, activation="relu", widths=(12, 8)):
    layers = [
        keras.layers.Dense(width, activation, kernel_initializer=initializer, name=f"hidden{number}")
        for number, width in enumerate(widths, start=1)
    ]
    head = keras.layers.Dense(3, kernel_initializer=initializer, name="logits")
    return keras.Sequential([keras.Input((6,)), *layers, head])


def counts(row):
    return row.distinct_weights, row.distinct_outputs, row.distinct_weights_after, row.distinct_outputs_after


@pytest.mark.parametrize("activation", ["relu", tensorflow_case("tanh"), tensorflow_case("sigmoid")])
def test_units_that_start_from_zero_stay_one_unit(activation):
    labels = np.repeat([0, 1, 2], (20, 13, 7))
    report = check_units(net("zeros", activation), RANDOM.normal(size=(40, 6)), labels)
    first, second, head = report.rows
    assert counts(first) == counts(second) == (1, 1, 1, 1)
    assert first.groups == first.groups_after == (tuple(range(12)),)
    assert head.is_head
    assert head.distinct_outputs_after == 3  # the labels tell them apart
    assert "each of the 2 hidden layers is one unit" in report.verdicts[0]


@pytest.mark.tensorflow_only
def test_any_constant_is_as_bad_as_zero():
    first, second, _ = check_units(net(keras.initializers.Constant(0.3), "tanh"), RANDOM.normal(size=(40, 6))).rows
    assert first.distinct_outputs_after == 1
    assert second.distinct_weights == 1


@pytest.mark.tensorflow_only
def test_random_units_are_different():
    report = check_units(net("he_normal"), RANDOM.normal(size=(40, 6)))
    assert [counts(row) for row in report.rows] == [(12,) * 4, (8,) * 4, (3,) * 4]
    assert report.verdicts == ("no two units are the same, neither at the start nor after 20 steps",)


@pytest.mark.parametrize("outgoing_too", [True, False])
def test_copied_units_part_unless_what_they_feed_is_copied_too(outgoing_too):
    model = net("he_normal", "tanh")
    first, second = model.layers[:2]
    kernel = keras.ops.convert_to_numpy(first.kernel).copy()
    kernel[:, 7] = kernel[:, 3]
    first.kernel.assign(kernel)
    if outgoing_too:
        kernel = keras.ops.convert_to_numpy(second.kernel).copy()
        kernel[7] = kernel[3]
        second.kernel.assign(kernel)
    report = check_units(model, RANDOM.normal(size=(40, 6)))
    row = report.rows[0]
    assert row.groups == ((3, 7),)
    assert counts(row) == ((11,) * 4 if outgoing_too else (11, 11, 12, 12))
    assert row.groups_after == (((3, 7),) if outgoing_too else ())
    said = "11 different ones among 12 in hidden1" if outgoing_too else "20 steps told apart"
    assert said in report.verdicts[0]


@pytest.mark.tensorflow_only
def test_without_images_the_weights_alone_are_compared():
    report = check_units(net("zeros"))
    assert (report.images, report.steps) == (0, 0)
    assert counts(report.rows[0]) == (1, None, None, None)
    assert "give images" in report.verdicts[0]
    assert "outputs" not in report.to_text()


def test_convolutions_of_each_kind():
    x = inputs = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(4, 3, kernel_initializer="zeros", name="plain")(x)
    x = keras.layers.SeparableConv2D(5, 1, name="separable")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.Conv2DTranspose(6, 2, kernel_initializer="ones", name="transpose")(x)
    outputs = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    rows = check_units(keras.Model(inputs, outputs), RANDOM.normal(size=(8, 6, 6, 4)), steps=1).rows
    assert [(row.layer, row.units, row.distinct_weights) for row in rows] == [
        ("plain", 4, 1), ("separable", 5, 5), ("depthwise", 5, None), ("transpose", 6, 1), ("logits", 2, 2),
    ]  # fmt: skip
    assert rows[0].distinct_outputs == 1


@pytest.mark.tensorflow_only
def test_units_of_other_groups_see_other_channels():
    layer = keras.layers.Conv2D(6, 1, groups=2, kernel_initializer="ones")
    layer.build((None, 4, 4, 4))
    assert sorted(same(incoming_weights(layer), 0)) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.tensorflow_only
def test_the_bias_tells_units_apart():
    layer = keras.layers.Dense(3, kernel_initializer="ones")
    layer.build((None, 2))
    layer.bias.assign([0.0, 1.0, 0.0])
    assert sorted(same(incoming_weights(layer), 1e-5)) == [[0, 2], [1]]


@pytest.mark.tensorflow_only
def test_groups_are_those_of_all_pairs():
    rows = RANDOM.normal(size=(60, 5))
    rows[20:40] = rows[RANDOM.integers(0, 20, 20)] + RANDOM.uniform(-1e-7, 1e-7, (20, 5))
    apart = 1e-6 * np.abs(rows).max()
    equal = np.abs(rows[:, None] - rows[None]).max(axis=-1) <= apart
    expected = {tuple(np.flatnonzero(row)) for row in equal}
    assert {tuple(group) for group in same(rows, 1e-6)} == expected
    assert len(expected) < 60


@pytest.mark.tensorflow_only
def test_nan_equals_nothing():
    assert len(same(np.full((3, 2), np.nan), 1e-5)) == 3


@pytest.mark.tensorflow_only
def test_text_json_and_plot(tmp_path):
    for images in (None, RANDOM.normal(size=(8, 6))):
        report = check_units(net("zeros"), images, steps=2)
        assert "logits (classes)" in report.to_text()
        assert report.to_json()["layers"][0]["groups"] == [list(range(12))]
        report.plot(tmp_path / "units.png")
    assert [path.name for path in tmp_path.iterdir()] == ["units.png"]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("option", [{"steps": 0}, {"learning_rate": 0.0}, {"tolerance": -1.0}, {"labels": [0, 1]}])
def test_illegal_options(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        check_units(net("zeros"), **option)
