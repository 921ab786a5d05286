"""Some of the classes of a source."""

import shutil
import zipfile

import numpy as np
import pytest

from kerastricks import data
from kerastricks.data.sources.folder import FolderReader
from kerastricks.errors import DataError, UnknownNameError

pytestmark = pytest.mark.tensorflow_only

SPLITS = ("train", "validation", "test")


def pixels_of(loaded):
    return {split: loaded.splits[split].examples.images for split in SPLITS}


@pytest.fixture
def sources(image_folder, tmp_path):
    """The same images of three classes, in every form that has names of classes."""
    archive = tmp_path / "colours.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(image_folder.rglob("*.jpg")):
            file.write(path, path.relative_to(image_folder).as_posix())
    table = tmp_path / "colours.csv"
    rows = [f"colours/{path.parent.name}/{path.name},{path.parent.name}\n" for path in image_folder.rglob("*.jpg")]
    table.write_text("".join(rows))
    packed = data.pack(image_folder, tmp_path / "packed")["path"]
    return {"folder": image_folder, "zip": archive, "table": table, "shards": packed}


@pytest.mark.parametrize("kind", ["folder", "zip", "table", "shards"])
def test_it_is_as_if_the_others_were_not_there(kind, sources, image_folder):
    subset = data.load(sources[kind], classes=["red", "blue"], batch_size=4)
    assert subset.class_names == ("blue", "red")
    shutil.rmtree(image_folder / "green")
    alone = data.load(image_folder, batch_size=4)
    for split in SPLITS:
        np.testing.assert_array_equal(pixels_of(subset)[split], pixels_of(alone)[split])
        np.testing.assert_array_equal(subset.labels(split), alone.labels(split))
    if kind != "table":  # whose names have the folder before them
        assert subset.fingerprint == alone.fingerprint


def test_files_of_other_classes_are_not_read(image_folder, monkeypatch):
    read = []
    original = FolderReader.read
    monkeypatch.setattr(FolderReader, "read", lambda self, name: read.append(name) or original(self, name))
    (image_folder / "green" / "00.jpg").write_text("no image")
    assert data.load(image_folder, classes=("blue", "red")).skipped == []
    assert {name.split("/")[0] for name in read} == {"blue", "red"}


def test_splits_that_are_there_are_kept(split_folder):
    loaded = data.load(split_folder, classes=["green", "red"])
    assert loaded.class_counts() == {"train": [10, 10], "validation": [3, 3], "test": [4, 4]}


def test_arrays_go_by_the_numbers_of_their_classes():
    x, y = np.arange(60, dtype="uint8")[:, None, None] * np.ones((1, 8, 8), "uint8"), np.arange(60) % 3
    loaded = data.load((x, y), classes=["2", "0"])
    assert loaded.class_names == ("0", "2")
    for split in SPLITS:
        rows = pixels_of(loaded)[split][:, 0, 0, 0]
        np.testing.assert_array_equal(rows % 3, np.array([0, 2])[loaded.labels(split)])
        assert loaded.files(split) == [str(row) for row in rows]
    assert sum(loaded.splits[split].size for split in SPLITS) == 40


def test_a_named_set_has_them_too():
    assert data.load("digits", classes=["3", "8", "5"]).class_names == ("3", "5", "8")


def test_an_unknown_class_gets_the_nearest(image_folder):
    with pytest.raises(UnknownNameError, match=r"class of colours is called 'gren': did you mean green"):
        data.load(image_folder, classes=["red", "gren"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [(["red"], "two or more. Received: red"), (["red", "red"], "two or more"), ([], "none"), ("red", "list of names")],
)
def test_fewer_than_two_are_refused(classes, message, image_folder):
    with pytest.raises(DataError, match=message):
        data.load(image_folder, classes=classes)
