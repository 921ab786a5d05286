"""Packing into WebDataset tars and Parquet files: from any source to any, without loss."""

import json
import tarfile

import numpy as np
import pytest
from conftest import COLOURS, write_image
from images_of_sources import images_of

from kerastricks import data
from kerastricks.cli import run
from kerastricks.errors import DataError, MissingExtraError, UnknownNameError

pq = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.tensorflow_only

FORMATS = {"webdataset": "tar", "parquet": "parquet", "tfrecord": "tfrecord"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


def test_a_round_of_all_formats_gives_what_was_packed_first(split_folder, tmp_path):
    expected, source = images_of(split_folder), split_folder
    for format in ("webdataset", "parquet", "webdataset", "tfrecord", "parquet"):
        out = tmp_path / f"{source.name}-{format}"
        summary = data.pack(source, out, format=format, shard_mb=0.01)
        files = {file.name for file in out.glob(f"*.{FORMATS[format]}")}
        count = summary["shards"]["train"]
        assert count > 1
        assert f"train-00001-of-{count:05}.{FORMATS[format]}" in files
        assert len(files) == sum(summary["shards"].values())
        assert sum((out / file).stat().st_size for file in files) == summary["bytes"]
        assert images_of(out) == expected
        source = out


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Names that a tar cannot keep as they are."""
    root = tmp_path_factory.mktemp("odd") / "colours"
    names = ["a.jpg", "a.png", "b.c.jpg", "no suffix", "ä ö.JPG", "deep/er/a.jpg", "x" * 120 + ".png", "renamed/a.jpg"]
    for label, (name, colour) in enumerate(COLOURS.items()):
        for index, file in enumerate(names):
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path.with_name("made.png"), colour, seed=10 * label + index)
            path.with_name("made.png").rename(path)
    return root


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_names_come_back_whatever_they_are(odd, tmp_path, format):
    data.pack(odd, tmp_path / "packed", format=format)
    assert images_of(tmp_path / "packed") == images_of(odd)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_arrays_are_packed_without_loss_and_stay_no_photographs(tmp_path, format):
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype("uint8")
    y = np.arange(24) % 2
    loaded = data.load(data.pack((x, y), tmp_path / "packed", format=format)["path"], augment="auto", batch_size=4)
    assert loaded.augmentation.text == "pad_crop(1)"  # no flips
    by_content = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    for images, labels in loaded.validation:
        assert [by_content[image.tobytes()] for image in images.numpy()] == labels.numpy().tolist()


def test_other_programs_read_the_tars(image_folder, tmp_path):
    data.pack(image_folder, tmp_path / "packed", format="webdataset")
    with tarfile.open(tmp_path / "packed" / "train-00000-of-00001.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}
    assert len(contents) == 72
    assert contents["green/03.jpg"] == (image_folder / "green" / "03.jpg").read_bytes()
    assert contents["green/03.cls"] == b"1"
    keys = [name.partition(".")[0] for name in contents]
    assert keys[::2] == keys[1::2]  # side by side
    assert sum(a.split("/")[0] != b.split("/")[0] for a, b in zip(keys[::2], keys[2::2], strict=False)) > 10  # shuffled


def test_other_programs_read_the_parquet_files(image_folder, tmp_path):
    data.pack(image_folder, tmp_path / "packed", format="parquet")
    file = pq.ParquetFile(tmp_path / "packed" / "train-00000-of-00001.parquet")
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["blue", "green", "red"], "_type": "ClassLabel"}
    for row in file.read().to_pylist():
        assert (image_folder / row["image"]["path"]).read_bytes() == row["image"]["bytes"]
        assert features["label"]["names"][row["label"]] == row["image"]["path"].split("/")[0]


def test_the_command_packs_each_format(image_folder, tmp_path, capsys):
    assert run(["pack", str(image_folder), str(tmp_path / "a"), "--format", "parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == {"train": 1}
    for arguments, message in (
        (["--format", "zip"], "tfrecord"),
        ([], "exists already"),
    ):
        assert run(["pack", str(image_folder), str(tmp_path / "a"), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_arguments_that_cannot_be_used(image_folder, tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="no format is called 'zip'"):
        data.pack(image_folder, tmp_path / "x", format="zip")
    with pytest.raises(DataError, match=r"x\.parquet: is to be a folder of files.*name it without \.parquet"):
        data.pack(image_folder, tmp_path / "x.parquet", format="parquet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None)
    with pytest.raises(MissingExtraError, match=r"kerastricks\[parquet\]"):
        data.pack(image_folder, tmp_path / "x", format="parquet")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_a_packing_that_is_stopped_leaves_nothing(image_folder, tmp_path, monkeypatch, format):
    before = sorted(tmp_path.glob("*"))
    module = __import__("kerastricks.data.sources.packing", fromlist=["_encoded"])
    real, done = module._encoded, []

    def stopped(*arguments):
        done.append(arguments)
        if len(done) > 20:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_encoded", stopped)
    with pytest.raises(KeyboardInterrupt):
        data.pack(image_folder, tmp_path / "packed", format=format, shard_mb=0.01)
    assert sorted(tmp_path.glob("*")) == before
