"""WebDataset tars: the same images as in a folder, and what cannot be used."""

import gzip
import io
import json
import os
import pickle
import tarfile

import numpy as np
import pytest
from conftest import COLOURS
from images_of_sources import images_of, rows_of

from kerastricks import data
from kerastricks.cli import run
from kerastricks.data.sources.names import check_source
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only

CLASSES = sorted(COLOURS)
IMAGE = b"\xff\xd8"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


def assert_same(source, folder):
    assert images_of(source) == images_of(folder)


def key_and_class(name):
    return name.rpartition(".")[0], name.split("/")[-2]


def write(path, members, **options):
    """Write a tar of (name, contents)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, contents in members:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return path


def with_cls(rows, labels=None):
    for name, contents in rows:
        key, label = key_and_class(name)
        yield f"{key}.cls", (label if labels is None else str(labels[label])).encode()
        yield name, contents


def with_json(rows, key="label"):
    for name, contents in rows:
        stem, label = key_and_class(name)
        yield name, contents
        yield f"{stem}.json", json.dumps({"width": 3, key: label}).encode()
        yield f"{stem}.txt", b"a caption"


@pytest.mark.parametrize("members", [with_cls, with_json])
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_it_gives_what_the_folder_gives(image_folder, tmp_path, members, tar_format):
    assert_same(write(tmp_path / "colours.tar", members(rows_of(image_folder)), format=tar_format), image_folder)


def test_batches_and_fingerprint_are_the_folders_at_any_step(image_folder, tmp_path):
    path = write(tmp_path / "x.tar", with_cls(rows_of(image_folder)))
    loaded, expected = (data.load(source, batch_size=4, memory_bytes=0) for source in (path, image_folder))
    assert (loaded.fingerprint, loaded.in_memory) == (expected.fingerprint, False)
    for (images, labels), (others, other_labels) in zip(
        loaded.train_from(11).take(2), expected.train_from(11).take(2), strict=True
    ):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_many_tars_in_a_folder_or_by_a_pattern(split_folder, tmp_path):
    rows = rows_of(split_folder)
    for split in ("train", "validation", "test"):
        these = [row for row in rows if row[0].startswith(f"{split}/")]
        for part in range(3):
            write(tmp_path / "all" / f"{split}-{part:03}.tar", with_cls(these[part::3]))
    assert_same(tmp_path / "all", split_folder)
    assert_same(tmp_path / "all" / "*.tar", split_folder)
    some = find_source(tmp_path / "all" / "train-{000..001}.tar")
    assert (list(some.splits), len(some.splits["train"]), some.name) == (["train"], 20, "train")
    check_source(str(tmp_path / "all" / "train-{000..001}.tar"))
    with pytest.raises(DataError, match=r"train-003\.tar: no such file, and .*train-\{000\.\.003\}\.tar names it"):
        find_source(tmp_path / "all" / "train-{000..003}.tar")


def test_keys_that_repeat_in_other_tars_get_their_folders_back(image_folder, tmp_path):
    rows = rows_of(image_folder)
    for number, label in enumerate(CLASSES):
        these = [(name.split("/")[1], contents) for name, contents in rows if name.startswith(label)]
        write(
            tmp_path / "all" / f"train-{number}.tar",
            ((f"{n[:2]}.{s}", c) for n, contents in these for s, c in (("jpg", contents), ("cls", label.encode()))),
        )
    assert_same(tmp_path / "all", image_folder)


NUMBERS = {"blue": 10, "green": 2, "red": 7}


def test_numbers_are_classes_in_their_order(image_folder, tmp_path):
    source = find_source(write(tmp_path / "x.tar", with_cls(rows_of(image_folder), NUMBERS)))
    assert source.class_names == ("2", "7", "10")
    files = source.splits["train"]
    assert [source.class_names[label] for label in files.labels] == [
        str(NUMBERS[name.split("/")[0]]) for name in files.names
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "red\ngreen\nblue\n"),
        ("classes.json", '["red", "green", "blue"]'),
        ("classes.json", '{"red": 0, "blue": 2, "green": 1}'),
        ("classes.json", '{"0": "red", "1": "green", "2": "blue"}'),
        ("classes.json", '{"class_names": ["red", "green", "blue"], "photographs": false}'),
    ],
)
def test_names_of_classes_beside_the_tars(image_folder, tmp_path, file, text):
    numbers = {"red": 0, "green": 1, "blue": 2}
    path = write(tmp_path / "x.tar", with_cls(rows_of(image_folder), numbers))
    assert find_source(path).class_names == ("0", "1", "2")
    (tmp_path / file).write_text(text)
    source = find_source(path)  # the index of before is not used
    assert source.class_names == ("red", "green", "blue")
    assert source.photographs == ("photographs" not in text)
    files = source.splits["train"]
    assert [source.class_names[label] for label in files.labels] == [name.split("/")[0] for name in files.names]


def test_a_key_of_the_json_can_be_named(image_folder, tmp_path):
    path = write(tmp_path / "x.tar", with_json(rows_of(image_folder), "colour"))
    with pytest.raises(DataError, match=r"its \.json has width, colour: name a key, x\.tar\?label=KEY"):
        find_source(path)
    assert find_source(f"{path}?label=colour").class_names == tuple(CLASSES)
    with pytest.raises(DataError, match=r"no 'hue' in its \.json"):
        find_source(f"{path}?label=hue")
    with pytest.raises(DataError, match="label=KEY names the key"):
        find_source(f"{path}?image=png")


def test_the_index_is_kept_until_the_tar_changes(image_folder, tmp_path, monkeypatch):
    path = write(tmp_path / "x.tar", with_cls(rows_of(image_folder)))
    first = find_source(path).splits["train"]
    monkeypatch.setattr("kerastricks.data.sources.webdataset._rows", None)  # nothing is scanned again
    again = find_source(path).splits["train"]
    assert pickle.loads(pickle.dumps(again)).reader.read(again.names[5]) == first.reader.read(first.names[5])
    monkeypatch.undo()
    write(path, with_cls(rows_of(image_folder)[:20]))
    with pytest.raises(DataError, match=r"can no longer be read \(x\.tar changed since it was indexed\)"):
        again.read_again(0)
    assert len(find_source(path).splits["train"]) == 20


def test_an_index_that_cannot_be_kept_is_made_each_time(image_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "file"))
    assert_same(write(tmp_path / "x.tar", with_cls(rows_of(image_folder))), image_folder)


def test_a_damaged_index_is_made_again(image_folder, tmp_path):
    path = write(tmp_path / "x.tar", with_cls(rows_of(image_folder)))
    expected = images_of(find_source(path))
    for kept in (tmp_path / "cache").rglob("*.npy"):
        kept.write_bytes(kept.read_bytes()[:100])
    assert images_of(find_source(path)) == expected


def with_record(**record):
    return [("a.jpg", IMAGE), ("a.json", json.dumps({"label": "x", **record}).encode())]


def test_groups_and_weights_are_keys_of_the_json(image_folder, tmp_path):
    def members():
        for number, (name, contents) in enumerate(rows_of(image_folder)):
            stem, label = key_and_class(name)
            yield f"{stem}.json", json.dumps({"group": number // 2, "weight": number / 7}).encode()
            yield f"{stem}.cls", label.encode()
            yield name, contents

    files = find_source(write(tmp_path / "x.tar", members())).splits["train"]
    number = {name: index for index, (name, _) in enumerate(rows_of(image_folder))}
    assert files.groups.tolist() == [str(number[name] // 2) for name in files.names]
    assert files.weights.tolist() == [number[name] / 7 for name in files.names]


BAD = {
    "a key twice": ([("a.jpg", IMAGE), ("a.jpg", IMAGE)], r"a\.jpg is there twice"),
    "a label twice": ([("a.cls", b"0"), ("a.cls", b"1")], r"a\.cls is there twice"),
    "two images": ([("a.jpg", IMAGE), ("a.png", IMAGE)], r"a\.jpg and a\.png are two images of one key, a"),
    "a label alone": ([("a.jpg", IMAGE), ("a.cls", b"0"), ("b/b.cls", b"1")], "b/b has a label and no image"),
    "an image alone": ([("a.jpg", IMAGE)], r"a has no \.cls, and no \.json with a label: add it"),
    "a fraction": ([("a.jpg", IMAGE), ("a.cls", b"0.5")], "0.5 is a fraction: regression targets"),
    "a list": ([("a.jpg", IMAGE), ("a.json", b'{"label": [1, 2]}')], "a list: multi-label targets are not supported"),
    "true": ([("a.jpg", IMAGE), ("a.json", b'{"label": true}')], "True is no label"),
    "nothing": ([("a.jpg", IMAGE), ("a.cls", b"")], "the label is empty"),
    "half a character": ([("a.jpg", IMAGE), ("a.json", b'{"label": "\\ud800"}')], "the label is no valid text"),
    "no JSON": ([("a.jpg", IMAGE), ("a.json", b"{")], r"a\.json cannot be read"),
    "no UTF-8": ([("a.jpg", IMAGE), ("a.cls", b"\xff")], r"a\.cls cannot be read"),
    "an empty group": (with_record(group=" "), "a.json: the group is empty"),
    "a group that is a list": (with_record(group=[1]), r"a\.json: group \[1\] is neither a name nor"),
    "a negative weight": (with_record(weight=-1), r"a\.json: weight '-1' must be a number from 0"),
    "a group of some": ([*with_record(group=1), ("b.jpg", IMAGE), ("b.cls", b"x")], "b has no 'group' in its .json"),
    "no images": ([("readme.txt", b"")], "no images"),
    "an empty tar": ([], "no images"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named_in_one_line(tmp_path, case):
    members, message = BAD[case]
    with pytest.raises(DataError, match=message) as error:
        find_source(write(tmp_path / "x.tar", members))
    assert "\n" not in str(error.value)


def test_a_tar_that_is_cut_off_is_refused_wherever_it_is_cut(image_folder, tmp_path):
    path = write(tmp_path / "x.tar", with_cls(rows_of(image_folder)))
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    whole = path.read_bytes()
    for size in (100, 512, 700, last.offset - 512, last.offset, last.offset + 100, last.offset_data + 5, end):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"x\.tar: (is cut off|cannot be read as a tar)"):
            find_source(path)


@pytest.mark.parametrize("name", ["train-0.tar.gz", "train-0.tgz", "train-0.tar"])
def test_compressed_tars_are_refused_with_the_way_out(image_folder, tmp_path, name, capsys):
    tar = write(tmp_path / "x" / "plain.tar", with_cls(rows_of(image_folder)))
    (tmp_path / "x" / name).write_bytes(gzip.compress(tar.read_bytes()))
    os.remove(tar)
    for source in (tmp_path / "x" / name, tmp_path / "x"):
        assert run(["pack", str(source), str(tmp_path / "out")]) == 2
        line = capsys.readouterr().err
        assert f"{name}: is compressed" in line
        assert "gunzip it" in line
        assert line.count("\n") == 1
