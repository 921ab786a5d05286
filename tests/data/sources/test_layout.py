"""Classes and splits read off the names of files, in folders and in zips."""

import contextlib
import os
import zipfile

import numpy as np
import pytest
from conftest import COLOURS, write_image

from kerastricks.data import load
from kerastricks.data.sources.classes import only_classes, relabel
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only


def fill(root, names):
    """Files with any bytes: a layout is read off the names alone."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def zipped(folder, path, compression=zipfile.ZIP_DEFLATED):
    """As `zip -r` does: with an entry for every folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry in sorted(folder.rglob("*")):
            archive.write(entry, entry.relative_to(folder).as_posix())
    return path


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
    """A function from names to a path: the same files as a folder and as a zip."""

    def build(names):
        folder = fill(tmp_path / "images", names)
        return folder if request.param == "folder" else zipped(folder, tmp_path / "images.zip")

    return build


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_are_classes_in_alphabetical_order(make):
    source = find_source(make(["dog/1.jpg", "cat/1.jpg", "cat/2.jpg"]))
    assert source.class_names == ("cat", "dog")
    assert list(source.splits) == ["train"]
    assert list(source.splits["train"].names) == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    assert source.splits["train"].labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev", "VAL"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_splits_are_found_by_their_usual_names(tmp_path, train, validation, test):
    names = [f"{split}/{label}/1.png" for split in (train, validation, test) for label in "ab"]
    splits = find_source(fill(tmp_path, names)).splits
    assert {name: list(files.names) for name, files in splits.items()} == {
        "train": [f"{train}/a/1.png", f"{train}/b/1.png"],
        "validation": [f"{validation}/a/1.png", f"{validation}/b/1.png"],
        "test": [f"{test}/a/1.png", f"{test}/b/1.png"],
    }


def test_images_deeper_in_a_class_belong_to_it(make):
    source = find_source(make(["a/2020/x/1.jpg", "a/2.jpg", "b/2021/1.jpg"]))
    assert source.class_names == ("a", "b")
    assert source.splits["train"].labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("wrapper", ["images/", "one/two/"])
def test_a_folder_around_everything_is_taken_off(make, wrapper):
    source = find_source(make([f"{wrapper}train/{label}/1.jpg" for label in "ab"] + [f"{wrapper}test/a/1.jpg"]))
    assert source.class_names == ("a", "b")
    assert sorted(source.splits) == ["test", "train"]
    name = source.splits["test"].names[0]
    assert name == f"{wrapper}test/a/1.jpg"
    assert source.splits["test"].reader.read(name) == b"x"


def test_hidden_files_and_what_macos_adds_are_left_out(make):
    hidden = [".DS_Store", "a/.DS_Store", "a/.cache/2.jpg", ".git/b/3.jpg", "__MACOSX/a/._1.jpg", "__MACOSX/c/._4.jpg"]
    source = find_source(make(["a/1.jpg", "b/1.jpg", *hidden]))
    assert source.class_names == ("a", "b")
    assert list(source.splits["train"].names) == ["a/1.jpg", "b/1.jpg"]


def test_files_beside_the_classes_are_left_out(make):
    source = find_source(make(["README.md", "train/a/1.jpg", "train/b/1.jpg", "train/labels.csv"]))
    assert list(source.splits["train"].names) == ["train/a/1.jpg", "train/b/1.jpg"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["deflated", "stored"])
def test_a_zip_gives_what_its_folder_gives(image_folder, tmp_path, compression):
    folder = find_source(image_folder).splits["train"]
    archive = find_source(zipped(image_folder, tmp_path / "z.zip", compression)).splits["train"]
    assert list(archive.names) == list(folder.names)
    np.testing.assert_array_equal(archive.labels, folder.labels)
    assert [archive.reader.read(name) for name in archive.names] == [folder.reader.read(n) for n in folder.names]


def test_a_zip_without_entries_for_folders_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name in ("a/1.jpg", "b/1.jpg"):
            archive.writestr(name, b"x")
    assert find_source(tmp_path / "z.zip").class_names == ("a", "b")


def test_an_empty_class_is_named(make):
    with pytest.raises(DataError, match=r"class 'c' is empty in c/.*delete it") as error:
        find_source(make(["a/1.jpg", "b/1.jpg", "c/"]))
    one_line(error)


