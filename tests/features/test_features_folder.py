"""Features are read back, and a folder that is not whole is refused."""

import json
import shutil

import keras
import numpy as np
import pytest

import kerastricks
from kerastricks.errors import DataError, UnknownNameError
from kerastricks.features import Features, compute

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def folder(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")])
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype("uint8")
    data = kerastricks.data.load((x, np.arange(40) % 2))
    return compute(model, ["conv"], data, tmp_path / "f", ["train", "test"]).path


def test_unknown_layers_and_splits_are_named(folder):
    features = Features.open(folder)
    assert (features.layers, features.splits, features.class_names) == (["conv"], ["train", "test"], ("0", "1"))
    with pytest.raises(UnknownNameError, match=r"no layer in .* is called 'con': did you mean conv"):
        features.of("train", "con")
    for read in (features.labels, features.files, lambda split: features.of(split, "conv")):
        with pytest.raises(UnknownNameError, match=r"no split in .* is called 'validation'"):
            read("validation")


def test_arrays_stay_readable_when_the_folder_is_removed(folder):
    features = Features.open(folder)
    kept = np.array(features.of("train", "conv"))
    shutil.rmtree(folder)
    np.testing.assert_array_equal(features.of("train", "conv"), kept)
    assert len(features.files("train")) == len(kept)


def test_arrays_cannot_be_written_to(folder):
    with pytest.raises(ValueError, match="read-only"):
        Features.open(folder).of("train", "conv")[0] = 0


def cut_array(folder):
    path = folder / "train" / "conv.npy"
    path.write_bytes(path.read_bytes()[:-8])


def other_record(folder, **changes):
    path = folder / "features.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_array, "damaged features"),
        (lambda folder: (folder / "test" / "labels.npy").unlink(), "damaged features"),
        (lambda folder: (folder / "test" / "files.txt").write_text("one\n"), "has 1 names of"),
        (lambda folder: np.save(folder / "train" / "conv.npy", np.zeros((3, 2), "float32")), r"is \(3, 2\) float32"),
        (lambda folder: np.save(folder / "train" / "conv.npy", np.array([{}])), "damaged features"),
        (lambda folder: (folder / "features.json").unlink(), "no features inside"),
        (lambda folder: (folder / "features.json").write_text("{"), "cannot be read"),
        (lambda folder: other_record(folder, format="shards"), "was not written by"),
        (lambda folder: other_record(folder, version=2), "version 2 of the format, and 1 is known"),
    ],
)
def test_damage_is_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message) as error:
        Features.open(folder)
    assert "\n" not in str(error.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no features inside"):
            Features.open(path)
