"""check_signal against formulas and a backward pass written by hand."""

import json
import math
import re

import keras
import numpy as np
import pytest

from kerastricks.checks import check_signal
from kerastricks.errors import UsageError

RANDOM = np.random.default_rng(0)


def dense_net(depth, width, initializer, activation="relu"):
    layers = [keras.Input((width,))]
    layers += [
        keras.layers.Dense(width, activation, kernel_initializer=make(initializer), name=f"dense{number}")
        for number in range(1, depth + 1)
    ]
    return keras.Sequential([*layers, keras.layers.Dense(4, "softmax", name="logits")])


def make(initializer):
    return keras.initializers.get(initializer) if isinstance(initializer, str) else initializer()


def by_name(report):
    return {row.layer: row for row in report.rows}


def test_gradients_are_those_of_a_backward_pass_by_hand():
    images, labels = RANDOM.normal(size=(10, 6)), RANDOM.integers(0, 3, 10)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu", name="hidden")])
    model.add(keras.layers.Dense(3, "softmax", name="logits"))
    weights = [RANDOM.normal(size=shape) for shape in ((6, 5), (5,), (5, 3), (3,))]
    model.set_weights(weights)

    w1, b1, w2, b2 = weights
    z1 = images @ w1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ w2 + b2
    probabilities = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
    d2 = probabilities - np.eye(3)[labels]
    da1 = d2 @ w2.T
    d1 = da1 * (z1 > 0)

    report = check_signal(model, images, labels, batch_size=4)  # two full batches and a remainder
    rows = by_name(report)
    assert list(rows) == ["hidden", "hidden:relu", "logits"]
    for name, value, gradient in (("hidden", z1, d1), ("hidden:relu", a1, da1), ("logits", z2, d2)):
        assert rows[name].mean == pytest.approx(value.mean(), rel=1e-5)
        assert rows[name].variance == pytest.approx(value.var(), rel=1e-5)
        assert rows[name].gradient == pytest.approx(np.mean(gradient**2), rel=1e-5)
    assert rows["hidden"].kernel_gradient == pytest.approx(np.mean((images.T @ d1 / 10) ** 2), rel=1e-5)
    assert rows["logits"].kernel_gradient == pytest.approx(np.mean((a1.T @ d2 / 10) ** 2), rel=1e-5)
    assert rows["hidden:relu"].kernel_gradient is None
    assert rows["logits"].is_head
    assert report.loss == pytest.approx(-np.log(probabilities[np.arange(10), labels]).mean(), rel=1e-5)


def test_a_convolution_against_finite_differences():
    images, labels = RANDOM.normal(size=(3, 5, 5, 2)).astype("float32"), np.array([0, 1, 1])
    x = inputs = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(3, 3, name="conv")(x)
    x = keras.layers.Activation("tanh", name="tanh")(x)
    outputs = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)

    def loss(kernel):
        model.get_layer("conv").kernel.assign(kernel)
        logits = keras.ops.convert_to_numpy(model(images)).astype("float64")
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(3), labels])

    kernel = keras.ops.convert_to_numpy(model.get_layer("conv").kernel).copy()
    differences = []
    for place in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[place] = 1e-2
        differences.append((loss(kernel + step) - loss(kernel - step)) / 2e-2)
    loss(kernel)
    found = by_name(check_signal(model, images, labels))["conv"].kernel_gradient
    assert found == pytest.approx(np.mean(np.square(differences)), rel=2e-3)


@pytest.mark.tensorflow_only
def test_variances_of_a_linear_net_are_its_factors():
    images = RANDOM.normal(1.0, 2.0, (50, 4))
    layers = [keras.layers.Dense(4, use_bias=False, name=f"times{factor}") for factor in (2, 3, 5)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    for layer, factor in zip(layers, (2, 3, 5), strict=True):
        layer.kernel.assign(factor * np.eye(4))
    report = check_signal(model, images)
    for row, factor in zip(report.rows, (2, 6, 30), strict=True):
        assert row.variance == pytest.approx(factor**2 * images.var(), rel=1e-5)
        assert row.mean == pytest.approx(factor * images.mean(), rel=1e-5)
    assert report.forward_ratio == pytest.approx(9, rel=1e-5)  # the last gives the logits


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("initializer", "factor"), [("glorot_normal", 0.5), ("he_normal", 1.0)])
def test_xavier_halves_the_signal_of_relu_per_layer_and_he_keeps_it(initializer, factor):
    depth, width = 12, 256
    keras.utils.set_random_seed(1)
    report = check_signal(dense_net(depth, width, initializer), RANDOM.normal(size=(64, width)))
    # |h|^2 after a layer of n ReLU units with Gaussian weights varies by 5 / n (the variance of max(z, 0)^2 by the
    # square of its mean is 5), so that its logarithm drifts by -5 / 2n per layer.
    steps = depth - 1
    drift, spread = -steps * 5 / (2 * width), math.sqrt(steps * 5 / width)
    for ratio in (report.forward_ratio, report.backward_ratio):
        assert abs(math.log(ratio) - steps * math.log(factor) - drift) < 4 * spread
    said = "halves per layer, 12 layers leave" if factor == 0.5 else "holds, a factor of "
    assert report.verdicts[0].startswith(f"forward signal: {said}")
    assert ("he_normal" in report.verdicts[-1]) == (factor == 0.5)