@pytest.mark.parametrize("inside", ["c/.DS_Store", "c/.ipynb_checkpoints/1.jpg", "c/deeper/"])
def test_a_class_without_images_is_empty_whatever_else_it_holds(make, inside):
    with pytest.raises(DataError, match="class 'c' is empty"):
        find_source(make(["a/1.jpg", "b/1.jpg", inside]))


def test_an_empty_class_of_a_split_is_named(make):
    with pytest.raises(DataError, match=r"class 'b' is empty in test/b/"):
        find_source(make(["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/"]))


@pytest.mark.parametrize(("names", "found"), [(["a/1.jpg", "a/2.jpg"], "a"), (["train/1.jpg"], "train")])
def test_one_class_is_refused_by_name(make, names, found):
    with pytest.raises(DataError, match=rf"only one class, '{found}': a classifier needs two or more") as error:
        load(make(names))
    one_line(error)


@pytest.mark.parametrize("names", [["bus/1.jpg", "car/1.jpg", "train/1.jpg"], ["test/1.jpg", "train/2.jpg"]])
def test_a_class_may_be_called_like_a_split(make, names):
    source = find_source(make(names))
    assert source.class_names == tuple(name.split("/")[0] for name in names)
    assert set(source.splits) == {"train"}


@pytest.mark.parametrize("train", ["train", "Training", "training_set", "train_images", "trainset"])
def test_a_split_has_several_names(make, train):
    source = find_source(make([f"{train}/a/1.jpg", f"{train}/b/1.jpg", "test-set/a/1.jpg", "val/b/1.jpg"]))
    assert set(source.splits) == {"train", "validation", "test"}


def test_splits_without_train_are_refused(make):
    with pytest.raises(DataError, match="test, val without a folder train"):
        find_source(make(["val/a/1.jpg", "val/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg"]))


def test_a_folder_beside_the_splits_is_named(make):
    with pytest.raises(DataError, match="'extra' is beside train and is no split"):
        find_source(make(["train/a/1.jpg", "train/b/1.jpg", "extra/a/1.jpg"]))


@pytest.mark.parametrize("target", [".", "..", "/"])
def test_a_link_to_a_folder_above_brings_no_image_twice(image_folder, target):
    (image_folder / "red" / "again").symlink_to(target)
    assert len(find_source(image_folder).splits["train"]) == 36


def linked(root, names, links):
    """Files, and links from a path to what it leads to."""
    fill(root, names)
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return root


SPLITS = [f"{split}/{label}/1.jpg" for split in ("train", "test") for label in "ab"]


@pytest.mark.parametrize("reverse", [False, True], ids=["one order", "the other"])
@pytest.mark.parametrize(
    ("names", "links", "message"),
    [
        (["cat/1.jpg", "dog/1.jpg"], {"kitten": "cat"}, "kitten is a link to cat"),
        (["cat/1.jpg", "dog/1.jpg"], {"animal": "cat"}, "animal is a link to cat"),
        (["cat/1.jpg", "dog/1.jpg"], {"cat/more": "../dog"}, "cat/more is a link to dog"),
        (["cat/1.jpg"], {"dog": "../pool/a", "hound": "../pool/a"}, "dog and hound are links to one folder, .*pool/a"),
        (["cat/1.jpg"], {"all": "../pool", "dog": "../pool/a"}, "dog is a link to all/a"),
        (["cat/1.jpg"], {"dog": "../pool/a", "pool": "../pool"}, "dog is a link to pool/a"),
        (SPLITS, {"val": "test"}, "val is a link to test"),
        (SPLITS, {"latest": "train"}, "latest is a link to train"),
        (
            ["train/b/1.jpg", "test/b/1.jpg"],
            {"train/a": "../../pool/a", "test/a": "../../pool/a"},
            "test/a and train/a are links to one folder",
        ),
    ],
)
def test_a_folder_that_is_reached_twice_is_refused_as_a_link(tmp_path, monkeypatch, names, links, message, reverse):
    fill(tmp_path, ["pool/a/1.jpg"])
    root = linked(tmp_path / "data", names, links)
    scandir = os.scandir
    ordered = lambda path: sorted(scandir(path), key=lambda entry: entry.name, reverse=reverse)  # noqa: E731
    monkeypatch.setattr(os, "scandir", lambda path: contextlib.closing(Entries(ordered(path))))
    with pytest.raises(
        DataError, match=rf"^data: {message}.*: its images would be there twice: delete the link"
    ) as error:
        find_source(root)
    one_line(error)


