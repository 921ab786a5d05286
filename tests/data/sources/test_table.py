"""CSV and TSV files of paths and labels."""

import os

import numpy as np
import pytest
from conftest import COLOURS, write_image

from kerastricks import data
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only


def rows_of(folder, split=""):
    return [f"{file.relative_to(folder).as_posix()},{file.parent.name}{split}" for file in sorted(folder.rglob("*.*"))]


def table(folder, text, name="list.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(text if isinstance(text, str) else "\n".join(text) + "\n", encoding=encoding, newline="")
    return path


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def refused(path):
    with pytest.raises(DataError) as error:
        data.load(path)
    assert "\n" not in str(error.value)
    assert path.stem in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
@pytest.mark.parametrize("header", [[], ["Path,Label"]], ids=["no header", "header"])
def test_a_table_of_a_folder_gives_what_the_folder_gives(image_folder, header, memory_bytes):
    rows = rows_of(image_folder)
    np.random.default_rng(0).shuffle(rows)
    expected = data.load(image_folder, augment="flip", batch_size=7, memory_bytes=memory_bytes)
    path = table(image_folder, [*header, *rows])
    loaded = data.load(path, augment="flip", batch_size=7, memory_bytes=memory_bytes)
    assert loaded.in_memory == (memory_bytes > 0)
    assert loaded.fingerprint == expected.fingerprint
    assert (loaded.name, loaded.class_names) == ("list", tuple(sorted(COLOURS)))
    for split in ("train", "validation", "test"):
        for (images, labels), (others, other_labels) in zip(
            batches(getattr(loaded, split)), batches(getattr(expected, split)), strict=True
        ):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, other_labels)


@pytest.mark.parametrize("header", [[], ["file,class,split"]], ids=["no header", "header"])
def test_a_column_of_splits(split_folder, header):
    names = {"train": "training", "validation": "VAL", "test": "test_set"}
    rows = [f"{split}/{row}" for split in names for row in rows_of(split_folder / split, f",{names[split]}")]
    source = find_source(table(split_folder, [*header, *rows]))
    assert {split: len(files) for split, files in source.splits.items()} == {"train": 30, "validation": 9, "test": 12}
    loaded = data.load(split_folder / "list.csv")
    assert loaded.fingerprint == data.load(split_folder).fingerprint


@pytest.mark.parametrize(
    ("splits", "labels"),
    [
        ([""], [str(number) for number in range(12)]),
        ([""], ["10", "9", "1", "01"]),
        ([""], ["Zebra", "ant", "\u00c4pfel", "A\u0308pfel2", "\u6843", "a b"]),
        (["Training/", "dev/", "test/"], ["2", "10", "b"]),
        (["data/TRAIN/", "data/Val/"], ["b", "A"]),
        (["train/", "training/", "valid/"], [str(number) for number in range(11)]),
    ],
)
def test_classes_and_order_are_those_of_the_folder_where_the_rows_say_what_it_says(tmp_path, splits, labels):
    header, rows = ("path,label,split", []) if splits != [""] else ("path,label", [])
    for index, split in enumerate(splits):
        for label in labels:
            for number in range(2):
                name = f"{split}{label}/{number}.jpg"
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(f"{index}{label}{number}".encode())
                rows.append(f"{name},{label}" + (f",{split.rstrip('/').split('/')[-1]}" if split else ""))
    folder = find_source(tmp_path)
    np.random.default_rng(0).shuffle(rows)
    found = find_source(table(tmp_path, [header, *rows]))
    assert found.class_names == folder.class_names
    # The fingerprint is of this, in this order, and of the contents.
    assert [(split, list(files.names), files.labels.tolist()) for split, files in found.splits.items()] == [
        (split, list(files.names), files.labels.tolist()) for split, files in folder.splits.items()
    ]


@pytest.mark.parametrize("place", ["lists", ".lists/today", "images", "."])
@pytest.mark.parametrize("absolute", [False, True])
def test_classes_are_in_the_order_of_the_folder_wherever_the_table_is(tmp_path, place, absolute):
    images = tmp_path / ".cache" / "images"
    for name in ("9", "10"):
        (images / name).mkdir(parents=True)
        (images / name / "0.jpg").write_bytes(name.encode())
    folder = tmp_path / ".cache" / place
    folder.mkdir(parents=True, exist_ok=True)
    there = images if absolute else os.path.relpath(images, folder)
    found = find_source(table(folder, [f"{there}/{name}/0.jpg,{name}" for name in ("9", "10")]))
    assert found.class_names == find_source(images).class_names == ("10", "9")


