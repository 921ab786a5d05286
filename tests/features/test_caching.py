"""The cache finds features by what decides them, and never grows above its limit."""

import importlib
import os

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import DataError, UsageError
from kerastricks.features import cached
from kerastricks.features.extractor import structure_digest, weights_digest
from kerastricks.progress import silent


def network(filters=4, activation="relu", policy="float32", skip=False):
    """Layers without names of their own get new ones each time."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer="ones", dtype=policy)(inputs)
    y = keras.layers.Activation(activation, dtype=policy)(x)
    y = keras.layers.Add(dtype=policy)([x, x if skip else y])
    y = keras.ops.square(y)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool", dtype=policy)(y))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype("uint8"), np.arange(60) % 3


@pytest.fixture
def data(images):
    return kerastricks.data.load(images)


def folders(path):
    return sorted(entry.name for entry in (path / "features").iterdir())


def test_the_second_time_nothing_is_computed(data, tmp_path):
    begun = []

    def progress(description, total):
        begun.append(description)
        return silent(description, total)

    first = cached(network(), ["pool"], data, progress=progress, cache_dir=tmp_path)
    assert len(begun) == 3
    again = cached(network(), ["pool"], data, progress=progress, cache_dir=tmp_path)
    assert len(begun) == 3
    assert again.path == first.path
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(again.of(split, "pool"), first.of(split, "pool"))


@pytest.mark.tensorflow_only
def test_what_counts_in_training_alone_changes_nothing(images, data, tmp_path):
    expected = cached(network(), ["pool"], data, cache_dir=tmp_path).path
    frozen = network()
    frozen.trainable = False
    headed = network()
    headed = keras.Model(headed.inputs, keras.layers.Dense(2)(headed.outputs[0]))
    others = kerastricks.data.load(images, augment="flip", batch_size=8)
    for model, loaded in ((frozen, data), (headed, data), (network(), others), (network(), data.reseeded(5))):
        assert cached(model, ["pool"], loaded, cache_dir=tmp_path).path == expected
    assert len(folders(tmp_path)) == 1


@pytest.mark.tensorflow_only
def test_all_that_decides_the_numbers_gives_another_place(images, data, tmp_path):
    found = [cached(network(), ["pool"], data, cache_dir=tmp_path).path]

    def add(model, loaded, layers=("pool",), splits=("train", "validation", "test")):
        found.append(cached(model, layers, loaded, splits, cache_dir=tmp_path).path)

    other_weights = network()
    other_weights.set_weights([weight * 2 for weight in other_weights.get_weights()])
    add(other_weights, data)
    add(network(filters=5), data)
    add(network(activation="elu"), data)
    add(network(policy="mixed_bfloat16"), data)
    add(network(skip=True), data)
    named = network()
    add(named, data, ["pool", named.layers[1].name])
    add(network(), data, splits=["train"])
    add(network(), data.limited(20))
    add(network(), kerastricks.data.load(images, seed=1))
    add(network(), kerastricks.data.load((images[0], images[1] % 2)))
    add(network(), kerastricks.data.load((255 - images[0], images[1])))
    assert len(set(found)) == len(found)


def test_pixels_of_another_decoder_give_another_place(data, tmp_path, monkeypatch):
    now = cached(network(), ["pool"], data, cache_dir=tmp_path).path
    monkeypatch.setattr(importlib.import_module("kerastricks.features.caching"), "DECODER", 1)
    assert cached(network(), ["pool"], data, cache_dir=tmp_path).path != now


@pytest.mark.tensorflow_only
def test_the_geometry_of_the_images_gives_another_place(image_folder, tmp_path):
    found = {
        cached(
            network(), ["pool"], kerastricks.data.load(image_folder, image_size=8, **geometry), cache_dir=tmp_path
        ).path
        for geometry in ({}, {"crop_fraction": 0.9}, {"interpolation": "bicubic"})
    }
    assert len(found) == 3


@pytest.mark.tensorflow_only
def test_names_of_layers_are_no_part_of_a_structure_but_connections_are():
    assert network().layers[1].name != network().layers[1].name
    assert structure_digest(network()) == structure_digest(network())
    assert structure_digest(network()) != structure_digest(network(skip=True))
    assert structure_digest(network()) != structure_digest(network(policy="mixed_bfloat16"))
    assert weights_digest(network()) == weights_digest(network(activation="elu"))


@pytest.mark.tensorflow_only
def test_a_layer_without_a_configuration_is_refused(data, tmp_path):
    class Secret(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__(name="secret")
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            raise NotImplementedError("no configuration")

    inputs = keras.Input((8, 8, 3))
    with pytest.raises(UsageError, match=r"cannot be told from other models \(no configuration\): give its layers"):
        cached(keras.Model(inputs, Secret(2)(inputs), name="own"), ["secret"], data, cache_dir=tmp_path)


@pytest.mark.tensorflow_only
def test_the_place_is_named_by_the_environment(data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "own"))
    assert cached(network(), ["pool"], data, ["test"]).path.parent == tmp_path / "own" / "features"


@pytest.mark.tensorflow_only
def test_damaged_features_are_computed_again(data, tmp_path):
    first = cached(network(), ["pool"], data, ["test"], cache_dir=tmp_path)
    kept = np.array(first.of("test", "pool"))
    (first.path / "test" / "pool.npy").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="damaged features"):
        again = cached(network(), ["pool"], data, ["test"], cache_dir=tmp_path)
    np.testing.assert_array_equal(again.of("test", "pool"), kept)


@pytest.mark.tensorflow_only
def test_those_not_used_for_longest_make_room(data, tmp_path):
    models = [network(), network(activation="elu"), network(activation="tanh")]
    first = cached(models[0], ["pool"], data, cache_dir=tmp_path).path
    paths = [first]
    limit = int(2.9 * sum(path.stat().st_size for path in first.rglob("*.*")))
    for model in models[1:2]:
        paths.append(cached(model, ["pool"], data, cache_dir=tmp_path, cache_bytes=limit).path)
    os.utime(paths[1], ns=(0, 0))
    os.utime(paths[0], ns=(1, 1))
    cached(models[1], ["pool"], data, cache_dir=tmp_path, cache_bytes=limit)  # used just now
    third = cached(models[2], ["pool"], data, cache_dir=tmp_path, cache_bytes=limit).path
    assert folders(tmp_path) == sorted([paths[1].name, third.name])


@pytest.mark.tensorflow_only
def test_what_is_larger_than_the_limit_is_refused_and_removes_nothing(data, tmp_path):
    kept = cached(network(), ["pool"], data, cache_dir=tmp_path).path
    with pytest.raises(
        DataError, match=r"features, 0\.00 GB are needed and the limit leaves 0\.00 GB: name another cache"
    ):
        cached(network(activation="elu"), ["pool"], data, cache_dir=tmp_path, cache_bytes=1000)
    assert kept.exists()


@pytest.mark.tensorflow_only
def test_an_interrupted_computation_leaves_nothing_behind(data, tmp_path):
    def stopping(description, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(network(), ["pool"], data, progress=stopping, cache_dir=tmp_path)
    assert folders(tmp_path) == []