class Entries(list):
    def close(self):
        pass


def test_links_to_folders_elsewhere_are_read(tmp_path):
    fill(tmp_path, ["pool/a/1.jpg", "pool/b/2.jpg", "pool/b/3.jpg", "more/a/4.jpg", "notes/1.xml"])
    links = {"train/a": "../../pool/a", "test": "../more", "train/b/notes": "../../../notes", "train/a2": "../../notes"}
    root = linked(
        tmp_path / "data", ["train/b/1.jpg", "train/a2/1.jpg"], {k: v for k, v in links.items() if "a2" not in k}
    )
    source = find_source(root)
    assert source.class_names == ("a", "a2", "b")
    assert list(source.splits["train"].names) == [
        "train/a/1.jpg",
        "train/a2/1.jpg",
        "train/b/1.jpg",
        "train/b/notes/1.xml",
    ]
    assert list(source.splits["test"].names) == ["test/a/4.jpg"]


def test_links_to_files_and_hard_links_are_images(tmp_path):
    root = linked(tmp_path, ["a/1.jpg", "b/1.jpg"], {"a/2.jpg": "1.jpg", "b/2.jpg": "../a/1.jpg"})
    os.link(root / "a" / "1.jpg", root / "a" / "3.jpg")
    assert list(find_source(root).splits["train"].names) == ["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg"]


@pytest.mark.parametrize(
    ("names", "links", "message"),
    [
        (["a/1.jpg", "b/1.jpg"], {"c": "nowhere"}, "c is a broken link, to nowhere: mend or delete it"),
        (["a/1.jpg", "b/1.jpg"], {"c": "c"}, "c is a broken link, to c"),
        (["a/1.jpg", "b/1.jpg"], {"c": "d", "d": "c"}, "c is a broken link, to d"),
        (["a/1.jpg", "b/1.jpg"], {"c": "."}, "c is a link to a folder above it, /.*: delete it"),
        (["a/1.jpg", "b/1.jpg"], {"c": "/"}, "c is a link to a folder above it, /: delete it"),
        (SPLITS, {"val": "nowhere"}, "val is a broken link"),
        (SPLITS, {"train/c": "nowhere"}, "train/c is a broken link"),
        (["test/a/1.jpg", "test/b/1.jpg"], {"train": "/nowhere"}, "train is a broken link, to /nowhere"),
    ],
)
def test_a_class_or_split_that_is_a_link_to_nowhere_is_named(tmp_path, names, links, message):
    with pytest.raises(DataError, match=message) as error:
        find_source(linked(tmp_path, names, links))
    one_line(error)


def test_a_broken_link_that_is_no_class_takes_nothing_away(tmp_path):
    root = linked(tmp_path, ["a/1.jpg", "b/1.jpg"], {"README.md": "nowhere", "a/2.jpg": "nowhere", "a/deep": "nowhere"})
    source = find_source(root)
    assert source.class_names == ("a", "b")
    assert list(source.splits["train"].names) == ["a/1.jpg", "a/2.jpg", "a/deep", "b/1.jpg"]  # left out when it is read


@pytest.mark.parametrize("inside", ["val/", "val/.gitkeep", "val/lost+found/"])
def test_an_empty_split_is_named_and_not_made(make, inside):
    with pytest.raises(DataError, match="validation is empty in val/: fill it or delete it"):
        find_source(make([*SPLITS, inside]))


def test_a_test_folder_without_classes_is_no_split(make):
    source = find_source(make(["train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"]))
    assert {name: len(files) for name, files in source.splits.items()} == {"train": 2}


SYSTEM = ["lost+found/", "@eaDir/a/1.jpg", "a/@eaDir/1.jpg/THUMB.jpg", "$RECYCLE.BIN/desktop.ini", "#recycle/1.jpg"]
SYSTEM += ["System Volume Information/x", ".ipynb_checkpoints/1.jpg", ".git/a/b", "__pycache__/x.pyc", "a/._1.jpg"]