def test_other_splits_than_the_folders_are_the_tables_own(tmp_path):
    names = [f"{label}/{number}.jpg" for label in range(12) for number in range(2)]
    source = find_source(
        table(tmp_path, [f"{name},{name.split('/')[0]},{'train' if '0' in name else 'val'}" for name in names])
    )
    assert source.class_names == tuple(str(label) for label in range(12))
    assert list(source.splits) == ["train", "validation"]


def test_labels_that_differ_in_how_accents_are_spelled_are_one_class(tmp_path):
    rows = ["1.jpg,caf\u00e9,train", "2.jpg,dog,train", "3.jpg,cafe\u0301,test", "4.jpg,cafe\u0301,train"]
    source = find_source(table(tmp_path, rows))
    assert (len(source.class_names), source.splits["test"].labels.tolist()) == (2, [0])


def test_paths_with_backslashes_are_those_of_windows(image_folder):
    rows = [row.replace("/", "\\") for row in rows_of(image_folder)]
    assert data.load(table(image_folder, rows)).fingerprint == data.load(image_folder).fingerprint


@pytest.mark.parametrize("other", ["a link", "absolute", "above"])
def test_a_file_under_two_names_is_there_twice(image_folder, other):
    if other == "a link":
        (image_folder / "crimson").symlink_to("red")
    name = {"a link": "crimson/00.jpg", "absolute": f"{image_folder}/red/00.jpg", "above": "../colours/red/00.jpg"}[
        other
    ]
    message = refused(table(image_folder, ["red/00.jpg,red", f"{name},blue"]))
    assert f"line 2: {name} is on line 1 too as red/00.jpg: one class for each image" in message


def test_columns_by_name_in_any_order_and_others_ignored(image_folder):
    rows = [f'7,{label},"{file}",x' for file, label in (row.split(",") for row in rows_of(image_folder))]
    source = find_source(table(image_folder, ["width,Class,IMAGE,note", *rows]))
    assert source.class_names == tuple(sorted(COLOURS))
    assert len(source.splits["train"]) == 36


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("bom.csv", lambda rows: "\ufeff" + "\n".join(rows)),
        ("dos.csv", lambda rows: "\r\n".join(rows) + "\r\n\r\n"),
        ("quoted.csv", lambda rows: "\n".join(f'"{row.replace(",", chr(34) + "," + chr(34))}"' for row in rows)),
        ("tabs.tsv", lambda rows: "\n".join(rows).replace(",", "\t")),
        ("spaces.csv", lambda rows: "\n".join(row.replace(",", " , ") for row in rows)),
        ("dots.csv", lambda rows: "\n".join(f"./{row}" for row in rows)),
    ],
)
def test_ways_to_write_a_table(image_folder, name, write):
    source = find_source(
        table(image_folder, write(["path,label", *rows_of(image_folder)]).replace("./path", "path"), name)
    )
    assert source.class_names == tuple(sorted(COLOURS))
    assert source.splits["train"].names[0] == "blue/00.jpg"
    assert len(source.splits["train"]) == 36


def test_a_path_may_hold_a_comma_or_be_elsewhere(image_folder, tmp_path):
    elsewhere = write_image(tmp_path / "other" / "ä.png", COLOURS["red"])
    write_image(tmp_path / "other" / "b.png", COLOURS["red"])
    rows = rows_of(image_folder)
    write_image(image_folder / "a, b.png", COLOURS["blue"])
    loaded = data.load(table(image_folder, [*rows, '"a, b.png",blue', f"{elsewhere},red", "../other/b.png,red"]))
    assert not loaded.skipped
    assert np.sum(list(loaded.class_counts().values()), axis=0).tolist() == [13, 12, 14]


def test_numbers_as_labels_are_in_their_order(tmp_path):
    rows = []
    for label in range(12):
        for index in range(3):
            write_image(tmp_path / f"{label}-{index}.png", (label * 20, 0, 0), seed=index)
            rows.append(f"{label}-{index}.png,{label}")
    assert data.load(table(tmp_path, rows)).class_names == tuple(str(label) for label in range(12))


