"""Weights into models: from PyTorch's names, Keras's files and the cache; with the head, without it, or not at all."""

import shutil

import keras
import numpy as np
import pytest
from conftest import tensorflow_case
from torch_bytes import dump

from kerastricks.errors import WeightsError
from kerastricks.models import create
from kerastricks.models.catalog import CATALOG
from kerastricks.weights import PRETRAINED, load_weights, read_torch_file
from kerastricks.weights import catalog as weights_catalog
from kerastricks.weights.files import sha256_of

SMALL = "efficientnet_lite0(width=0.1, depth=0.34)"
SHAPE = (40, 32, 3)
PARTS = {"expand_conv": "_expand_conv", "norm1": "_bn0", "depthwise": "_depthwise_conv", "norm2": "_bn1"}
PARTS |= {"project_conv": "_project_conv", "norm3": "_bn2"}
ENDS = {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "head_conv": "_conv_head", "head_norm": "_bn1", "logits": "_fc"}


def small(classes=4, **options):
    return create(SMALL, SHAPE, classes, **options)


def randomize(model):
    """Other numbers in every weight, batch norm's too."""
    draws = np.random.default_rng(0)
    model.set_weights([draws.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


def to_torch(model):
    """The model's weights with PyTorch's names and layouts, written from the meaning of each axis."""
    state = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        theirs = ENDS.get(layer.name)
        if theirs is None:
            stage, block, part = layer.name.split("_", 2)
            blocks = [other.name for other in model.layers if other.name.endswith("_depthwise")]
            theirs = f"_blocks.{blocks.index(f'{stage}_{block}_depthwise')}.{PARTS[part]}"
        arrays = [np.asarray(array, "<f4") for array in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            state[f"{theirs}.num_batches_tracked"] = np.array(9, "<i8")
        else:
            names = ("weight", "bias")
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                arrays[0] = np.einsum("hwcm->cmhw", arrays[0])
            elif isinstance(layer, keras.layers.Conv2D):
                arrays[0] = np.einsum("hwio->oihw", arrays[0])
            else:
                arrays[0] = arrays[0].T
        state |= {f"{theirs}.{name}": np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=False)}
    return state


@pytest.fixture(scope="module")
def source():
    return randomize(small())


@pytest.fixture(scope="module")
def files(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "old.pth").write_bytes(dump(to_torch(source), "old"))
    (folder / "zip.pth").write_bytes(dump(to_torch(source), "zip"))
    source.save_weights(folder / "x.weights.h5")
    source.save(folder / "x.keras")
    return folder


def assert_equal(model, source, head=True):
    for layer in source.layers:
        if not layer.weights or (layer.name == "logits" and not head):
            continue
        for one, other in zip(model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=layer.name)


@pytest.mark.parametrize("file", ["old.pth", *map(tensorflow_case, ("zip.pth", "x.weights.h5")), "x.keras"])
def test_every_kind_of_file_gives_all_weights(files, source, file):
    assert_equal(small(weights=files / file), source)


@pytest.mark.parametrize("file", ["old.pth", *map(tensorflow_case, ("x.weights.h5", "x.keras"))])
def test_another_number_of_classes_keeps_its_head(files, source, file):
    model = small(classes=7)
    before = [np.array(array) for array in model.get_layer("logits").get_weights()]
    assert load_weights(model, files / file) is False
    assert_equal(model, source, head=False)
    for one, other in zip(model.get_layer("logits").get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert load_weights(small(), files / file) is True


@pytest.mark.parametrize("file", ["old.pth", *map(tensorflow_case, ("x.weights.h5", "x.keras"))])
def test_options_that_change_no_kernel_are_free(files, source, file):
    options = {"stochastic_depth": 0.2, "dropout": 0.0, "activation": "relu", "regularizer": "l2(1e-4)"}
    model = create(SMALL, (64, 48, 3), 4, weights=files / file, **options)
    assert_equal(model, source)
    assert any(layer.name.endswith("stochastic_depth") for layer in model.layers)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("file", ["old.pth", "x.weights.h5", "x.keras"])
@pytest.mark.parametrize(
    "name", ["efficientnet_lite0(width=0.2, depth=0.34)", "efficientnet_lite0(width=0.1, depth=0.1)", "nin"]
)
@pytest.mark.filterwarnings("error::UserWarning")
def test_weights_of_another_network_are_refused_and_the_model_keeps_its_own(files, file, name):
    model = create(name, SHAPE, 4)
    before = [np.array(array) for array in model.get_weights()]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, files / file)
    assert "\n" not in str(caught.value)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("file", ["x.weights.h5", "x.keras"])
def test_a_deeper_networks_first_layers_are_not_taken_for_a_shallower_ones(tmp_path, file):
    deep = create("mlp(depth=4, width=8)", (4, 4, 3), 4)
    deep.save(tmp_path / "x.keras")
    deep.compile("adam", "sparse_categorical_crossentropy")
    deep.train_on_batch(np.zeros((2, 4, 4, 3)), np.zeros(2))
    deep.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(WeightsError, match="of another network, or of other options"):
        create("mlp(depth=2, width=8)", (4, 4, 3), 4, weights=tmp_path / file)
    loaded = create("mlp(depth=4, width=8)", (4, 4, 3), 4, weights=tmp_path / "x.weights.h5")
    assert_equal(loaded, deep)


@pytest.mark.tensorflow_only
def test_a_tensor_too_many_or_too_few_is_named(source, tmp_path):
    state = to_torch(source)
    path = tmp_path / "x.pth"
    path.write_bytes(dump({**state, "extra.weight": np.zeros(3, "<f4")}, "old"))
    with pytest.raises(WeightsError, match=r"the tensor 'extra\.weight' is not of efficientnet_lite0"):
        small(weights=path)
    path.write_bytes(dump({key: array for key, array in state.items() if key != "_blocks.1._bn0.running_var"}, "old"))
    with pytest.raises(WeightsError, match=r"has no tensor '_blocks\.1\._bn0\.running_var'"):
        small(weights=path)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("file", ["x.pth", "x.weights.h5", "x.keras"])
def test_a_file_that_is_none_is_one_line(tmp_path, file):
    (tmp_path / file).write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=file) as caught:
        small(weights=tmp_path / file)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow_only
def test_mean_and_std_are_those_of_the_weights(files, source, tmp_path):
    def statistics(model):
        layer = model.get_layer("normalization")
        return np.ravel(layer.mean).tolist(), np.sqrt(np.ravel(layer.variance)).tolist()

    assert statistics(small()) == ([127.5] * 3, [127.5] * 3)
    assert statistics(small(weights=files / "old.pth")) == ([127.0] * 3, [128.0] * 3)
    assert statistics(small(weights=files / "old.pth", mean=127, std=[128, 128, 128])) == ([127.0] * 3, [128.0] * 3)
    with pytest.raises(WeightsError, match=r"mean must be that of the weights, \[127.*about ten points.*mean=127.5"):
        small(weights=files / "old.pth", mean=127.5)
    with pytest.raises(WeightsError, match=r"std must be that of the weights"):
        small(weights=files / "old.pth", std=[128, 128, 127])
    small(mean=[1, 2, 3], std=[4, 5, 6]).save(tmp_path / "own.keras")
    mean, std = statistics(small(weights=tmp_path / "own.keras"))
    assert mean == [1, 2, 3]
    assert std == pytest.approx([4, 5, 6], rel=1e-6)
    # A weights file holds none: what is asked for, as without weights.
    assert statistics(small(weights=files / "x.weights.h5", mean=5, std=6)) == ([5.0] * 3, [6.0] * 3)


@pytest.mark.tensorflow_only
def test_grey_images_are_told_that_the_weights_are_for_colour(files):
    with pytest.raises(WeightsError, match=r"for images of 3 channels.*Received: 1 channels"):
        create(SMALL, (32, 32, 1), 4, weights=files / "old.pth")


@pytest.fixture
def pretend(files, source, monkeypatch, tmp_path):
    """The catalog's weights are those of a network of ten thousand weights, at one place."""
    known = PRETRAINED["efficientnet_lite0.imagenet"]
    path = tmp_path / "site" / "pretended_weights" / known.file
    path.parent.mkdir(parents=True)
    shutil.copy(files / "old.pth", path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    changes = {"sha256": sha256_of(path), "image_size": 32, "classes": 4, "module": "pretended_weights"}
    pretended = type(known)(**{**vars(known), **changes})
    monkeypatch.setitem(weights_catalog.PRETRAINED, "efficientnet_lite0.imagenet", pretended)
    entry = CATALOG["efficientnet_lite0"]
    narrow = type(entry)(**{**vars(entry), "config": {"width": 0.1, "depth": 0.34}})
    monkeypatch.setitem(CATALOG, "efficientnet_lite0", narrow)
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


@pytest.mark.tensorflow_only
def test_named_weights_are_converted_once_and_then_come_from_the_cache(pretend, source, tmp_path, monkeypatch):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")  # which the cache must not remember
    try:
        create("efficientnet_lite0", SHAPE, 4, weights="imagenet")
    finally:
        keras.config.set_dtype_policy(policy)
    for classes in (4, 7):
        assert_equal(create("efficientnet_lite0", SHAPE, classes, weights="imagenet"), source, head=classes == 4)
    [home] = (tmp_path / "cache" / "weights").iterdir()
    direct = create("efficientnet_lite0", SHAPE, 4)
    direct.load_weights(home / "model.weights.h5")  # it is a Keras weights file like any other
    assert_equal(direct, source)
    monkeypatch.setattr("kerastricks.weights.loading.read_torch_file", None)
    assert_equal(create("efficientnet_lite0", SHAPE, 4, weights="imagenet", stochastic_depth=0.1), source)


@pytest.mark.tensorflow_only
def test_a_damaged_cache_is_converted_again(pretend, source, tmp_path):
    create("efficientnet_lite0", SHAPE, 4, weights="imagenet")
    [home] = (tmp_path / "cache" / "weights").iterdir()
    data = bytearray((home / "model.weights.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (home / "model.weights.h5").write_bytes(data)
    with pytest.warns(UserWarning, match="converted again"):
        model = create("efficientnet_lite0", SHAPE, 4, weights="imagenet")
    assert_equal(model, source)


@pytest.mark.tensorflow_only
def test_the_files_of_one_model_fit_its_own_tensors(files, source):
    state = read_torch_file(files / "zip.pth")
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    np.testing.assert_array_equal(state["_fc.bias"], source.get_layer("logits").get_weights()[1])
