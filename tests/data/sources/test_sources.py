"""What `load` accepts: folders, zips, arrays, digits, IDX files and keras.datasets."""

import gzip
import struct
import warnings
import zipfile

import keras
import numpy as np
import pytest
from conftest import COLOURS, write_image

from kerastricks import data
from kerastricks.data.sources.reading import find_source
from kerastricks.errors import DataError, UnknownNameError

pytestmark = pytest.mark.tensorflow_only


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def some_arrays(count=40, shape=(8, 8, 3)):
    images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("uint8")
    return images, np.arange(count) % 2


def test_a_folder_and_its_zip_give_the_same_data(image_folder, tmp_path):
    folder = data.load(image_folder, augment="flip", batch_size=7)
    archive = data.load(zipped(image_folder, tmp_path / "images.zip"), augment="flip", batch_size=7)
    assert archive.fingerprint == folder.fingerprint
    assert archive.class_names == folder.class_names == tuple(sorted(COLOURS))
    for split in ("train", "validation", "test"):
        for (images, labels), (others, other_labels) in zip(
            batches(getattr(archive, split)), batches(getattr(folder, split)), strict=True
        ):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, other_labels)


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_a_zip_is_read_in_place(image_folder, tmp_path, memory_bytes):
    path = zipped(image_folder, tmp_path / "images.zip")
    before = sorted(tmp_path.rglob("*"))
    for split in ("train", "validation", "test"):
        batches(getattr(data.load(path, memory_bytes=memory_bytes), split))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("change", ["pixels", "label", "name"])
def test_the_fingerprint_changes_with_the_data(image_folder, change):
    before = data.load(image_folder).fingerprint
    file = image_folder / "red" / "00.jpg"
    if change == "pixels":
        write_image(file, COLOURS["red"], seed=77)
    else:
        file.rename(image_folder / ("blue" if change == "label" else "red") / "99.jpg")
    assert data.load(image_folder).fingerprint != before


def test_the_fingerprint_does_not_depend_on_the_options(image_folder):
    assert (
        data.load(image_folder).fingerprint == data.load(image_folder, seed=5, validation=0.3, batch_size=3).fingerprint
    )


@pytest.mark.parametrize("kind", ["cut off", "text"])
def test_a_corrupt_zip_is_named(image_folder, tmp_path, kind):
    path = zipped(image_folder, tmp_path / "images.zip")
    path.write_bytes(path.read_bytes()[:-100] if kind == "cut off" else b"no zip at all")
    with pytest.raises(DataError, match=r"images\.zip: cannot be read as a zip .*download or make it again") as error:
        data.load(path)
    one_line(error)


def test_an_encrypted_zip_is_named(image_folder, tmp_path):
    path = zipped(image_folder, tmp_path / "images.zip")
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # bit 0 of the flags of every member
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 1)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"images\.zip: the zip is encrypted: unpack it and give the folder") as error:
        data.load(path)
    one_line(error)


