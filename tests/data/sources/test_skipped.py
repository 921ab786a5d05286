"""Files that are no images are left out and recorded; too many of them stop the work."""

import importlib
import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import write_image
from PIL import Image

from kerastricks import data, models
from kerastricks.data.decoding.pixels import decode_all, decode_into_memory, why_refused, why_undecodable
from kerastricks.data.sources.source import Files
from kerastricks.errors import DataError
from kerastricks.progress import silent
from kerastricks.training import Config, fit

pytestmark = pytest.mark.tensorflow_only


def encoded(image_format, size=(24, 20), mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, image_format)
    return buffer.getvalue()


def truncated(image_format, size=(200, 150)):
    whole = encoded(image_format, size)
    return whole[: len(whole) * 3 // 4]


BAD = {
    "text.jpg": (b"<html>404 not found</html>", "not an image"),
    "empty.jpg": (b"", "empty file"),
    "cut.jpg": (truncated("JPEG"), "truncated or damaged"),
    "cut.png": (truncated("PNG"), "truncated or damaged"),
    "cut.gif": (truncated("GIF"), "truncated or damaged"),
    "cut.bmp": (truncated("BMP"), "truncated or damaged"),
    "cut.webp": (truncated("WEBP"), "damaged"),
    "scan.tif": (encoded("TIFF"), "TIFF is not supported: convert it to JPEG or PNG"),
    "bits.bmp": (encoded("BMP", mode="1"), "1-bit BMP is not supported: convert it to PNG"),
    "frame.webp": (encoded("WEBP")[:12] + b"VP8X" + bytes(30), "damaged"),
    "head.png": (encoded("PNG")[:20], "damaged header"),
}


@pytest.fixture(params=[1 << 30, 0], ids=["in memory", "streamed"], scope="module")
def with_every_kind(request, tmp_path_factory):
    """Two classes of twelve, and every kind of bad file in one of them."""
    root = tmp_path_factory.mktemp("bad")
    for index in range(12):
        write_image(root / "green" / f"{index}.png", (60, 180, 70), seed=index)
        write_image(root / "red" / f"{index}.png", (200, 50, 60), seed=index)
    for name, (contents, _) in BAD.items():
        (root / "green" / name).write_bytes(contents)
    return data.load(root, memory_bytes=request.param, max_skipped=0.5)


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_is_recorded(with_every_kind, name):
    (record,) = [record for record in with_every_kind.skipped if record["file"] == f"green/{name}"]
    assert (record["split"], record["class"]) == ("train", "green")
    assert BAD[name][1] in record["reason"]
    assert "\n" not in record["reason"]


def test_only_those_files_are_left_out(with_every_kind):
    assert len(with_every_kind.skipped) == len(BAD)
    assert np.sum(list(with_every_kind.class_counts().values())) == 24


class Held:
    """A reader of one file in memory."""

    path = "memory"

    def __init__(self, *attempts):
        self.attempts = list(attempts)

    def read(self, name):
        contents = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        if contents is None:
            raise FileNotFoundError(2, "No such file or directory", name)
        return contents


def held(*attempts, size=(20, 24)):
    return Files(["one.png"], np.zeros(1, np.int32), Held(*attempts), np.array([size]))


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.gif", "cut.bmp"])
def test_the_reason_is_what_the_decoder_says(name):
    reason = why_undecodable(held(BAD[name][0]), 0)
    assert "Graph execution error" not in reason
    assert "\n" not in reason


def test_a_file_that_pillow_reads_is_not_called_damaged():
    missing = encoded("PNG")[:-12]  # without its last chunk, which only some decoders want
    error = tf.errors.InvalidArgumentError(None, None, "the decoder's words")
    assert why_refused(missing, error) == (
        "a kind of PNG that is not supported (the decoder's words): save it again as PNG"
    )
    assert why_refused(encoded("PNG")[:60], error) == "truncated or damaged (the decoder's words)"


def test_pixels_that_are_not_of_the_headers_size_are_left_out_with_a_reason():
    lying = held(encoded("PNG"), size=(16, 48))
    assert not list(decode_all(lying, (8, 8, 3), "", silent))
    reason = why_undecodable(lying, 0, (8, 8, 3))
    assert reason == "its header has 48 x 16 pixels, and it has 24 x 20: save it again"


def test_what_is_decoded_at_the_second_attempt_only_is_named_and_nothing_is_run_again():
    assert "second attempt" in why_undecodable(held(encoded("PNG")), 0, (8, 8, 3))
    with pytest.raises(DataError, match=r"memory: one\.png: decoded at the second attempt only"):
        decode_into_memory(held(b"", encoded("PNG")), (8, 8, 3), 1 << 20, "", silent)


def test_a_file_that_vanishes_between_two_looks_is_the_one_that_is_named(image_folder, monkeypatch):
    from kerastricks.data.decoding import pixels

    decode = pixels.decode_all

    def vanish(files, *arguments):
        (image_folder / "red" / "05.jpg").unlink(missing_ok=True)
        return decode(files, *arguments)

    monkeypatch.setattr("kerastricks.data.decoding.pixels.decode_all", vanish)
    with pytest.raises(DataError, match=r"red/05\.jpg: can no longer be read"):
        data.load(image_folder)


def test_a_decompression_bomb_is_recorded(image_folder):
    write_image(image_folder / "red" / "large.png", (1, 2, 3), size=(40, 30))
    (record,) = data.load(image_folder, max_pixels=1199).skipped
    assert record["reason"] == "decompression bomb: 40 x 30 is more than 1199 pixels"
    assert not data.load(image_folder, max_pixels=1200).skipped


def test_max_pixels_may_be_above_pillows_own_limit(image_folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice that; the images have 480
    assert not data.load(image_folder, max_pixels=480).skipped


def test_a_damaged_member_of_a_zip_is_recorded(image_folder, tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(image_folder.rglob("*.jpg")):
            archive.write(file, file.relative_to(image_folder).as_posix())
        offset = archive.getinfo("green/03.jpg").header_offset
    raw = bytearray(path.read_bytes())
    raw[offset + 300] ^= 0xFF
    path.write_bytes(raw)
    (record,) = data.load(path).skipped
    assert record["file"] == "green/03.jpg"
    assert "CRC" in record["reason"]


def test_a_file_that_may_not_be_read_is_recorded(image_folder, monkeypatch):
    from kerastricks.data.sources.folder import FolderReader

    read = FolderReader.read

    def refuse(self, name):
        if name == "red/05.jpg":
            raise PermissionError(13, "Permission denied", name)
        return read(self, name)

    monkeypatch.setattr(FolderReader, "read", refuse)
    (record,) = data.load(image_folder).skipped
    assert record["file"] == "red/05.jpg"
    assert "Permission denied" in record["reason"]


def test_records_name_their_split(split_folder):
    (split_folder / "test" / "red" / "x.png").write_bytes(b"text")
    (split_folder / "train" / "blue" / "x.png").write_bytes(b"text")
    records = data.load(split_folder).skipped
    assert {(record["split"], record["file"]) for record in records} == {
        ("test", "test/red/x.png"),
        ("train", "train/blue/x.png"),
    }


def test_more_than_max_skipped_stops_and_names_the_first(image_folder):
    for index in range(4):
        (image_folder / "blue" / f"x{index}.jpg").write_bytes(b"text")  # 4 of 40
    with pytest.raises(DataError, match=r"4 of 40 files .* more than 9%.*blue/x0\.jpg \(not an image\)") as error:
        data.load(image_folder, max_skipped=0.09)
    assert "max_skipped" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_default_stops_above_five_percent(image_folder):
    for index in range(2):
        (image_folder / "blue" / f"x{index}.jpg").write_bytes(b"text")  # 2 of 38
    with pytest.raises(DataError, match="2 of 38 files cannot be used, more than 5%"):
        data.load(image_folder)


def test_exactly_max_skipped_passes(image_folder):
    for index in range(4):
        (image_folder / "blue" / f"x{index}.jpg").write_bytes(b"text")
    assert len(data.load(image_folder, max_skipped=0.1).skipped) == 4


OTHERS = ["Thumbs.db", "desktop.ini", "00.xml", "01.XML", "a.txt", "00.jpg.json", "x.npy", "film.mp4"]


def test_what_is_plainly_no_image_is_counted_by_kind_and_not_as_lost(image_folder):
    for name in OTHERS:
        (image_folder / "blue" / name).write_bytes(b"<annotation/>")
    loaded = data.load(image_folder, max_skipped=0)
    assert np.sum(list(loaded.class_counts().values())) == 36
    assert {record["file"] for record in loaded.skipped} == {f"blue/{name}" for name in OTHERS}
    (line,) = loaded.left_out()
    assert line == "not images: 1 *.json, 1 *.mp4, 1 *.npy, 1 *.txt, 2 *.xml, 1 Thumbs.db, 1 desktop.ini"


@pytest.mark.parametrize("name", ["x.jpg", "x.PNG", "x.jpg.part", "noextension", "x.unknown", "x.heic"])
def test_what_may_have_been_an_image_is_lost(image_folder, name):
    for index in range(30):
        (image_folder / "blue" / f"{index}.xml").write_bytes(b"<annotation/>")
    (image_folder / "blue" / name).write_bytes(b"text")
    with pytest.raises(
        DataError, match=rf"1 of 37 files cannot be used, more than 0%; the first is blue/{name} \(not an"
    ):
        data.load(image_folder, max_skipped=0)
    first, second = data.load(image_folder).left_out(", named there")
    assert first == "not images: 30 *.xml"
    assert second == f"1 file(s) left out, named there; the first: blue/{name}: not an image"


@pytest.mark.parametrize("name", ["odd", "odd.xml", "odd.0001", "Thumbs.db"])
def test_an_image_is_one_whatever_it_is_called(image_folder, name):
    (image_folder / "blue" / name).write_bytes((image_folder / "blue" / "00.jpg").read_bytes())
    loaded = data.load(image_folder)
    assert (np.sum(list(loaded.class_counts().values())), loaded.skipped) == (37, [])


def lose(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.unlink()
    if how == "a folder":
        path.mkdir()


LOST = {
    "gone": r"can no longer be read \(No such file or directory\)",
    "a folder": r"can no longer be read \(Is a directory\)",
    "cut": "changed since it was looked at",
}


@pytest.mark.parametrize("how", LOST)
def test_a_file_that_is_lost_while_images_are_streamed_is_named(image_folder, how):
    loaded = data.load(image_folder, augment="flip", batch_size=4, memory_bytes=0)
    name = loaded.files("validation")[0]
    for file in image_folder.rglob("*.jpg"):
        os.utime(file, (1e9, 1e9))
    lose(image_folder / name, how)
    with pytest.raises(DataError, match=f"{name}: {LOST[how]}: bring it back, or run it again") as error:
        list(loaded.splits["validation"].each())
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=f"{name}: {LOST[how]}"), loaded.one_error():
        list(loaded.validation)
    name = loaded.files("train")[3]
    lose(image_folder / name, how)
    with pytest.raises(DataError, match=LOST[how]), loaded.one_error():
        list(loaded.train)


def test_what_is_wrong_with_no_file_is_raised_as_it_is(image_folder):
    loaded = data.load(image_folder, memory_bytes=0)
    with pytest.raises(tf.errors.InvalidArgumentError), loaded.one_error():
        tf.reshape(tf.zeros([3]), [2])
    (image_folder / loaded.files("train")[0]).unlink()
    with pytest.raises(tf.errors.ResourceExhaustedError), loaded.one_error():
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


def test_training_on_a_file_that_is_cut_ends_in_its_name(image_folder):
    loaded = data.load(image_folder, augment="flip", batch_size=8, memory_bytes=0)
    model = models.create("plain_cnn(widths=(4,))", loaded.image_shape, 3)
    name = loaded.files("train")[0]
    lose(image_folder / name, "cut")
    with pytest.raises(DataError, match=f"{name}: changed since it was looked at"):
        fit(model, loaded, Config(epochs=1), progress_line=False)


@pytest.mark.parametrize("kind", ["zip", "shards"])
def test_an_archive_that_is_cut_while_it_is_streamed_names_the_image(image_folder, tmp_path, kind):
    if kind == "zip":
        path = cut = Path(shutil.make_archive(str(tmp_path / "z"), "zip", image_folder))
    else:
        data.pack(image_folder, tmp_path / "packed")
        path, cut = tmp_path / "packed", tmp_path / "packed" / "train-00000-of-00001.tfrecord"
    loaded = data.load(path, augment="", batch_size=4, memory_bytes=0)
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.raises(
        DataError, match=rf"{path}: \w+/\d\d\.jpg: can no longer be read \(.*\): bring it back"
    ) as error:
        [list(split.each()) for split in loaded.splits.values()]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("module", "function", "memory_bytes"),
    [("decoding.pixels", "decode_all", 1 << 30), ("statistics", "decode_all", 0), ("loading", "decode_into_memory", 0)],
)
def test_a_file_that_is_lost_between_two_looks_is_named(image_folder, monkeypatch, module, function, memory_bytes):
    module = importlib.import_module(f"kerastricks.data.{module}")
    real = getattr(module, function)

    def late(files, *arguments):
        (image_folder / files.names[1]).unlink(missing_ok=True)
        if function == "decode_into_memory":
            return real(files, arguments[0], 1 << 30, *arguments[2:])
        return real(files, *arguments)

    monkeypatch.setattr(module, function, late)
    augment = "random_resized_crop" if function == "decode_into_memory" else "flip"
    with pytest.raises(DataError, match=r"/\d\d.jpg: can no longer be read \(No such file or directory\)") as error:
        data.load(image_folder, augment=augment, memory_bytes=memory_bytes)
    assert "\n" not in str(error.value)


def test_a_file_that_is_lost_before_it_is_packed_is_named_and_leaves_nothing(image_folder, tmp_path, monkeypatch):
    module = importlib.import_module("kerastricks.data.sources.packing")
    real = module.read_source

    def late(*arguments, **options):
        found = real(*arguments, **options)
        lose(image_folder / "red" / "03.jpg", "cut")
        return found

    monkeypatch.setattr(module, "read_source", late)
    with pytest.raises(DataError, match=r"red/03\.jpg: changed since it was looked at"):
        data.pack(image_folder, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == [image_folder.name]


def test_a_class_without_a_usable_image_is_named(image_folder):
    for file in (image_folder / "green").iterdir():
        file.write_bytes(b"text")
    with pytest.raises(DataError, match=r"class 'green' has no usable image in train: add some or delete it"):
        data.load(image_folder, max_skipped=1.0)


def test_a_split_without_a_usable_image_is_named(split_folder):
    for file in (split_folder / "test").rglob("*.png"):
        file.write_bytes(b"text")
    with pytest.raises(DataError, match=r"test has no usable image: add some or delete the folder"):
        data.load(split_folder, max_skipped=1.0)


def test_what_is_left_out_does_not_disturb_the_others(image_folder, tmp_path):
    clean = tmp_path / "copy" / "colours"
    shutil.copytree(image_folder, clean)
    (image_folder / "green" / "05a.jpg").write_bytes(truncated("PNG", (24, 20)))
    first, second = data.load(image_folder), data.load(clean)
    for split in ("validation", "test"):
        for (images, labels), (others, other_labels) in zip(getattr(first, split), getattr(second, split), strict=True):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, other_labels)
    assert first.fingerprint != second.fingerprint
