"""LSUV against algorithm 1 of Mishkin and Matas 2016; the variances are measured apart from it."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from kerastricks.initializers import LSUV, PatchWhitening, lsuv, start_from_data
from kerastricks.models import create

IMAGES = np.random.default_rng(0).normal(1, 2, size=(48, 8, 8, 3)).astype("float32")


def pre_activation_variance(model, layer, images=IMAGES):
    """Of a copy of `layer` without its activation, behind the part of the model in front of it."""
    seen = keras.Model(model.inputs[0], layer.input)(images)
    linear = type(layer).from_config({**layer.get_config(), "activation": None})
    linear.build(seen.shape)
    linear.set_weights(layer.get_weights())
    return float(np.var(keras.ops.convert_to_numpy(linear(seen)).astype("float64")))


def network(*middle):
    return keras.Sequential([keras.Input((8, 8, 3)), *middle, layers.Flatten(), layers.Dense(3, activation="softmax")])


def output(model, images):
    return keras.ops.convert_to_numpy(model(images))


def kernel(layer):
    return keras.ops.convert_to_numpy(layer.kernel).astype("float64")


def test_every_layer_has_variance_one_behind_the_ones_before_it():
    model = network(
        layers.Conv2D(6, 3, activation="relu"),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="tanh"),
        layers.Dropout(0.5),
        layers.SeparableConv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(5, 2, strides=2, activation="sigmoid"),
        layers.Conv2D(6, 1, groups=1, activation=layers.ReLU()),
    )
    report = lsuv(model, IMAGES, seed=0)
    assert report.converged
    assert [row.kind for row in report.rows] == [
        "Conv2D",
        "DepthwiseConv2D",
        "SeparableConv2D depthwise",
        "SeparableConv2D pointwise",
        "Conv2DTranspose",
        "Conv2D",
        "Dense",
    ]
    rows = {row.layer: row for row in report.rows}
    for layer in model.layers:
        if layer.name in rows:
            variance = pre_activation_variance(model, layer)
            assert abs(variance - 1) <= 0.1
            assert rows[layer.name].variance == pytest.approx(variance, abs=1e-3)
            assert rows[layer.name].rounds <= 1
    assert model.layers[0].activation is keras.activations.relu
    assert isinstance(model.layers[6].activation, layers.ReLU)


@pytest.mark.parametrize(
    ("convolution", "shape"),
    [(layers.Conv1D(4, 3), (9, 3)), (layers.Conv3D(4, 2), (5, 5, 5, 2)), (layers.SeparableConv1D(4, 3), (9, 3))],
    ids=["Conv1D", "Conv3D", "SeparableConv1D"],
)
def test_other_ranks(convolution, shape):
    data = np.random.default_rng(1).normal(size=(32, *shape)).astype("float32")
    model = keras.Sequential([keras.Input(shape), convolution])
    assert lsuv(model, data).converged
    assert abs(output(model, data).var() - 1) <= 0.1


def test_kernels_are_orthonormal_up_to_their_scale():
    model = network(
        layers.Conv2D(5, 3), layers.DepthwiseConv2D(3), layers.Conv2DTranspose(4, 3), layers.Conv2D(6, 1, groups=2)
    )
    report = lsuv(model, IMAGES, tolerance=1e-3, seed=0)
    conv, depthwise, transposed, grouped, dense = (kernel(layer) for layer in model.layers if hasattr(layer, "kernel"))
    matrices = [conv.reshape(-1, 5), transposed.reshape(-1, 5), dense, grouped[0, 0, :, :3], grouped[0, 0, :, 3:]]
    matrices += [depthwise[:, :, channel].reshape(9, 1) for channel in range(5)]
    for matrix in matrices:
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        scale = gram[0, 0]
        np.testing.assert_allclose(gram, scale * np.eye(len(gram)), atol=1e-5 * scale)
    # The scale is that of the paper: one division by the standard deviation of the orthonormal start.
    assert np.linalg.norm(conv[..., 0]) == pytest.approx(report.rows[0].start_variance ** -0.5, rel=1e-4)
    assert np.linalg.norm(depthwise[:, :, 0]) == pytest.approx(report.rows[1].start_variance ** -0.5, rel=1e-4)


@pytest.mark.tensorflow_only
def test_scale_of_the_images_does_not_matter_to_a_layer_without_bias():
    model = network(layers.Conv2D(5, 3, use_bias=False, activation="relu"))
    before = lsuv(model, IMAGES, seed=3)
    first, last = kernel(model.layers[0]), kernel(model.layers[-1])
    after = lsuv(model, 100 * IMAGES, seed=3)
    np.testing.assert_allclose(kernel(model.layers[0]), first / 100, rtol=1e-4)
    np.testing.assert_allclose(kernel(model.layers[-1]), last, rtol=1e-3, atol=1e-5)
    assert after.rows[0].start_variance == pytest.approx(1e4 * before.rows[0].start_variance, rel=1e-4)


@pytest.mark.tensorflow_only
def test_own_kernels_are_only_scaled_without_the_orthonormal_start():
    model = network(layers.Conv2D(5, 3))
    start = kernel(model.layers[0])
    assert lsuv(model, IMAGES, orthonormal=False).converged
    ratio = kernel(model.layers[0]) / start
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-5)
    assert abs(pre_activation_variance(model, model.layers[0]) - 1) <= 0.1


def test_a_variance_within_the_tolerance_is_left_as_it_is():
    model = network(layers.Conv2D(5, 3))
    lsuv(model, IMAGES)
    first = kernel(model.layers[0])
    report = lsuv(model, IMAGES, orthonormal=False)
    assert [row.rounds for row in report.rows] == [0, 0]
    np.testing.assert_array_equal(kernel(model.layers[0]), first)


def test_seeds():
    kernels = []
    for seed in (1, 1, 2):
        model = network(layers.Conv2D(5, 3))
        lsuv(model, IMAGES, seed=seed)
        kernels.append(kernel(model.layers[0]))
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).all()


@pytest.mark.tensorflow_only
def test_a_shared_layer_is_set_at_its_first_use():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    model = keras.Model(inputs, shared(10 * shared(shared(inputs))))
    report = lsuv(model, IMAGES)
    assert [row.layer for row in report.rows] == ["shared"]
    linear = layers.Conv2D(3, 3, padding="same")
    linear.build(IMAGES.shape)
    linear.set_weights(shared.get_weights())
    assert abs(np.var(keras.ops.convert_to_numpy(linear(IMAGES))) - 1) <= 0.1


@pytest.mark.tensorflow_only
def test_nested_models_and_residual_sums_run_in_order():
    block_in = keras.Input((None, None, 4))
    block = keras.Model(
        block_in, layers.Add()([block_in, layers.Conv2D(4, 3, padding="same", name="conv")(block_in)]), name="block"
    )
    inputs = keras.Input((8, 8, 3))
    x = block(layers.Conv2D(4, 1, activation="relu", name="stem")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(block(x))))
    report = lsuv(model, IMAGES)
    assert [row.layer for row in report.rows] == ["stem", "block/conv", "head"]
    assert report.converged
    stem = output(keras.Model(inputs, model.get_layer("stem").output), IMAGES)
    conv = block.get_layer("conv")
    assert abs(np.var(keras.ops.convert_to_numpy(conv(stem))) - 1) <= 0.1
    assert abs(output(model, IMAGES).var() - 1) <= 0.1


@pytest.mark.tensorflow_only
def test_frozen_and_whitening_layers_and_unknown_kinds_are_left_alone():
    frozen = layers.Conv2D(4, 3, trainable=False, name="frozen")
    whitening = layers.Conv2D(24, 2, kernel_initializer=PatchWhitening(), name="whitening")
    einsum = layers.EinsumDense("bhwc,cd->bhwd", (5, 5, 3), name="einsum")
    wrapped = layers.TimeDistributed(layers.Conv1D(3, 1, name="inside"), name="wrapped")
    model = network(whitening, frozen, einsum, wrapped)
    before = [kernel(layer) for layer in (frozen, whitening, einsum, wrapped.layer)]
    report = lsuv(model, IMAGES)
    notes = {row.layer: row.note for row in report.rows if row.converged is None}
    assert notes["frozen"] == "frozen"
    assert notes["whitening"] == "PatchWhitening"
    assert "does not know" in notes["einsum"]
    assert [note for name, note in notes.items() if "inside" in name] == ["inside a wrapper or a layer of another kind"]
    assert "4 left alone" in str(report)
    assert report.converged
    for weights, layer in zip(before, (frozen, whitening, einsum, wrapped.layer), strict=True):
        np.testing.assert_array_equal(kernel(layer), weights)
    by_name = {row.layer: row for row in report.rows}
    assert by_name["frozen"].variance == pytest.approx(pre_activation_variance(model, frozen), rel=1e-3)


@pytest.mark.tensorflow_only
def test_only_the_named_layers():
    model = network(layers.Conv2D(5, 3), layers.Conv2D(5, 3))
    first = kernel(model.layers[0])
    report = lsuv(model, IMAGES, layers=[model.layers[1]])
    assert [row.layer for row in report.rows] == [model.layers[1].name]
    np.testing.assert_array_equal(kernel(model.layers[0]), first)
    assert abs(pre_activation_variance(model, model.layers[1]) - 1) <= 0.1


@pytest.mark.parametrize(("value", "note"), [(0.0, "constant"), (3e38, "not finite")])
def test_a_dead_or_exploding_input_is_reported_and_gives_no_nan(value, note):
    model = network(
        layers.Conv2D(4, 1, use_bias=False, kernel_initializer="zeros", trainable=False), layers.Conv2D(5, 3)
    )
    model.layers[0].kernel.assign(np.full((1, 1, 3, 4), value))
    report = lsuv(model, IMAGES)
    row = report.rows[1]
    assert (row.rounds, row.converged) == (0, False)
    assert note in row.note
    assert not report.converged
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.tensorflow_only
def test_rounds_stop_at_the_maximum_and_the_bias_is_named():
    model = network(layers.Conv2D(2, 3))
    model.layers[0].bias.assign([-9, 9])
    report = lsuv(model, IMAGES, max_rounds=3)
    assert (report.rows[0].rounds, report.rows[0].converged) == (3, False)
    assert report.rows[0].note.startswith("stopped after 3 rounds; its bias")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[0].bias), [-9, 9])


@pytest.mark.tensorflow_only
def test_a_small_bias_takes_more_than_one_round():
    model = network(layers.Conv2D(2, 3))
    model.layers[0].bias.assign([-0.7, 0.7])
    report = lsuv(model, IMAGES, tolerance=0.02, seed=0)
    assert report.rows[0].converged
    assert report.rows[0].rounds > 1
    assert abs(pre_activation_variance(model, model.layers[0]) - 1) <= 0.02


def test_the_model_computes_as_before_when_it_is_done_and_when_it_fails():
    model = network(layers.Conv2D(4, 3, activation="relu"))
    lsuv(model, IMAGES)
    out = keras.ops.convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(out, model.predict(IMAGES, verbose=0), rtol=1e-4, atol=1e-6)

    class Failing(layers.Layer):
        def call(self, x):
            raise RuntimeError("no")

        def compute_output_shape(self, shape):
            return shape

    broken = network(layers.Conv2D(4, 3), Failing())
    with pytest.raises(RuntimeError, match="no"):
        lsuv(broken, IMAGES)
    assert "call" not in vars(broken.layers[0])
    assert "call" not in vars(model.layers[0])


@pytest.mark.tensorflow_only
def test_report_reads_as_a_table_and_as_json():
    model = network(layers.Conv2D(4, 3, name="first"))
    report = lsuv(model, IMAGES)
    lines = str(report).splitlines()
    assert "LSUV on 48 images: 2 of 2 kernels" in lines[0]
    assert lines[1].split() == ["layer", "kind", "rounds", "before", "after"]
    assert lines[2].split()[:3] == ["first", "Conv2D", "1"]
    read = json.loads(json.dumps(report.to_json()))
    assert read["converged"] is True
    assert read["rows"][0]["layer"] == "first"


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: {"image": x}], ids=["list", "dict"])
@pytest.mark.tensorflow_only
def test_a_model_whose_one_input_is_in_a_list_or_dict(wrap):
    inputs = keras.Input((8, 8, 3), name="image")
    assert lsuv(keras.Model(wrap(inputs), layers.Conv2D(4, 3)(inputs)), IMAGES).converged


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("form", ["pairs", "batches", "tuple batches"])
def test_data_sets_are_taken_as_well(form):
    batches = [IMAGES[:20], IMAGES[20:40], IMAGES[40:]]
    labels = np.zeros(20)
    data = {
        "pairs": [(batch, labels) for batch in batches],
        "batches": iter(batches),
        "tuple batches": ((batch, labels, labels) for batch in batches),
    }[form]
    model = network(layers.Conv2D(4, 3))
    assert lsuv(model, data, max_images=30, seed=0).images == 30
    expected = network(layers.Conv2D(4, 3))
    lsuv(expected, IMAGES[:30], seed=0)
    np.testing.assert_allclose(kernel(model.layers[0]), kernel(expected.layers[0]), rtol=1e-6)


def test_a_mixed_precision_model_is_scaled_in_float32():
    model = network(layers.Conv2D(8, 3, activation="relu", dtype="mixed_bfloat16"))
    assert lsuv(model, IMAGES).converged
    assert keras.backend.standardize_dtype(model.layers[0].kernel.dtype) == "float32"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full((4, 8, 8, 3), np.nan, "float32"), "finite"),
        (np.zeros((4, 8, 9, 3), "float32"), r"shape.*as the model takes them.*Received: \(4, 8, 9, 3\)"),
        (np.zeros((8, 8, 3), "float32"), "Received"),
        (np.zeros((0, 8, 8, 3), "float32"), "Received"),
        ([], "Received"),
        ([np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 9, 3))], "one shape"),
        (7, "array of images"),
    ],
    ids=["nan", "size", "rank", "empty", "no batches", "mixed", "number"],
)
@pytest.mark.tensorflow_only
def test_bad_data_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        lsuv(network(layers.Conv2D(4, 3)), data)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"tolerance": 0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"max_images": 0}, "max_images"),
        ({"layers": [layers.Dense(2)]}, "layers"),
    ],
)
@pytest.mark.tensorflow_only
def test_illegal_arguments_are_named(arguments, names):
    with pytest.raises(ValueError, match=f"{names} must.*Received"):
        lsuv(network(layers.Conv2D(4, 3)), IMAGES, **arguments)


@pytest.mark.tensorflow_only
def test_models_that_are_not_built_or_have_two_inputs_are_refused():
    first, second = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    for model in (keras.Sequential([layers.Dense(2)]), keras.Model([first, second], layers.Add()([first, second]))):
        with pytest.raises(ValueError, match=r"model must be.*Received"):
            lsuv(model, IMAGES)


def test_start_from_data_whitens_and_then_scales_the_marked_layers_alone(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(24, 2, kernel_initializer=PatchWhitening(), trainable=False, name="whitening")(inputs)
    x = layers.SeparableConv2D(6, 3, depthwise_initializer=LSUV(), name="half", activation="relu")(x)
    x = layers.Conv2D(6, 3, kernel_initializer=LSUV(seed=4), activation="relu", name="marked")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))
    untouched = [model.get_layer("half").get_weights()[1], kernel(model.get_layer("head"))]
    done = start_from_data(model, IMAGES)
    assert done.whitened
    assert [(row.layer, row.kind) for row in done.lsuv.rows] == [
        ("half", "SeparableConv2D depthwise"),
        ("marked", "Conv2D"),
    ]
    assert done.lsuv.converged
    assert abs(pre_activation_variance(model, model.get_layer("marked")) - 1) <= 0.1
    np.testing.assert_array_equal(model.get_layer("half").get_weights()[1], untouched[0])
    np.testing.assert_array_equal(kernel(model.get_layer("head")), untouched[1])
    # The layer's own seed holds.
    own = keras.ops.convert_to_numpy(LSUV(seed=4)((3, 3, 6, 6)))
    ratio = kernel(model.get_layer("marked")) / own
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)
    # The marks are gone: the file needs nothing of ours, and a second start changes nothing.
    assert "kerastricks" not in model.to_json()
    weights = model.get_weights()
    again = start_from_data(model, IMAGES)
    assert not again
    assert str(again) == "no layer starts from data"
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.tensorflow_only
def test_start_from_data_reports_marks_that_it_cannot_follow_and_takes_them_off():
    model = network(
        layers.SpectralNormalization(layers.Conv2D(4, 3, kernel_initializer=LSUV()), name="wrapped"),
        layers.EinsumDense("bhwc,cd->bhwd", (6, 6, 3), kernel_initializer=LSUV(), name="einsum"),
        layers.Conv2D(4, 3, kernel_initializer=LSUV(), trainable=False, name="frozen"),
    )
    report = start_from_data(model, IMAGES).lsuv
    assert {row.layer.split("/")[0]: row.converged for row in report.rows} == dict.fromkeys(
        ("wrapped", "einsum", "frozen")
    )
    assert "LSUV" not in model.to_json()


@pytest.mark.tensorflow_only
def test_start_from_data_of_a_model_of_the_zoo():
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype("float32")
    model = create("plain_cnn(widths=(8, 8))", (16, 16, 3), 4, mean=127.0, std=70.0, initializer=LSUV())
    done = start_from_data(model, images)
    assert done.whitened
    assert done.lsuv.converged
    assert len(done.lsuv.rows) >= 4
    assert str(done).splitlines()[0] == "the first convolution whitens patches"
