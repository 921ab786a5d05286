"""check_activations: dead and saturated units that were made to be so."""

import gc
import json
import weakref

import keras
import numpy as np
import pytest

from kerastricks.checks import check_activations
from kerastricks.errors import UsageError

RANDOM = np.random.default_rng(0)


def biased(biases, activation):
    """A convolution whose units are what their biases say."""
    convolution = keras.layers.Conv2D(len(biases), 3, name="conv")
    model = keras.Sequential([keras.Input((5, 5, 1)), convolution, activation])
    convolution.bias.assign(biases)
    return model


@pytest.mark.parametrize(
    "activation",
    [
        keras.layers.ReLU(),
        keras.layers.Activation("relu"),
        keras.layers.LeakyReLU(),
        keras.layers.PReLU(),
        keras.layers.Activation("elu"),
        keras.layers.Activation("relu6"),
        keras.layers.Activation("gelu"),
    ],
    ids=lambda layer: layer.name,
)
def test_dead_units_are_counted_exactly(activation):
    model = biased([-100.0] * 3 + [100.0] * 4, activation)
    report = check_activations(model, RANDOM.uniform(0, 1, (70, 5, 5, 1)))
    (row,) = report.rows
    assert (row.units, row.dead, row.dead_share) == (7, 3, 3 / 7)
    assert "3 of 7 in" in report.verdicts[0]
    assert "never above 0 on 70 images" in report.verdicts[0]


@pytest.mark.tensorflow_only
def test_one_positive_output_is_life():
    images = np.zeros((100, 1))
    images[77] = 1
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "relu", name="hidden")])
    model.layers[0].set_weights([np.array([[1.0, 0.0]]), np.zeros(2)])
    row = check_activations(model, images, batch_size=10).rows[0]
    assert row.layer == "hidden:relu"
    assert row.dead == 1
    assert row.zero_share == pytest.approx(199 / 200)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("name", "large"), [("tanh", 100.0), ("sigmoid", 100.0), ("softsign", 1e4)])
def test_saturated_units_lie_at_either_bound(name, large):
    model = biased([large, -large, large, 0.0, 0.0], keras.layers.Activation(name))
    (row,) = check_activations(model, RANDOM.uniform(0, 1, (20, 5, 5, 1))).rows
    assert (row.saturated, row.dead) == (3, None)
    assert row.bound_share == pytest.approx(3 / 5)


@pytest.mark.tensorflow_only
def test_the_two_thresholds_of_saturation():
    # Unit 0 is at a bound for 90 of 100 images, unit 1 within 4 % of the span for all.
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation("tanh")])
    images = np.stack([np.where(np.arange(100) < 90, 50.0, 0.0), np.full(100, np.arctanh(0.93))], axis=1)
    found = [
        check_activations(model, images, bound_tolerance=tolerance, saturated_rate=rate).rows[0].saturated
        for tolerance, rate in ((0.01, 0.95), (0.01, 0.85), (0.04, 0.95), (0.04, 0.85))
    ]
    assert found == [0, 1, 1, 2]


@pytest.mark.tensorflow_only
def test_a_capped_relu_is_dead_below_and_saturated_above():
    (row,) = check_activations(biased([-100.0, 100.0, 1.0], keras.layers.ReLU(max_value=6)), np.ones((4, 5, 5, 1))).rows
    assert (row.dead, row.saturated) == (1, 1)


@pytest.mark.tensorflow_only
def test_a_sure_classifier_is_no_finding():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
    report = check_activations(model, 1000 * np.eye(3)[RANDOM.integers(0, 3, 50)])
    assert report.rows[0].saturated == 3
    assert report.verdicts == ("no dead and no saturated units",)


def test_mean_variance_and_zeros_against_numpy():
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.ReLU()])
    images = RANDOM.normal(1.0, 2.0, (75, 6, 6, 2)).astype("float32")
    (row,) = check_activations(model, images, batch_size=16).rows
    expected = np.maximum(images, 0).astype("float64")
    assert row.mean == pytest.approx(expected.mean(), rel=1e-6)
    assert row.variance == pytest.approx(expected.var(), rel=1e-6)
    assert row.zero_share == pytest.approx((expected == 0).mean())


def test_batches_give_what_an_array_gives():
    model = biased([-0.1, 0.1, 0.0, -100.0], keras.layers.ReLU())
    images = RANDOM.uniform(0, 1, (50, 5, 5, 1)).astype("float32")
    whole = check_activations(model, images)
    parts = check_activations(model, (images[start : start + 7] for start in range(0, 50, 7)))
    labelled = check_activations(model, iter([(images[:20], np.zeros(20)), (images[20:], np.zeros(30))]))
    for report in (parts, labelled):
        assert report.images == 50
        for name, value in whole.to_json()["layers"][0].items():
            found = report.to_json()["layers"][0][name]
            assert found == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)


@pytest.mark.tensorflow_only
def test_a_stream_is_not_kept():
    model = biased([0.0, 1.0], keras.layers.ReLU())
    alive = []

    def stream():
        for _ in range(10):
            batch = RANDOM.uniform(0, 1, (8, 5, 5, 1)).astype("float32")
            alive.append(weakref.ref(batch))
            yield batch
            gc.collect()  # torch leaves cycles
            assert sum(reference() is not None for reference in alive) <= 3

    assert check_activations(model, stream()).images == 80


def test_nan_in_the_weights_is_said():
    model = biased([0.0, float("nan")], keras.layers.ReLU())
    report = check_activations(model, np.ones((4, 5, 5, 1)))
    assert report.verdicts[0].startswith("not finite: ")
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.tensorflow_only
def test_text_and_plot(tmp_path):
    report = check_activations(biased([-100.0, 1.0], keras.layers.ReLU(name="units")), np.ones((4, 5, 5, 1)))
    assert "1 (50%)" in report.to_text()
    report.plot(tmp_path / "units.png")
    assert [path.name for path in tmp_path.iterdir()] == ["units.png"]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("option", [{"bound_tolerance": 0.6}, {"saturated_rate": -0.1}, {"batch_size": 0}])
def test_illegal_options(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        check_activations(biased([0.0], keras.layers.ReLU()), np.ones((4, 5, 5, 1)), **option)


@pytest.mark.tensorflow_only
def test_a_model_without_activation():
    with pytest.raises(UsageError, match="model has no activation"):
        check_activations(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), np.ones((4, 2)))