def test_a_signal_far_below_the_square_root_of_float32_is_still_measured():
    # 1e-25 fits float32, its square does not.
    report = check_signal(
        dense_net(6, 8, lambda: keras.initializers.Identity(1e-5), "linear"), RANDOM.normal(size=(8, 8))
    )
    assert report.forward_ratio == pytest.approx(1e-50, rel=1e-4)
    assert "shrinks to 1e-10 per layer, 6 layers leave 1e-50" in report.verdicts[0]


@pytest.mark.tensorflow_only
def test_zeros_and_overflow_are_said_and_are_no_json_numbers():
    images = RANDOM.normal(size=(8, 8))
    zeros = check_signal(dense_net(3, 8, "zeros"), images)
    assert [verdict.endswith(": 0, or too small for float32, everywhere") for verdict in zeros.verdicts] == [1, 1, 0]
    large = check_signal(dense_net(3, 8, lambda: keras.initializers.Identity(1e20)), images)
    assert large.verdicts[0] == "forward signal: leaves float32 at dense2"
    for report in (zeros, large):
        json.dumps(report.to_json(), allow_nan=False)
        assert report.verdicts[0] in report.to_text()
    assert zeros.to_json()["forward_ratio"] is None


def test_batch_normalization_uses_the_batch_as_in_a_training_step():
    images = RANDOM.normal(7.0, 3.0, (32, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Activation("tanh")])
    model.add(keras.layers.Dense(2))
    row = check_signal(model, images).rows[0]
    normalized = (images - images.mean(axis=0)) / np.sqrt(images.var(axis=0) + 1e-3)
    assert row.activation == "tanh"
    assert row.variance == pytest.approx(np.tanh(normalized).var(), rel=1e-5)


def test_penalties_constraints_and_frozen_kernels():
    images, labels = RANDOM.normal(size=(8, 4)), RANDOM.integers(0, 2, 8)

    def found(**options):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="hidden", **options)])
        model.add(keras.layers.Dense(2, name="logits"))
        return check_signal(model, images, labels, batch_size=4).rows

    plain = found()
    assert found(kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(0.1)) == plain
    frozen = found(trainable=False)
    assert frozen[0].kernel_gradient is None
    assert frozen[0].gradient == plain[0].gradient


@pytest.mark.tensorflow_only
def test_labels_are_drawn_from_the_seed():
    model, images = dense_net(2, 4, "he_normal"), RANDOM.normal(size=(16, 4))
    assert check_signal(model, images, seed=3) == check_signal(model, images, seed=3)
    assert check_signal(model, images, seed=3) != check_signal(model, images, seed=4)
    drawn = np.random.default_rng(3).integers(0, 4, 16)
    assert check_signal(model, images, drawn, seed=0) == check_signal(model, images, seed=3)


@pytest.mark.tensorflow_only
def test_the_plot_is_a_png_and_appears_whole(tmp_path):
    for number, initializer in enumerate(("he_normal", "zeros")):
        report = check_signal(dense_net(2, 4, initializer), RANDOM.normal(size=(4, 4)))
        report.plot(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(UsageError, match=r"must end in \.png"):
        report.plot(tmp_path / "signal.pdf")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("activation", "hint"),
    [
        ("relu", "gain sqrt 2 keeps it: he_normal"),
        (keras.layers.LeakyReLU(0.5), r"he_normal\(0.5\)"),
        ("tanh", r"variance 2.54 / fan_in keeps it"),
        ("sigmoid", "no initializer keeps it through sigmoid"),
        ("linear", "variance 1 / fan_in keeps it: fan_in"),
    ],
)
def test_the_hint_fits_the_activation(activation, hint):
    model = keras.Sequential([keras.Input((8,))])
    for _ in range(4):
        model.add(keras.layers.Dense(8, kernel_initializer=keras.initializers.RandomNormal(0.001)))
        model.add(activation if callable(activation) else keras.layers.Activation(activation))
    model.add(keras.layers.Dense(2))
    assert re.search(hint, check_signal(model, RANDOM.normal(size=(4, 8))).verdicts[-1])