def test_a_missing_and_a_damaged_file_are_left_out_and_named(image_folder):
    (image_folder / "red" / "05.jpg").write_bytes(b"")
    path = table(image_folder, [*rows_of(image_folder), "red/nowhere.jpg,red"])
    loaded = data.load(path, max_skipped=0.1)
    found = {record["file"]: (record["class"], record["reason"]) for record in loaded.skipped}
    assert found["red/05.jpg"] == ("red", "empty file")
    assert found["red/nowhere.jpg"][0] == "red"
    assert "No such file" in found["red/nowhere.jpg"][1]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows: expected PATH,LABEL"),
        (["path,label"], "no rows: expected PATH,LABEL"),
        (["red/00.jpg,red", "red/01.jpg,red", "./red/00.jpg,red"], "line 3: red/00.jpg is on line 1 too"),
        (["red/00.jpg,red", "red/00.jpg,blue"], "line 2: red/00.jpg is on line 1 too: one class for each image"),
        (["red/00.jpg,red", "blue/00.jpg,cat;dog"], "line 2: label 'cat;dog' holds ';': multi-label targets are not"),
        (["red/00.jpg,red", "blue/00.jpg,cat|dog"], "line 2: label 'cat|dog' holds '|': multi-label targets are not"),
        (["path,label", "", "red/00.jpg,0.37"], "line 3: label '0.37' is a number with a fraction: regression targets"),
        (["red/00.jpg,1e-3"], "line 1: label '1e-3' is a number with a fraction: regression targets"),
        (["path,label,class"], "line 1: columns of a label: 'label', 'class': multi-label targets are not supported"),
        (["path,label_1,label_2"], "line 1: columns of a label: 'label_1', 'label_2': multi-label targets are not"),
        (["path,image,label"], "line 1: columns of a path: 'path', 'image': one is needed"),
        (
            ["path,red,blue", "red/00.jpg,1,0"],
            "line 1: no column 'label' or 'class' among path, red, blue: add it; a col",
        ),
        (["red/00.jpg,red,round"], "line 1: 'round' is no split: multi-label targets are not supported"),
        (["red/00.jpg,1,0,1"], "line 1: 4 fields without a header: multi-label targets are not supported"),
        (["img,lbl", "red/00.jpg,red"], "line 1: 'img' is neither a file nor a header: a header has 'path', 'label'"),
        (["red/00.jpg;red"], "line 1: one field (fields are separated by ';' here): expected PATH,LABEL"),
        (
            ["red/00.jpg,red", "a,b.jpg,red"],
            "line 2: 3 fields, and 2 on the first line: put a path with a comma in quo",
        ),
        (["red/00.jpg,red", ",red"], "line 2: the path is empty"),
        (["red/00.jpg,red", "a\0b.jpg,red"], "line 2: the path is damaged"),
        (["red/00.jpg,red", "red/01.jpg,"], "line 2: the label is empty"),
        (["red/00.jpg,red", "https://a.b/c.jpg,red"], "line 2: https://a.b/c.jpg is a URL: download the images"),
        (["gs://a/c.jpg,red"], "line 1: gs://a/c.jpg is a URL: download the images"),
        (["red/00.jpg,red", "red,red"], "line 2: red is no file: name image files"),
        (["red/00.jpg,red,train", "red/01.jpg,red,extra"], "line 2: split 'extra' is none: write train, validation"),
        (["red/00.jpg,red,test"], "no row of split train"),
        (["red/00.jpg,red,train", "blue/00.jpg,blue,val"], "line 2: class 'blue' is in validation but not in train"),
        (["red/00.jpg,1", "red/01.jpg,01"], "line 2: label '01' is '1' written otherwise"),
        (["red/00.jpg,red", '"red/01.jpg,red'], "line 2: unexpected end of data: mend the quotes"),
        (["red/00.jpg,red", "red/01.jpg,red"], "only one class, 'red': a classifier needs two or more"),
    ],
)
def test_a_table_that_cannot_be_used_says_where_and_why(image_folder, rows, message):
    assert message in refused(table(image_folder, rows))


def test_another_encoding_is_named(image_folder):
    rows = [*rows_of(image_folder)[:2], "ä.jpg,red"]
    assert "is not UTF-8 near line 1 (" in refused(table(image_folder, rows, encoding="latin-1"))


def test_a_pipe_is_not_waited_for(image_folder):
    os.mkfifo(image_folder / "pipe.jpg")
    rows = [*rows_of(image_folder)[:2], "pipe.jpg,red"]
    assert "line 3: pipe.jpg is no file" in refused(table(image_folder, rows))
