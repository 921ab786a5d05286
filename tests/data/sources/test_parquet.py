"""Parquet files: the same images as in a folder, and what cannot be used."""

import importlib.util
import json
import pickle

import numpy as np
import pytest
from conftest import COLOURS
from images_of_sources import images_of, rows_of

from kerastricks import data
from kerastricks.cli import run
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.names import check_source
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError, MissingExtraError
from kerastricks.progress import silent

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.tensorflow_only

CLASSES = sorted(COLOURS)
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTRICKS_CACHE", str(tmp_path / "cache"))


def class_of(name):
    return name.split("/")[-2]


def hugging_face(class_names, label="label", image="image"):
    features = {image: {"_type": "Image"}, label: {"names": list(class_names), "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def table_of(rows, form="struct", labels=None, **more):
    """A table of images as `form`, with labels that are names unless given."""
    images = {
        "struct": lambda: pa.array([{"bytes": contents, "path": name} for name, contents in rows], STRUCT),
        "binary": lambda: pa.array([contents for _, contents in rows], pa.binary()),
        "path": lambda: pa.array([name for name, _ in rows]),
    }[form]()
    return pa.table({"image": images, "label": labels or [class_of(name) for name, _ in rows]} | more)


def write(table, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **{"row_group_size": 7, "compression": "none"} | options)
    return path


def assert_same(source, folder):
    assert images_of(source) == images_of(folder)


LAYOUTS = {
    "as they are": {},
    "compressed": {"compression": "snappy"},
    "no dictionary": {"use_dictionary": False},
    "second version of pages": {"data_page_version": "2.0", "use_dictionary": False},
    "small pages": {"data_page_size": 1, "write_batch_size": 2},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_gives_what_the_folder_gives(image_folder, tmp_path, layout):
    path = write(table_of(rows_of(image_folder)), tmp_path / "colours.parquet", **LAYOUTS[layout])
    assert_same(path, image_folder)
    offsets = find_source(path).splits["train"].reader.index["offset"]
    assert (offsets >= 0).all() == (layout != "compressed")


def test_batches_and_fingerprint_are_the_folders_at_any_step(image_folder, tmp_path):
    path = write(table_of(rows_of(image_folder)), tmp_path / "x.parquet")
    loaded, expected = (data.load(source, batch_size=4, memory_bytes=0) for source in (path, image_folder))
    assert (loaded.fingerprint, loaded.in_memory) == (expected.fingerprint, False)
    for (images, labels), (others, other_labels) in zip(
        loaded.train_from(11).take(2), expected.train_from(11).take(2), strict=True
    ):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_images_without_names_are_in_the_order_of_the_rows(image_folder, tmp_path):
    source = find_source(write(table_of(sorted(rows_of(image_folder)), "binary"), tmp_path / "x.parquet"))
    (_, ((_, names, *found),)), (_, ((_, _, *expected),)) = images_of(source), images_of(find_source(image_folder))
    assert found == expected
    assert names[:2] == ["x.parquet/00000000", "x.parquet/00000001"]


@pytest.mark.parametrize("struct", [False, True])
def test_paths_of_images(image_folder, struct):
    rows = rows_of(image_folder)
    table = table_of([(name, None) for name, _ in rows]) if struct else table_of(rows, "path")
    path = write(table, image_folder / "colours.parquet")
    assert_same(path, image_folder.parent / "colours")
    write(table_of(rows[:1] * 2, "path"), path)
    with pytest.raises(DataError, match="an image has two rows"):
        find_source(path)


def test_groups_and_weights_are_those_of_the_same_csv(image_folder):
    rows = rows_of(image_folder)
    columns = {
        "path": [name for name, _ in rows],
        "label": [name.split("/")[0] for name, _ in rows],
        "group": [index // 2 for index in range(len(rows))],
        "weight": [0.5 + index % 3 for index in range(len(rows))],
    }
    path = write(pa.table(columns), image_folder / "list.parquet")
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (image_folder / "list.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    found, expected = (find_source(one).splits["train"] for one in (path, image_folder / "list.csv"))
    assert list(found.names) == list(expected.names)
    assert found.groups.tolist() == expected.groups.tolist()
    assert found.weights.tolist() == expected.weights.tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight": [1.0, -1.0]}, "row 2: weight '-1.0' must be a number from 0"),
        ({"weight": [1.0, float("nan")]}, "row 2: weight 'nan'"),
        ({"group": ["a", None]}, "row 2: the group is empty"),
        ({"group": ["a", "a"], "split": ["train", "test"], "label": ["red", "red"]}, "group 'a' is in train"),
    ],
)
def test_groups_and_weights_that_cannot_be_used(image_folder, changed, message):
    names = [name for name, _ in rows_of(image_folder)][:2]
    table = {"path": names, "label": [name.split("/")[0] for name in names], **changed}
    with pytest.raises(DataError, match=message):
        find_source(write(pa.table(table), image_folder / "list.parquet"))


def test_names_that_repeat_get_their_folders_back(split_folder, tmp_path):
    rows = rows_of(split_folder)
    table = table_of(
        [(name.rpartition("/")[2], contents) for name, contents in rows],
        labels=[class_of(name) for name, _ in rows],
        split=[name.split("/")[0] for name, _ in rows],
    )
    assert_same(write(table, tmp_path / "x.parquet"), split_folder)


def test_names_that_repeat_in_a_class_are_told_apart_by_the_row(image_folder, tmp_path):
    rows = sorted(rows_of(image_folder))
    table = table_of([("x.jpg", contents) for _, contents in rows], labels=[class_of(name) for name, _ in rows])
    files = find_source(write(table, tmp_path / "x.parquet")).splits["train"]
    assert files.names[0] == "x.parquet/00000000"
    assert [files.reader.read(name) for name in files.names] == [contents for _, contents in rows]


@pytest.mark.parametrize(
    "names", ["train-00000-of-00002.parquet", "train/0.parquet", "data/train-00000-of-00002.parquet"]
)
def test_splits_by_the_names_of_files_and_folders(split_folder, tmp_path, names):
    rows = rows_of(split_folder)
    folder = tmp_path / "all"
    for split in ("train", "validation", "test"):
        these = [row for row in rows if row[0].startswith(f"{split}/")]
        for part in range(2):
            write(table_of(these[part::2]), folder / names.replace("train", split).replace("0", str(part), 1))
    assert_same(folder, split_folder)
    pattern = folder / names.rpartition("/")[0] / "*.parquet"
    assert sum(map(len, find_source(pattern).splits.values())) == (30 if names.startswith("train/") else 51)


def test_a_column_of_splits(split_folder, tmp_path):
    rows = rows_of(split_folder)
    table = table_of(rows, split=[name.split("/")[0] for name, _ in rows])
    assert_same(write(table, tmp_path / "x.parquet"), split_folder)


def test_class_names_of_the_schema(image_folder, tmp_path):
    rows = rows_of(image_folder)
    names = [*reversed(CLASSES)]
    table = table_of(rows, labels=[names.index(class_of(name)) for name, _ in rows])
    table = table.rename_columns(["picture", "kind"]).replace_schema_metadata(
        hugging_face(names, label="kind", image="picture")
    )
    source = find_source(write(table, tmp_path / "x.parquet"))
    assert source.class_names == tuple(names)
    files = source.splits["train"]
    assert [names[label] for label in files.labels] == [class_of(name) for name in files.names]


@pytest.mark.parametrize("labels", [[10, 2, 7], ["10", "2", "7"]])
def test_numbers_are_sorted_as_numbers(image_folder, tmp_path, labels):
    rows = rows_of(image_folder)
    table = table_of(rows, labels=[labels[CLASSES.index(class_of(name))] for name, _ in rows])
    assert find_source(write(table, tmp_path / "x.parquet")).class_names == ("2", "7", "10")


def test_columns_can_be_named(image_folder, tmp_path):
    rows = rows_of(image_folder)
    table = table_of(
        rows, labels=[0] * len(rows), photo=pa.array([c for _, c in rows]), kind=[class_of(n) for n, _ in rows]
    )
    path = write(table, tmp_path / "x.parquet")
    source = find_source(f"{path}?image=photo&label=kind")
    assert source.class_names == tuple(CLASSES)
    assert source.splits["train"].reader.column == "photo"
    check_source(f"{path}?label=kind")
    with pytest.raises(DataError, match=r"'size=3' names no column: write .*x\.parquet\?image=COLUMN&label=COLUMN"):
        find_source(f"{path}?size=3")
    with pytest.raises(DataError, match=r"\?label= is for Parquet, tars and Hugging Face"):
        find_source(f"{image_folder}?label=kind")


def test_the_index_is_kept_until_the_file_changes(image_folder, tmp_path, monkeypatch):
    path = write(table_of(rows_of(image_folder)), tmp_path / "x.parquet")
    first = find_source(path).splits["train"]
    monkeypatch.setattr("kerastricks.data.sources.parquet._rows", None)  # nothing is scanned again
    again = find_source(path).splits["train"]
    assert list(again.names) == list(first.names)
    assert again.reader.read(again.names[5]) == first.reader.read(first.names[5])
    monkeypatch.undo()
    write(table_of(rows_of(image_folder)[:20]), path)
    assert len(find_source(path).splits["train"]) == 20


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_rows_that_change_after_the_index_are_noticed(image_folder, tmp_path, compression):
    path = write(table_of(rows_of(image_folder)), tmp_path / "x.parquet", compression=compression)
    files = find_source(path).splits["train"]
    write(table_of(rows_of(image_folder, seed=1)), path, compression=compression)
    with pytest.raises(DataError, match=r"can no longer be read \(x\.parquet changed since it was indexed\)"):
        files.read_again(3)


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_reader_travels_to_other_processes(image_folder, tmp_path, compression):
    rows = dict(rows_of(image_folder))
    files = find_source(write(table_of([*rows.items()]), tmp_path / "x.parquet", compression=compression)).splits[
        "train"
    ]
    sent = pickle.loads(pickle.dumps(files))
    assert {name: sent.reader.read(name) for name in sent.names} == rows
    with pytest.raises(KeyError):
        sent.reader.read("none.jpg")


def test_rows_without_an_image_are_left_out(image_folder, tmp_path):
    rows = rows_of(image_folder)
    for compression in ("none", "snappy"):
        table = table_of([(name, None if i == 3 else contents) for i, (name, contents) in enumerate(rows)])
        files = find_source(write(table, tmp_path / "x.parquet", compression=compression)).splits["train"]
        skipped = read_headers(files, 10**8, "", silent).skipped
        assert {files.names[index]: reason for index, reason in skipped.items()} == {rows[3][0]: "empty file"}


def changed_labels(labels):
    return lambda rows: table_of(rows, labels=labels * (len(rows) // len(labels)))


def named(change):
    return lambda rows: change(rows).replace_schema_metadata(hugging_face(CLASSES))


BAD = {
    "no images": (
        lambda rows: table_of(rows).drop_columns("image"),
        r"no column of images called image or img .*: its columns are label: name one, x\.parquet\?image=COLUMN",
    ),
    "no labels": (
        lambda rows: table_of(rows).drop_columns("label"),
        "no column of labels called .*: its columns are image: name one",
    ),
    "numbers as images": (
        lambda rows: table_of(rows).set_column(0, "image", pa.array(range(len(rows)))),
        "column 'image' is int64, and images are binary",
    ),
    "fractions": (changed_labels([0.5, 1.5]), "column 'label' is double: regression targets are not supported"),
    "lists": (changed_labels([[1], [2]]), "column 'label' is list.*: multi-label targets are not supported"),
    "a label that is missing": (changed_labels(["a", None]), "row 1: no label in column 'label'"),
    "another split": (
        lambda rows: table_of(rows, split=["unlabeled"] * len(rows)),
        "split 'unlabeled' in column 'split' is none",
    ),
    "a class beyond the names": (named(changed_labels([0, 3])), "label 3 in train, and there are 3 classes"),
    "no label": (named(changed_labels([0, -1])), "label -1 in train, which stands for no label"),
    "no rows": (lambda rows: table_of(rows)[:0], "no images"),
    "no split train": (lambda rows: table_of(rows, split=["test"] * len(rows)), "no split train, only test"),
    "a class that train lacks": (
        lambda rows: table_of(rows, labels=["a", "b", "c"] * 12, split=["train", "train", "test"] * 12),
        "class 'c' is in test but not in train",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named_in_one_line(image_folder, tmp_path, case):
    table, message = BAD[case]
    path = write(table(rows_of(image_folder)), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as error:
        find_source(path)
    assert "\n" not in str(error.value)


def test_the_command_line_says_it_with_exit_code_2(image_folder, tmp_path, capsys):
    path = write(table_of(rows_of(image_folder)).drop_columns("label"), tmp_path / "x.parquet")
    assert run(["pack", str(path), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_files_that_do_not_go_together(image_folder, tmp_path):
    rows = rows_of(image_folder)
    write(table_of(rows), tmp_path / "one" / "train-0.parquet")
    write(table_of(rows, "binary"), tmp_path / "one" / "test-0.parquet")
    with pytest.raises(DataError, match=r"its columns or classes are others than those of"):
        find_source(tmp_path / "one")
    write(table_of(rows), tmp_path / "two" / "a" / "train-0.parquet")
    write(table_of(rows), tmp_path / "two" / "b" / "train-0.parquet")
    with pytest.raises(DataError, match="train is there twice, as a/train and as b/train: give one of them"):
        find_source(tmp_path / "two")
    write(table_of(rows), tmp_path / "three" / "train-0.parquet")
    write(table_of(rows), tmp_path / "three" / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet is beside train and is no split"):
        find_source(tmp_path / "three")


def test_damaged_files(image_folder, tmp_path):
    path = write(table_of(rows_of(image_folder)), tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as Parquet"):
        find_source(path)
    with pytest.raises(DataError, match=r"no file matches"):
        find_source(tmp_path / "y-*.parquet")


def test_texts_that_are_not_valid(image_folder, tmp_path):
    raw = pa.array([b"\xff"] * 36, pa.binary())
    labels = pa.Array.from_buffers(pa.string(), 36, raw.buffers())
    path = write(table_of(rows_of(image_folder)).set_column(1, "label", labels), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: a label or name is not valid UTF-8"):
        find_source(path)


def test_row_groups_too_large_to_read_for_each_image(image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kerastricks.data.sources.parquet._MOST_GROUP_BYTES", 1000)
    rows = rows_of(image_folder)
    assert find_source(write(table_of(rows), tmp_path / "x.parquet"))
    with pytest.raises(DataError, match=r"row group 0 has .* write the file with row groups of some 100 rows"):
        find_source(write(table_of(rows), tmp_path / "y.parquet", compression="snappy"))


def test_class_folders_beside_a_parquet_file_are_a_folder(image_folder):
    write(table_of(rows_of(image_folder)), image_folder / "annotations.parquet")
    assert type(find_source(image_folder).splits["train"].reader).__name__ == "FolderReader"


def test_without_the_package_the_way_out_is_named(image_folder, tmp_path, monkeypatch):
    path = write(table_of(rows_of(image_folder)), tmp_path / "x.parquet")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else real(name, *more)
    )
    with pytest.raises(MissingExtraError, match=r"pyarrow is not installed: pip install 'kerastricks\[parquet\]'"):
        data.load(path)