def written(path, members, rename=()):
    """A zip of (name or ZipInfo, contents), with bytes of names replaced."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, contents in members:
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name), contents)
    raw = path.read_bytes()
    for old, new in rename:
        assert len(old) == len(new)
        raw = raw.replace(old, new)
    path.write_bytes(raw)
    return path


def member(name, system=3, mode=0o100644):
    info = zipfile.ZipInfo("x")
    info.filename, info.create_system, info.external_attr = name, system, mode << 16
    return info


CAT_AND_DOG = [("cat/1.jpg", b"c"), ("dog/1.jpg", b"d")]


@pytest.mark.parametrize(
    ("members", "rename", "names"),
    [
        ([("caf##/1.jpg", b"c"), ("dog/1.jpg", b"d")], [(b"caf##", "café".encode())], ["café/1.jpg", "dog/1.jpg"]),
        (
            [("cafe##/1.jpg", b"c"), ("dog/1.jpg", b"d")],
            [(b"cafe##", "cafe\u0301".encode())],
            ["cafe\u0301/1.jpg", "dog/1.jpg"],
        ),
        ([("caf#/1.jpg", b"c"), ("dog/1.jpg", b"d")], [(b"caf#", "café".encode("cp437"))], ["café/1.jpg", "dog/1.jpg"]),
        (
            [("caf##/1.jpg", b"c"), ("Stra#e/1.jpg", b"d")],
            [(b"caf##", "café".encode()), (b"Stra#e", "Straße".encode("cp437"))],
            ["Straße/1.jpg", "café/1.jpg"],
        ),
        ([("café/1.jpg", b"c"), ("dog/1.jpg", b"d")], [], ["café/1.jpg", "dog/1.jpg"]),
        ([("./", b""), ("./cat/", b""), ("./cat/1.jpg", b"c"), ("./dog/1.jpg", b"d")], [], ["cat/1.jpg", "dog/1.jpg"]),
        ([(r"cat\1.jpg", b"c"), (r"dog\1.jpg", b"d"), ("dog\\", b"")], [], ["cat/1.jpg", "dog/1.jpg"]),
        ([(r".\cat\1.jpg", b"c"), (r"dog\1.jpg", b"d")], [], ["cat/1.jpg", "dog/1.jpg"]),
        (
            [(member(r"set/cat\1.jpg", 0), b"c"), (member("set/dog/1.jpg", 0), b"d")],
            [],
            ["set/cat/1.jpg", "set/dog/1.jpg"],
        ),
        ([(r"cat/a\b.jpg", b"c"), ("dog/1.jpg", b"d")], [], [r"cat/a\b.jpg", "dog/1.jpg"]),
        ([("/set/cat/1.jpg", b"c"), ("/set/dog/1.jpg", b"d")], [], ["set/cat/1.jpg", "set/dog/1.jpg"]),
        ([("C:\\set\\cat\\1.jpg", b"c"), ("C:\\set\\dog\\1.jpg", b"d")], [], ["C:/set/cat/1.jpg", "C:/set/dog/1.jpg"]),
        ([("x/../cat/1.jpg", b"c"), ("dog//1.jpg", b"d")], [], ["cat/1.jpg", "dog/1.jpg"]),
        ([*CAT_AND_DOG, ("cat/1.jpg", b"c"), ("./cat/1.jpg", b"c")], [], ["cat/1.jpg", "dog/1.jpg"]),
        ([*CAT_AND_DOG, ("cat/.DS_Store", b"1"), ("cat/.DS_Store", b"2")], [], ["cat/1.jpg", "dog/1.jpg"]),
        (
            [
                ("set/cat/1.jpg", b"c"),
                ("set/dog/1.jpg", b"d"),
                ("__MACOSX/set/cat/._1.jpg", b"x"),
                ("__MACOSX/._set", b"x"),
            ],
            [],
            ["set/cat/1.jpg", "set/dog/1.jpg"],
        ),
    ],
)
def test_names_in_a_zip_are_what_its_maker_meant(tmp_path, members, rename, names):
    source = find_source(written(tmp_path / "z.zip", members, rename))
    files = source.splits["train"]
    assert (list(files.names), files.labels.tolist()) == (names, [0, 1])
    assert source.class_names == tuple(name.split("/")[-2] for name in names)
    assert sorted(files.reader.read(name) for name in files.names) == [b"c", b"d"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([*CAT_AND_DOG, ("cat/1.jpg", b"other")], "cat/1.jpg is in the zip twice, with different contents: make"),
        ([("../cat/1.jpg", b"c"), ("dog/1.jpg", b"d")], r"the name of \.\./cat/1.jpg leads out of the zip: make"),
        ([(r"..\cat\1.jpg", b"c"), ("dog/1.jpg", b"d")], r"the name of \.\.\\cat\\1.jpg leads out of the zip"),
        (
            [*CAT_AND_DOG, (member("kitten", mode=0o120777), b"cat")],
            "kitten is a link, and links are not followed in a",
        ),
    ],
)
def test_a_zip_that_would_give_other_data_is_refused(tmp_path, members, message):
    with pytest.raises(DataError, match=message) as error:
        find_source(written(tmp_path / "z.zip", members))
    assert "z" in one_line(error)


def test_a_link_to_an_image_in_a_zip_says_so(tmp_path):
    members = [*CAT_AND_DOG, (member("cat/2.jpg", mode=0o120777), b"1.jpg")]
    files = find_source(written(tmp_path / "z.zip", members)).splits["train"]
    with pytest.raises(OSError, match="a link, which is not followed in a zip"):
        files.reader.read("cat/2.jpg")


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere/images: no such file or folder") as error:
        data.load(tmp_path / "nowhere" / "images")
    one_line(error)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'digitz': did you mean digits\?.*kerastricks train --help") as error:
        data.load("digitz")
    one_line(error)


@pytest.mark.parametrize("source", [3, None, [1, 2], (1, 2, 3)])
def test_a_source_of_another_kind_is_refused(source):
    with pytest.raises(DataError, match=rf"path, a name or a pair \(x, y\)\. Received: {type(source).__name__}"):
        data.load(source)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 8), "uint8"), ((8, 8, 1), "int64"), ((8, 6, 3), "float32"), ((8, 6, 3), "uint8")]
)
def test_arrays_keep_their_pixels_and_labels(shape, dtype):
    x, y = some_arrays(shape=shape)
    loaded = data.load((x.astype(dtype), y[:, None]), batch_size=8)
    expected = x.reshape(40, *shape[:2], -1)
    assert loaded.image_shape == expected.shape[1:]
    assert loaded.class_names == ("0", "1")
    by_content = {image.tobytes(): label for image, label in zip(expected, y, strict=True)}
    for split in ("train", "validation", "test"):
        for images, labels in batches(getattr(loaded, split)):
            assert [by_content[image.tobytes()] for image in images] == labels.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 0, 0], y), r"images must be \(N, height, width\).*Received: \(40, 3\)"),
        (lambda x, y: (x.repeat(2, -1), y), r"images must be .* 1 or 3\)\. Received: \(40, 8, 8, 6\)"),
        (lambda x, y: (x - 300.0, y), r"pixels must be finite and in 0-255\. Received: float64 from -300"),
        (lambda x, y: (x * 2.0, y), r"pixels must be finite and in 0-255\. Received: float64 from 0"),
        (lambda x, y: (np.where(x > 9, np.nan, x), y), r"pixels must be finite and in 0-255"),
        (lambda x, y: (x / 255, y), r"look like 0-1: multiply them by 255"),
        (lambda x, y: (x, y[:-1]), r"labels must be 40 integers.*Received: shape \(39,\), int64"),
        (lambda x, y: (x, y * 1.0), r"labels must be 40 integers.*float64"),
        (lambda x, y: (x, keras.utils.to_categorical(y)), r"labels must be 40 integers.*shape \(40, 2\)"),
        (lambda x, y: (x, y - 1), r"labels must count from 0\. Received: -1"),
        (lambda x, y: (x, y * 0), r"only one class, '0': a classifier needs two or more"),
        (lambda x, y: (x, y * 2), r"class '1' has no usable image in train"),
        (lambda x, y: (x[:0], y[:0]), r"no images: a classifier needs two or more"),
        (lambda x, y: ([x[0], x[1, :4]] * 20, y), r"images must be"),
    ],
)
def test_arrays_that_cannot_be_used_say_why(change, message):
    with pytest.raises(DataError, match=message) as error:
        data.load(change(*some_arrays()))
    one_line(error)


def test_arrays_are_not_resized():
    with pytest.raises(DataError, match=r"arrays are used at their own size, \(8, 8, 3\): resize them before"):
        data.load(some_arrays(), image_size=16)


@pytest.mark.parametrize(("argument", "value"), [("image_size", 3), ("batch_size", 0)])
def test_an_argument_below_its_range_is_named(image_folder, argument, value):
    with pytest.raises(DataError, match=rf"{argument} must be .* Received: {argument}={value}"):
        data.load(image_folder, **{argument: value})


def test_digits_are_scikit_learns_scaled_to_bytes():
    from sklearn.datasets import load_digits

    loaded = data.load("digits", batch_size=100)
    assert (loaded.image_shape, loaded.class_names) == ((8, 8, 1), tuple("0123456789"))
    reference = load_digits()
    by_content = {
        (image * 255 / 16).round().astype("uint8").tobytes(): label
        for image, label in zip(reference.images, reference.target, strict=True)
    }
    assert sum(sum(counts) for counts in loaded.class_counts().values()) == 1797
    for images, labels in batches(loaded.test):
        assert [by_content[image.tobytes()] for image in images] == labels.tolist()


def idx_folder(root, classes=10, compress=True):
    """Four IDX files as MNIST's."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images, labels = (
            rng.integers(0, 256, (count, 5, 4)).astype("uint8"),
            (np.arange(count) % classes).astype("uint8"),
        )
        for kind, values in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            raw = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
            name = f"{prefix}-{kind}" + (".gz" if compress else "")
            (root / name).write_bytes(gzip.compress(raw) if compress else raw)
    return root, images, labels


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_are_read(tmp_path, compress):
    root, images, labels = idx_folder(tmp_path / "idx", compress=compress)
    loaded = data.load(root)
    assert loaded.class_counts()["test"] == [2] * 10
    ((found, found_labels),) = batches(loaded.test)
    np.testing.assert_array_equal(found[..., 0], images)
    np.testing.assert_array_equal(found_labels, labels)


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [("mnist", 10, "0"), ("fashion-mnist", 10, "t-shirt"), ("fashion-mnist", 3, "0")],
)
def test_idx_classes_are_named(tmp_path, name, classes, expected):
    names = data.load(idx_folder(tmp_path / name, classes)[0]).class_names
    assert names[0] == expected
    assert len(names) == classes


