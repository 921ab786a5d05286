"""Data sets of tensorflow_datasets: one is made here, since no test downloads anything."""

import importlib.util

import numpy as np
import pytest

from kerastricks import data
from kerastricks.cli import run
from kerastricks.data.sources.tfds import tfds_source
from kerastricks.errors import DataError, MissingExtraError

pytestmark = pytest.mark.tensorflow_only

WAY_OUT = r"tensorflow_datasets is not installed: pip install 'kerastricks\[tfds\]'"
installed = pytest.mark.skipif(not importlib.util.find_spec("tensorflow_datasets"), reason="needs tensorflow_datasets")


@pytest.fixture
def missing(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "tensorflow_datasets" else real(name, *more)
    )


def test_without_the_package_the_way_out_is_named(missing):
    with pytest.raises(MissingExtraError, match=WAY_OUT):
        data.load("tfds:mnist")


def test_the_command_says_it_before_anything_slow(missing, capsys):
    assert run(["train", "tfds:mnist"]) == 2
    assert capsys.readouterr().err.strip() == "error: " + WAY_OUT.replace("\\", "")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two builders that the names below find."""
    tfds = pytest.importorskip("tensorflow_datasets")
    features = tfds.features

    class KtColours(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = None
        shape, label = (None, None, 3), features.ClassLabel(names=["red", "blue"])

        def _info(self):
            found = features.FeaturesDict({"image": features.Image(shape=self.shape), "label": self.label})
            return tfds.core.DatasetInfo(builder=self, features=found)

        def _split_generators(self, manager):
            return {"train": self._generate_examples(30), "test": self._generate_examples(8, 100)}

        def _generate_examples(self, count, first=0):
            for index in range(count):
                yield index, {"image": np.full((9, 7, 3), first + index, "uint8"), "label": index % 2}

    class KtSeveral(KtColours):
        label = features.Sequence(features.ClassLabel(names=["red", "blue"]))

    class KtNumbers(KtColours):
        label = features.Scalar(np.float32)

    class KtNone(KtColours):
        def _split_generators(self, manager):
            return {"every": self._generate_examples(30)}

    return tmp_path_factory.mktemp("tfds")


@installed
@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_a_data_set_is_read_from_the_files_it_prepares(data_dir, monkeypatch, memory_bytes, capsys):
    monkeypatch.setattr("kerastricks.data.sources.reading.tfds_source", lambda name: tfds_source(name, data_dir))
    loaded = data.load("tfds:kt_colours", memory_bytes=memory_bytes)
    assert (loaded.name, loaded.class_names, loaded.image_shape) == ("kt_colours", ("red", "blue"), (9, 7, 3))
    assert loaded.in_memory == (memory_bytes > 0)
    ((images, labels),) = [(images.numpy(), labels.numpy()) for images, labels in loaded.test]
    assert {int(image[0, 0, 0]): int(label) for image, label in zip(images, labels, strict=True)} == {
        100 + index: index % 2 for index in range(8)
    }
    assert capsys.readouterr().out == ""


@installed
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kt_several", "multi-label targets are not supported"),
        ("kt_numbers", "regression targets are not supported"),
        ("kt_none", "has no split train, only every"),
        ("kt_nowhere", "Dataset kt_nowhere not found"),
    ],
)
def test_a_data_set_that_cannot_be_used_says_why(data_dir, name, message):
    with pytest.raises(DataError, match=rf"^tfds:{name}: .*{message}") as error:
        tfds_source(f"tfds:{name}", data_dir)
    assert "\n" not in str(error.value)


@installed
def test_a_damaged_file_is_named(data_dir):
    files = tfds_source("tfds:kt_colours", data_dir).splits["test"]
    path = files.reader.path / files.reader.shards[files.reader.records[files.names[0]][0]]
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=rf"{path.name}: is damaged in a record \(is cut off\): delete the folder"):
        tfds_source("tfds:kt_colours", data_dir)
    path.write_bytes(whole)
