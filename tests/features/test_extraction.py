"""Features are the outputs of the layers, image by image, and the folder is whole or not there."""

import errno
import json
import os

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import DataError, UnknownNameError, UsageError
from kerastricks.features import Features, compute
from kerastricks.progress import silent

SPLITS = ("train", "validation", "test")


def small_network(channels=3):
    inputs = keras.Input((8, 8, channels))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(pooled), name="small")


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (60, 8, 8, 3)).astype("uint8"), np.arange(60) % 3


@pytest.fixture
def data(images):
    return kerastricks.data.load(images, augment="flip", batch_size=16)


def expected_of(model, layer, images):
    """Convolution, and the layers behind it in inference mode, in NumPy."""
    kernel, bias = (np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in model.get_layer("conv").weights)
    windows = np.lib.stride_tricks.sliding_window_view(images / 255.0, (3, 3), axis=(1, 2))  # n, 6, 6, c, 3, 3
    maps = np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias
    if layer != "conv":
        gamma, beta, mean, variance = (
            np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in model.get_layer("norm").weights
        )
        maps = (maps - mean) / np.sqrt(variance + model.get_layer("norm").epsilon) * gamma + beta
    return maps


def test_they_are_the_layers_outputs_averaged_over_the_map(data, tmp_path):
    model = small_network()
    norm = model.get_layer("norm")
    norm.set_weights([np.random.default_rng(1).uniform(0.5, 2, 4) for _ in norm.weights])
    features = compute(model, ["norm", "conv", "pool"], data, tmp_path / "f", batch_size=7)
    assert features.layers == ["norm", "conv", "pool"]
    for split in SPLITS:
        examples = data.splits[split].examples
        for layer in ("conv", "norm"):
            found = features.of(split, layer)
            assert (found.shape, found.dtype) == ((len(examples), 4), np.float32)
            expected = expected_of(model, layer, examples.images).mean(axis=(1, 2))
            np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(features.of(split, "pool"), features.of(split, "norm"), atol=1e-6)
        np.testing.assert_array_equal(features.labels(split), data.labels(split))
        assert features.files(split) == data.files(split)


def test_maps_are_kept_where_they_are_not_averaged(data, tmp_path):
    model = small_network()
    features = compute(model, ["conv", "head"], data, tmp_path / "f", ["test"], pool=False)
    assert features.of("test", "conv").shape == (6, 6, 6, 4)
    assert features.of("test", "head").shape == (6, 2)
    expected = expected_of(model, "conv", data.splits["test"].examples.images)
    np.testing.assert_allclose(features.of("test", "conv"), expected, atol=1e-5)


@pytest.mark.parametrize(("of_images", "of_model"), [(1, 3), (3, 1)])
def test_grey_is_repeated_and_colour_becomes_luma(of_images, of_model, images, tmp_path):
    x = images[0][..., :of_images]
    data = kerastricks.data.load((x, images[1]))
    model = small_network(of_model)
    features = compute(model, ["conv"], data, tmp_path / "f", ["train"])
    x = data.splits["train"].examples.images
    adapted = np.repeat(x, 3, -1) if of_model == 3 else np.round(x @ np.array([0.299, 0.587, 0.114]))[..., None]
    expected = expected_of(model, "conv", adapted).mean(axis=(1, 2))
    np.testing.assert_allclose(features.of("train", "conv"), expected, atol=1e-5)


def test_mixed_precision_is_averaged_in_float32(images, tmp_path):
    inputs = keras.Input((8, 8, 3))
    # Values up to 255 and a mean of 1 / 64: bfloat16 has eight bits for it.
    outputs = keras.layers.Activation("linear", name="pixels", dtype="mixed_bfloat16")(inputs)
    x = images[0] // 2
    data = kerastricks.data.load((x, images[1]))
    features = compute(keras.Model(inputs, outputs), ["pixels"], data, tmp_path / "f", ["test"])
    expected = data.splits["test"].examples.images.mean(axis=(1, 2))
    np.testing.assert_allclose(features.of("test", "pixels"), expected, rtol=1e-6)


def test_a_sequential_model_and_images_of_any_size(data, tmp_path):
    layers = [keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="conv")]
    features = compute(keras.Sequential(layers), ["conv"], data, tmp_path / "f", ["test"], pool=False)
    assert features.of("test", "conv").shape == (6, 6, 6, 2)