@pytest.mark.parametrize(
    "damage", ["missing", "cut off", "cut gzip", "bad gzip", "header alone", "other", "fewer labels"]
)
def test_a_damaged_idx_file_is_named(tmp_path, damage):
    root = idx_folder(tmp_path / "idx", compress="gzip" in damage)[0]
    path = next(root.glob("train-labels*"))
    raw = path.read_bytes()
    damaged = {
        "cut off": raw[:-3],
        "cut gzip": raw[:-12],
        "bad gzip": raw[:12] + bytes(255 - byte for byte in raw[12:40]) + raw[40:],
        "header alone": raw[:6],
        "other": b"\0\0\x0d\1" + raw[4:],
        "fewer labels": raw[:4] + struct.pack(">I", 57) + raw[8:-3],
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=r"idx") as error:
        data.load(root)
    assert "train" in one_line(error)


def test_a_file_of_arrays_says_the_way_out(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=np.zeros((4, 8, 8), "uint8"), y_train=np.arange(4))
    with pytest.raises(
        DataError, match=r"x\.npz: is a file of NumPy arrays: pack them, kerastricks\.data\.pack"
    ) as error:
        data.load(tmp_path / "x.npz")
    one_line(error)


@pytest.mark.parametrize("reason", ["URL fetch failure\n<html>", ""], ids=["with a reason", "without"])
def test_keras_datasets_without_a_network_say_the_way_out(monkeypatch, reason):
    def fail():
        raise OSError(reason)

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", fail)
    with pytest.raises(DataError, match=r"cifar100 could not be downloaded .*: kerastricks train PATH") as error:
        data.load("cifar100")
    one_line(error)


def test_keras_datasets_give_train_and_test(monkeypatch):
    x, y = some_arrays(60, (32, 32, 3))
    y = (np.arange(60) % 10)[:, None]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((x, y), (x[:10], y[:10])))
    loaded = data.load("cifar10")
    assert loaded.class_names[:2] == ("airplane", "automobile")
    np.testing.assert_array_equal(batches(loaded.test)[0][0], x[:10])
