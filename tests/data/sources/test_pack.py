"""Packing into TFRecord shards, and reading them."""

import hashlib
import importlib
import itertools
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from conftest import COLOURS, write_image

from kerastricks import data
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    "image/class/text": tf.io.FixedLenFeature([], tf.string),
    "image/filename": tf.io.FixedLenFeature([], tf.string),
}


def packed(source, out, **options):
    return data.pack(source, out, **options)["path"]


def index_of(path):
    return json.loads((path / "index.json").read_text())


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def assert_same(loaded, expected):
    assert loaded.fingerprint == expected.fingerprint
    assert loaded.class_names == expected.class_names
    for split in ("train", "validation", "test"):
        for (images, labels), (others, other_labels) in zip(
            batches(getattr(loaded, split)), batches(getattr(expected, split)), strict=True
        ):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, other_labels)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The folder and what it was packed to: three classes of twelve in several shards."""
    root = tmp_path_factory.mktemp("pack")
    for label, (name, colour) in enumerate(COLOURS.items()):
        for index in range(12):
            write_image(root / "colours" / name / f"{index:02}.jpg", colour, seed=100 * label + index)
    data.pack(root / "colours", root / "packed", shard_mb=0.01)
    return root / "colours", root / "packed"


@pytest.fixture
def copied(shards, tmp_path):
    """A copy of the shards that a test may damage."""
    copy = tmp_path / "packed"
    copy.mkdir()
    for file in shards[1].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_shards_give_what_the_folder_gives(shards, memory_bytes):
    folder, out = shards
    options = {"augment": "flip", "batch_size": 7, "memory_bytes": memory_bytes}
    loaded = data.load(out, **options)
    assert loaded.in_memory == (memory_bytes > 0)
    assert_same(loaded, data.load(folder, **options))


def test_plain_tensorflow_reads_the_shards(shards):
    folder, out = shards
    files = sorted(str(path) for path in out.glob("train-*-of-*.tfrecord"))
    assert len(files) > 2
    found = {}
    for record in tf.data.TFRecordDataset(files):
        example = {name: value.numpy() for name, value in tf.io.parse_single_example(record, FEATURES).items()}
        name = example["image/filename"].decode()
        found[name] = example["image/encoded"]
        assert (
            sorted(COLOURS)[example["image/class/label"]] == example["image/class/text"].decode() == name.split("/")[0]
        )
    assert found == {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.jpg")}


def test_the_index_says_where_everything_is(shards):
    _, out = shards
    index = index_of(out)
    assert (index["class_names"], index["splits"]["train"]["class_counts"]) == (sorted(COLOURS), [12, 12, 12])
    shard_records = index["splits"]["train"]["shards"]
    assert {file.name for file in out.iterdir()} == {"index.json", *(shard["file"] for shard in shard_records)}
    assert shard_records[0]["file"] == f"train-00000-of-{len(shard_records):05}.tfrecord"
    for shard in shard_records:
        raw = (out / shard["file"]).read_bytes()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (shard["bytes"], shard["sha256"])
        assert len(raw) <= 10_000
        for place, start, size in zip(shard["offsets"], shard["image_offsets"], shard["image_bytes"], strict=True):
            length = int.from_bytes(raw[place : place + 8], "little")
            example = tf.io.parse_single_example(raw[place + 12 : place + 12 + length], FEATURES)
            assert example["image/encoded"].numpy() == raw[start : start + size]


def test_the_order_of_the_records_is_shuffled_and_repeats(shards, tmp_path):
    folder, out = shards
    labels = [label for shard in index_of(out)["splits"]["train"]["shards"] for label in shard["labels"]]
    assert sum(a != b for a, b in itertools.pairwise(labels)) > 10  # 2 where they are sorted
    data.pack(folder, tmp_path / "again", shard_mb=0.01)
    data.pack(folder, tmp_path / "other", shard_mb=0.01, seed=1)
    assert index_of(tmp_path / "again") == index_of(out)
    assert index_of(tmp_path / "other") != index_of(out)


def test_splits_have_shards_of_their_own(split_folder, tmp_path):
    summary = data.pack(split_folder, tmp_path / "packed")
    assert summary["images"] == {"test": 12, "train": 30, "validation": 9}
    assert {path.name for path in (tmp_path / "packed").glob("*.tfrecord")} == {
        f"{split}-00000-of-00001.tfrecord" for split in ("train", "validation", "test")
    }
    assert_same(data.load(tmp_path / "packed"), data.load(split_folder))


def test_a_table_a_zip_and_shards_can_be_packed(image_folder, tmp_path):
    rows = [f"{file.relative_to(image_folder)},{file.parent.name}" for file in image_folder.rglob("*.jpg")]
    (image_folder / "list.csv").write_text("\n".join(rows))
    with zipfile.ZipFile(tmp_path / "colours.zip", "w") as archive:
        for row in rows:
            archive.write(image_folder / row.split(",")[0], row.split(",")[0])
    expected = data.load(image_folder).fingerprint
    sources = {"a": image_folder / "list.csv", "b": tmp_path / "colours.zip", "c": tmp_path / "b"}
    for name, source in sources.items():
        assert data.load(packed(source, tmp_path / name)).fingerprint == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_packed_without_loss(tmp_path, channels):
    x = np.random.default_rng(0).integers(0, 256, (30, 9, 7, channels)).astype("uint8")
    y = np.arange(30) % 2
    loaded = data.load(packed((x, y), tmp_path / "packed"), augment="auto", batch_size=4)
    assert loaded.image_shape == (9, 7, channels)
    assert loaded.augmentation.text == "pad_crop(1)"  # no flips: digits are no photographs, also where they came as PNG
    by_content = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    for split in ("validation", "test"):
        for images, labels in batches(getattr(loaded, split)):
            assert [by_content[image.tobytes()] for image in images] == labels.tolist()


def test_what_cannot_be_decoded_is_not_packed(image_folder, tmp_path):
    whole = (image_folder / "red" / "00.jpg").read_bytes()
    (image_folder / "red" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (image_folder / "red" / "text.jpg").write_text("no image")
    summary = data.pack(image_folder, tmp_path / "packed", max_skipped=0.1)
    assert {record["file"] for record in summary["skipped"]} == {"red/cut.jpg", "red/text.jpg"}
    assert summary["images"] == {"train": 36}
    assert not data.load(tmp_path / "packed").skipped


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_a_changed_byte_is_left_out_naming_shard_and_record(copied, memory_bytes):
    shard = index_of(copied)["splits"]["train"]["shards"][1]
    raw = bytearray((copied / shard["file"]).read_bytes())
    raw[shard["image_offsets"][3] + 200] ^= 1
    (copied / shard["file"]).write_bytes(raw)
    (record,) = data.load(copied, memory_bytes=memory_bytes).skipped
    assert record["reason"] == f"checksum mismatch in {shard['file']}, record 3"
    assert record["file"] == shard["names"][3]
    assert record["class"] == sorted(COLOURS)[shard["labels"][3]]


def test_the_end_of_a_shard_that_is_cut_off_is_left_out(copied):
    shard = index_of(copied)["splits"]["train"]["shards"][0]
    raw = (copied / shard["file"]).read_bytes()
    (copied / shard["file"]).write_bytes(raw[: shard["offsets"][-1]])
    (record,) = data.load(copied).skipped
    assert record["reason"] == f"{shard['file']} is cut off before the end of record {shard['records'] - 1}"
    (copied / shard["file"]).write_bytes(b"")
    with pytest.raises(DataError, match=rf"files cannot be used.*{shard['file']} is cut off before the end of record"):
        data.load(copied)


def test_a_shard_that_changes_while_it_is_used_stops_the_epoch(copied):
    loaded = data.load(copied, memory_bytes=0, batch_size=4)
    for path in copied.glob("*.tfrecord"):
        path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(tf.errors.OpError, match="checksum mismatch in train-0000"):
        batches(loaded.train)


def without(key):
    return lambda index: index["splits"]["train"]["shards"][0].pop(key)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda index: index.update(version=2), "version 2 of the format, and 1 is known"),
        (lambda index: index.update(splits={}), r"index\.json: is damaged .*copy or pack it again"),
        (lambda index: index.update(class_names=["blue"]), r"is damaged .*label 2 of 1 classes"),
        (without("image_crc32"), "is damaged .*image_crc32"),
        (
            lambda index: index["splits"]["train"]["shards"][0]["labels"].pop(),
            "is damaged .*columns of several lengths",
        ),
        (lambda index: index["splits"]["train"]["shards"][0].update(file="../x"), r"is damaged .*'\.\./x'"),
        (lambda index: index["splits"]["train"]["shards"][0]["image_bytes"].__setitem__(0, 10**9), "outside of it"),
        (lambda index: index["splits"]["train"]["shards"][0]["image_offsets"].__setitem__(0, -1), "outside of it"),
        (lambda index: index["splits"]["train"]["shards"][0]["names"].__setitem__(0, "x"), None),
        (
            lambda index: index["splits"]["train"]["shards"][0]["names"].__setitem__(
                0, index["splits"]["train"]["shards"][0]["names"][1]
            ),
            "a name is there twice",
        ),
    ],
)
def test_a_damaged_index_is_named(copied, damage, message):
    index = index_of(copied)
    damage(index)
    (copied / "index.json").write_text(json.dumps(index))
    if message is None:
        assert find_source(copied).class_names == tuple(sorted(COLOURS))
        return
    with pytest.raises(DataError, match=message) as error:
        find_source(copied)
    assert "\n" not in str(error.value)


def test_folders_that_are_no_pack_are_named(copied, tmp_path):
    shard = sorted(copied.glob("*.tfrecord"))[0]
    for path in (shard, copied / "index.json"):
        with pytest.raises(DataError, match=r"is a part of a packed folder: give the folder, .*packed"):
            find_source(path)
    shard.rename(tmp_path / "kept")
    with pytest.raises(DataError, match=r"train-00000-of-0000\d\.tfrecord: is missing: copy or pack it again"):
        find_source(copied)
    (copied / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json: cannot be read"):
        find_source(copied)
    (copied / "index.json").write_text("{}")
    with pytest.raises(DataError, match=r"index\.json: was not written by `kerastricks pack`"):
        find_source(copied)
    (copied / "index.json").unlink()
    with pytest.raises(DataError, match=r"TFRecord files without index\.json: only what `kerastricks pack"):
        find_source(copied)


def test_class_folders_beside_other_peoples_records_are_a_folder(image_folder):
    (image_folder / "index.json").write_text("{}")
    (image_folder / "old.tfrecord").write_bytes(b"")
    assert find_source(image_folder).class_names == tuple(sorted(COLOURS))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_not_overwritten(image_folder, tmp_path, kind):
    out = tmp_path / "packed"
    out.mkdir() if kind == "folder" else out.write_text("mine")
    with pytest.raises(DataError, match="packed: exists already: name another folder, or delete it"):
        data.pack(image_folder, out)


def test_other_arguments_that_cannot_be_used(image_folder, tmp_path):
    with pytest.raises(DataError, match=r"shard_mb must be above 0\. Received: shard_mb=0"):
        data.pack(image_folder, tmp_path / "packed", shard_mb=0)
    with pytest.raises(DataError, match=r"nowhere: no such folder: make it first"):
        data.pack(image_folder, tmp_path / "nowhere" / "packed")
    with pytest.raises(DataError, match=r"is inside .*colours, which it would be a part of"):
        data.pack(image_folder, image_folder / "packed")


def test_a_packing_that_is_stopped_leaves_nothing(image_folder, tmp_path, monkeypatch):
    before = sorted(tmp_path.rglob("*"))
    module = importlib.import_module("kerastricks.data.sources.packing")
    real, calls = module._encoded, []

    def stopped(*arguments):
        calls.append(sorted(tmp_path.glob(".tmp-begun-*")))
        if len(calls) == 9:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_encoded", stopped)
    with pytest.raises(KeyboardInterrupt):
        data.pack(image_folder, tmp_path / "packed", shard_mb=0.003)
    assert len(calls[-1]) == 1
    assert sorted(tmp_path.rglob("*")) == before