def test_the_files_are_what_the_documentation_says(data, tmp_path):
    compute(small_network(), ["pool"], data, tmp_path / "f", ["validation"])
    folder = tmp_path / "f" / "validation"
    assert sorted(path.name for path in folder.iterdir()) == ["files.txt", "labels.npy", "pool.npy"]
    mapped = np.load(folder / "pool.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert np.load(folder / "labels.npy").dtype == np.int32
    assert (folder / "files.txt").read_text().splitlines() == data.files("validation")
    record = json.loads((tmp_path / "f" / "features.json").read_text())
    assert record["layers"] == {"pool": [4]}
    assert record["data"]["fingerprint"] == data.fingerprint
    assert (record["image_shape"], record["crop_fraction"]) == ([8, 8, 3], 1.0)
    assert record["class_names"] == ["0", "1", "2"]


@pytest.mark.tensorflow_only
def test_files_are_named_and_fitted(image_folder, tmp_path):
    data = kerastricks.data.load(image_folder, image_size=8, crop_fraction=0.5, interpolation="bicubic")
    model = small_network()
    features = compute(model, ["conv"], data, tmp_path / "f", ["train"])
    assert features.files("train")[0].startswith("blue/")
    expected = expected_of(model, "conv", data.splits["train"].examples.images).mean(axis=(1, 2))
    np.testing.assert_allclose(features.of("train", "conv"), expected, atol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_was_stopped_leaves_nothing_behind(error, data, tmp_path):
    def stopping(description, total):
        if description.endswith("validation"):
            raise error
        return silent(description, total)

    with pytest.raises(type(error)):
        compute(small_network(), ["pool"], data, tmp_path / "f", progress=stopping)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tensorflow_only
def test_progress_counts_every_image(data, tmp_path):
    from contextlib import contextmanager

    counts = {}

    @contextmanager
    def counting(description, total):
        counts[description] = [total, 0]

        def advance(done):
            counts[description][1] += done

        yield advance

    compute(small_network(), ["pool"], data, tmp_path / "f", progress=counting)
    assert counts == {f"features of {split}": [data.splits[split].size] * 2 for split in SPLITS}


@pytest.mark.tensorflow_only
def test_bad_requests_are_one_line(data, tmp_path):
    model = small_network()
    target = tmp_path / "f"
    with pytest.raises(UnknownNameError, match="no layer of small is called 'pol': did you mean pool"):
        compute(model, ["pol"], data, target)
    with pytest.raises(UsageError, match="layers must be one or more names, each once"):
        compute(model, ["pool", "pool"], data, target)
    with pytest.raises(UnknownNameError, match="no split is called 'tests'"):
        compute(model, ["pool"], data, target, ["tests"])
    with pytest.raises(UsageError, match="batch_size must be 1 or more"):
        compute(model, ["pool"], data, target, batch_size=0)
    with pytest.raises(DataError, match="no such folder"):
        compute(model, ["pool"], data, tmp_path / "no" / "f")
    larger = kerastricks.data.load((np.zeros((40, 9, 9, 3), "uint8"), np.arange(40) % 2))
    with pytest.raises(DataError, match=r"images are \(9, 9, 3\), and small takes \(8, 8, 3\)"):
        compute(model, ["pool"], larger, target)
    with pytest.raises(UsageError, match="functional or Sequential"):
        compute(keras.Model(), ["pool"], data, target)
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    with pytest.raises(DataError, match="exists already"):
        compute(model, ["pool"], data, target)
    assert os.listdir(target) == []


@pytest.mark.tensorflow_only
def test_a_layer_that_is_called_twice_is_refused(data, tmp_path):
    shared = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, shared(shared(inputs)), name="twice")
    with pytest.raises(UsageError, match="layer shared of twice has not one output"):
        compute(model, ["shared"], data, tmp_path / "f")


@pytest.mark.tensorflow_only
def test_of_a_layer_in_two_models_the_one_that_is_given_counts(data, tmp_path):
    shared = keras.layers.Conv2D(3, 3, name="shared")
    keras.Model(first := keras.Input((8, 8, 3)), shared(first))
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, shared(keras.layers.Rescaling(1 / 255)(inputs)))
    features = compute(model, ["shared"], data, tmp_path / "f", ["test"])
    assert np.abs(features.of("test", "shared")).max() < 5  # of pixels to 255 it would be hundreds


@pytest.mark.tensorflow_only
def test_a_sequential_model_that_was_added_to(data, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3))])
    model.add(keras.layers.Conv2D(3, 3, name="conv"))
    model.add(keras.layers.GlobalAveragePooling2D(name="pool"))
    features = compute(model, ["conv", "pool"], data, tmp_path / "f", ["test"])
    np.testing.assert_allclose(features.of("test", "conv"), features.of("test", "pool"), rtol=1e-5)


@pytest.mark.tensorflow_only
def test_features_of_another_model_are_told(data, tmp_path):
    model = small_network()
    features = Features.open(compute(model, ["pool"], data, tmp_path / "f", ["test"]).path)
    features.check_model(model)
    head = model.get_layer("head")
    head.set_weights([weight + 1 for weight in head.get_weights()])
    features.check_model(model)  # what stands behind the layer does not count
    conv = model.get_layer("conv")
    conv.set_weights([weight + 1 for weight in conv.get_weights()])
    with pytest.raises(DataError, match="features of another model, small, or of other weights"):
        features.check_model(model)