@pytest.mark.parametrize("inside", ["", "train/"])
def test_folders_of_the_system_are_no_classes(make, inside):
    source = find_source(make([f"{inside}{name}" for name in ["a/1.jpg", "b/1.jpg", *SYSTEM]]))
    assert source.class_names == ("a", "b")
    assert list(source.splits["train"].names) == [f"{inside}a/1.jpg", f"{inside}b/1.jpg"]


def test_a_folder_of_the_system_that_may_not_be_entered_is_passed_over(image_folder, monkeypatch):
    (image_folder / "lost+found").mkdir()
    scandir = os.scandir

    def refuse(path="."):
        assert "lost+found" not in os.fspath(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_source(image_folder).class_names == tuple(sorted(COLOURS))


@pytest.mark.parametrize("note", ["README.md", "Thumbs.db", "LICENSE.txt"])
def test_a_wrapper_may_hold_a_note(make, note):
    assert find_source(make(["set/a/1.jpg", "set/b/1.jpg", f"set/{note}"])).class_names == ("a", "b")


def test_names_that_differ_in_how_accents_are_spelled_are_one_class(make):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    names = [f"train/{decomposed}/1.jpg", "train/dog/1.jpg", f"test/{composed}/2.jpg", "test/dog/1.jpg"]
    source = find_source(make(names))
    assert source.class_names == (decomposed, "dog")  # as it was before: runs on such folders can be resumed
    assert source.splits["test"].labels.tolist() == [0, 1]
    only = only_classes(source, [composed, "dog"])
    assert only.class_names == source.class_names
    relabelled = relabel(source.splits["test"], source.class_names, ["dog", composed], "data")
    assert relabelled.labels.tolist() == [1, 0]


def test_both_spellings_in_one_split_are_one_class(make):
    source = find_source(make(["caf\u00e9/2.jpg", "cafe\u0301/1.jpg", "dog/1.jpg"]))
    assert (len(source.class_names), source.splits["train"].labels.tolist()) == (2, [0, 0, 1])


def test_a_pipe_is_not_read(image_folder):
    os.mkfifo(image_folder / "red" / "pipe")
    assert len(find_source(image_folder).splits["train"]) == 36


def test_a_class_that_training_never_sees_is_named(make):
    with pytest.raises(DataError, match=r"class 'c' is in test but not in train: add .* delete it from test") as error:
        find_source(make(["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/c/1.jpg"]))
    one_line(error)


@pytest.mark.parametrize("names", [["1.jpg", "2.jpg"], [".hidden/a/1.jpg"]])
def test_a_layout_without_classes_says_what_is_expected(make, names):
    with pytest.raises(DataError, match=r"expected CLASS/\*\.jpg or train/CLASS/\*\.jpg") as error:
        find_source(make(names))
    one_line(error)


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"no images: expected CLASS/\*\.jpg"):
        find_source(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(image_folder, monkeypatch):
    closed = str(image_folder / "green")
    scandir = os.scandir

    def refuse(path="."):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # chmod does not bind root
    with pytest.raises(DataError, match=r"green: cannot be read \(Permission denied\): give yourself access") as error:
        find_source(image_folder)
    one_line(error)


def test_a_symbolic_link_to_a_class_is_followed(tmp_path):
    fill(tmp_path, ["elsewhere/1.jpg", "data/a/1.jpg"])
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    assert find_source(tmp_path / "data").class_names == ("a", "b")


def test_the_class_names_of_images_are_kept(image_folder):
    assert find_source(image_folder).class_names == tuple(sorted(COLOURS))


def test_names_beyond_ascii_are_kept(tmp_path):
    for label in ("Äpfel", "桃"):
        write_image(tmp_path / "data" / label / "ü 1.png", (9, 9, 9))
    for source in (find_source(tmp_path / "data"), find_source(zipped(tmp_path / "data", tmp_path / "z.zip"))):
        assert source.class_names == ("Äpfel", "桃")
        files = source.splits["train"]
        assert files.reader.read(files.names[0])[1:4] == b"PNG"
