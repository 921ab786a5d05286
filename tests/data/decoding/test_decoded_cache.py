"""Decoded images kept in memory or in a file: the same pixels, and nothing that is damaged or half-written."""

import errno
import gc
import os
import shutil
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from decoded_images import (
    MEMORY,
    NAMES,
    PLENTY,
    assert_holds,
    caches,
    decoded_pixels,
    everything,
    looked_at,
    opened,
    write_images,
)
from PIL import Image

from kerastricks.cache import DiskCache
from kerastricks.data.decoding import decoded_cache
from kerastricks.data.decoding.decode_crop import decode_crop
from kerastricks.data.decoding.decoded_cache import Decoded, open_decoded
from kerastricks.data.decoding.decoded_file import map_pixels
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.source import Files
from kerastricks.errors import DataError
from kerastricks.progress import silent

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images")
    return looked_at(tmp_path / "images")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A folder with the cache of `images`, which is the same wherever they are."""
    root = tmp_path_factory.mktemp("once")
    write_images(root / "images")
    opened(looked_at(root / "images"), root / "cache")
    return root / "cache"


@pytest.fixture
def cached(made_once, folder):
    """The path of a cache of `images` in `folder`."""
    shutil.copytree(made_once, folder)
    (path,) = caches(folder)
    return path


@contextmanager
def no_warning(recwarn):
    recwarn.clear()
    yield
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_crops_are_those_of_the_files(images, folder, channels, place, recwarn):
    files, _ = images
    with no_warning(recwarn):
        decoded = opened(images, **(MEMORY if place == "memory" else {"cache_dir": folder}), channels=channels)
    assert decoded.in_memory == (place == "memory")
    assert decoded.sizes.numpy().tolist() == [[40, 50], [44, 30], [33, 21], [28, 28]]
    assert_holds(decoded, images, channels)

    def window_of(height, width):
        return tf.stack([height // 5, width // 4, height // 2, width // 3])

    def large_window_of(height, width):
        return tf.stack([1, 0, height - 1, width])

    indices = tf.data.Dataset.range(4)
    for chosen, size in ((window_of, (16, 24)), (large_window_of, (9, 7))):  # enlarged; averaged
        crops = indices.map(
            lambda index, chosen=chosen, size=size: decoded.crop(index, chosen, *size), num_parallel_calls=2
        )
        assert crops.element_spec == tf.TensorSpec((*size, channels), tf.float32)
        for name, crop in zip(files.names, crops, strict=True):
            reference = decode_crop(tf.constant(files.reader.read(name)), chosen, *size, channels)
            np.testing.assert_array_equal(crop, reference)
    rounded = decoded.crop(2, window_of, 16, 24, rounded=True)
    assert rounded.dtype == tf.uint8
    assert np.abs(rounded.numpy() - decoded.crop(2, window_of, 16, 24)).max() <= 0.501


def test_pixels_of_another_decoder_are_not_taken(images, folder, monkeypatch):
    monkeypatch.setattr(decoded_cache, "DECODER", 1)
    opened(images, cache_dir=folder)
    monkeypatch.undo()
    opened(images, cache_dir=folder)
    assert len(caches(folder)) == 2


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_window_is_that_part_of_its_image(images, folder, place):
    decoded = opened(images, **(MEMORY if place == "memory" else {"cache_dir": folder}))
    generator = np.random.default_rng(1)
    for index, image in enumerate(decoded_pixels(images)):
        height, width = image.shape[:2]
        for _ in range(5):
            h, w = generator.integers(1, height + 1), generator.integers(1, width + 1)
            top, left = generator.integers(height - h + 1), generator.integers(width - w + 1)
            window = decoded.window(*(tf.constant(number, tf.int32) for number in (index, top, left, h, w)))
            np.testing.assert_array_equal(window, image[top : top + h, left : left + w])


def test_some_of_the_images_share_the_pixels(images):
    decoded = opened(images, **MEMORY)
    some = decoded.take(np.array([2, 0]))
    assert some.pixels is decoded.pixels
    for index, original in enumerate([2, 0]):
        height, width = decoded.sizes[original].numpy()
        np.testing.assert_array_equal(
            some.window(index, 1, 2, height - 1, width - 2), decoded.window(original, 1, 2, height - 1, width - 2)
        )


@pytest.mark.parametrize("window", [(1, 0, 40, 50), (0, 1, 40, 50), (-1, 0, 8, 8), (0, -1, 8, 8)])
@pytest.mark.parametrize("graph", [False, True])
def test_a_window_outside_of_its_image_raises(images, window, graph):
    decoded = opened(images, **MEMORY)
    call = tf.function(decoded.window, autograph=False) if graph else decoded.window
    for index in (0, 3):  # between others, and at the end of all
        size = decoded.sizes[index]
        inside = [index, 0, 0, *size.numpy().tolist()]
        outside = [index, *window[:2], *(size if window[2] == 40 else window[2:])]
        call(*(tf.constant(number, tf.int32) for number in inside))
        with pytest.raises(tf.errors.InvalidArgumentError):
            call(*(tf.constant(number, tf.int32) for number in outside))


def test_images_behind_more_bytes_than_32_bits_can_count(tmp_path):
    sizes = np.array([[40_000, 40_000], [4, 5]])
    small = np.arange(60, dtype="uint8").reshape(4, 5, 3)
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(40_000**2 * 3)
        file.write(small)
    decoded = Decoded.of(map_pixels(tmp_path / "sparse", 40_000**2 * 3 + 60), sizes, 3, in_memory=False)
    np.testing.assert_array_equal(decoded.window(1, 1, 2, 3, 2), small[1:4, 2:4])
    assert not decoded.window(0, 39_990, 39_990, 10, 10).numpy().any()


class Unreadable:
    path = Path("nowhere")

    def read(self, name):
        raise AssertionError("was read")


def test_what_fits_nowhere_is_not_decoded(images, folder):
    files, checksums = images
    total = int(files.sizes.prod(1).sum()) * 3
    unread = Files(files.names, files.labels, Unreadable(), files.sizes), checksums
    assert opened(unread, memory_bytes=total - 1) is None
    with pytest.warns(
        UserWarning, match=r"cache: no cache of decoded images, 0\.00 GB are needed and the limit leaves"
    ):
        assert opened(unread, folder, memory_bytes=total - 1, cache_bytes=total) is None
    assert everything(folder) == []
    assert opened(images, memory_bytes=total).in_memory


def test_sizes_and_checksums_are_read_where_they_are_not_known(images, folder):
    files, _ = images
    bare = Files(files.names, files.labels, files.reader)
    first = open_decoded(bare, 3, folder, 0, PLENTY, silent)
    assert_holds(first, images)
    assert_holds(open_decoded(bare, 3, None, PLENTY, 0, silent), images)
    opened(images, folder)
    assert len(caches(folder)) == 1


def test_the_second_time_nothing_is_decoded(images, folder, cached, monkeypatch, recwarn):
    monkeypatch.setattr("kerastricks.data.decoding.decoded_cache.decode_originals", None)
    files, checksums = images
    relabelled = Files(files.names, files.labels + 1, files.reader, files.sizes), checksums
    with no_warning(recwarn):
        assert_holds(opened(relabelled, folder), images)
    assert everything(folder) == [cached.name]


def test_other_contents_names_order_and_channels_have_other_caches(images, folder, cached, tmp_path):
    opened(images, folder, channels=1)
    opened(looked_at(tmp_path / "images", NAMES[::-1]), folder)
    (tmp_path / "images" / NAMES[2]).rename(tmp_path / "images" / "b" / "renamed.png")
    opened(looked_at(tmp_path / "images", [*NAMES[:2], "b/renamed.png", NAMES[3]]), folder)
    Image.new("RGB", (21, 33)).save(tmp_path / "images" / NAMES[2])
    changed = looked_at(tmp_path / "images")
    assert_holds(opened(changed, folder), changed)
    assert len(caches(folder)) == 5
    shutil.copytree(tmp_path / "images", tmp_path / "elsewhere")
    opened(looked_at(tmp_path / "elsewhere"), folder)
    assert len(caches(folder)) == 5


def flipped(place):
    def damage(path):
        contents = bytearray(path.read_bytes())
        contents[place] ^= 1
        path.write_bytes(contents)

    return damage


PIXELS = 40 * 50 * 3
DAMAGES = {
    "a pixel": (flipped(PIXELS + 7), r"checksum mismatch in image a/turned\.jpg"),
    "the first pixel": (flipped(0), r"checksum mismatch in image a/upright\.jpg"),
    "the index": (flipped(-70), "checksum mismatch in its index"),
    "the end": (flipped(-1), "checksum mismatch in its index"),
    "the version": (flipped(-28), "version 0 of the format, and 1 is known"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "it is cut off"),
    "empty": (lambda path: path.write_bytes(b""), "it is cut off"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_named_and_made_again(images, folder, cached, damage, recwarn):
    spoil, message = DAMAGES[damage]
    spoil(cached)
    expected = rf"{cached.name}: damaged cache of decoded images \({message}\): it is made again"
    with pytest.warns(UserWarning, match=expected):
        assert_holds(opened(images, folder), images)
    with no_warning(recwarn):
        assert_holds(opened(images, folder), images)
    assert caches(folder) == [cached]


def test_a_cache_under_the_name_of_another_is_made_again(images, folder, cached, tmp_path):
    others = tmp_path / "others"
    shutil.copytree(tmp_path / "images" / "b", tmp_path / "images" / "c")
    opened(looked_at(tmp_path / "images", [name.replace("b/", "c/") for name in NAMES]), others)
    os.replace(caches(others)[0], cached)
    with pytest.warns(UserWarning, match="it holds other images"):
        assert_holds(opened(images, folder), images)


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), r"turned\.jpg: truncated or damaged .*, and was not"),
        (lambda path: Image.new("RGB", (44, 31)).save(path), r"turned\.jpg: changed since it was looked at"),
        (lambda path: path.unlink(), r"turned\.jpg: can no longer be read"),
    ],
    ids=["truncated", "other size", "gone"],
)
def test_a_file_that_has_changed_is_named(images, folder, place, change, message):
    files, _ = images
    change(files.reader.path / NAMES[1])
    with pytest.raises(DataError, match=message) as error:
        opened(images, **(MEMORY if place == "memory" else {"cache_dir": folder}))
    assert "\n" not in str(error.value)
    assert not folder.exists() or everything(folder) == []


def test_a_file_with_new_pixels_of_the_same_size_is_named(images, folder):
    files, _ = images
    Image.new("RGB", (21, 33)).save(files.reader.path / NAMES[2])
    with pytest.raises(DataError, match=r"picture\.png: changed since it was looked at"):
        opened(images, folder)


def test_a_file_of_another_size_is_named_without_checksums_too(images):
    files, _ = images
    assert files.checksums is None
    Image.new("RGB", (21, 34)).save(files.reader.path / NAMES[2])
    with pytest.raises(DataError, match=r"picture\.png: changed since it was looked at"):
        open_decoded(files, 3, None, PLENTY, 0, silent)


def test_a_file_that_is_no_image_is_named_where_it_is_looked_at(images):
    files, _ = images
    (files.reader.path / NAMES[2]).write_text("text")
    with pytest.raises(DataError, match=r"picture\.png: cannot be used \(not an image\): mend or remove it"):
        open_decoded(Files(files.names, files.labels, files.reader), 3, None, PLENTY, 0, silent)


def test_the_longest_unused_make_room_but_none_that_is_in_use(images, folder, cached):
    size = cached.stat().st_size
    kept = opened(images, folder).take(np.array([2, 0]))
    for age, name in enumerate(["held", "newer", "older"]):
        shutil.copy(cached, folder / f"{name}.decoded")
        os.utime(folder / f"{name}.decoded", (1e9 - age, 1e9 - age))
    os.utime(cached, (0, 0))  # as if it had not been used for longest
    cache = DiskCache(folder, 5 * size, ".decoded")
    user = FolderReader(folder)  # anything
    cache.hold("held", user)
    os.utime(folder / "held.decoded", (1, 1))

    def left():
        return {path.stem for path in caches(folder)} - {cached.stem}

    assert cache.make_room(size) is None
    assert left() == {"held", "newer", "older"}
    assert cache.make_room(size + 1) is None
    assert left() == {"held", "newer"}
    assert "the limit leaves" in cache.make_room(3 * size + 1)
    assert left() == {"held", "newer"}
    assert cache.make_room(3 * size) is None
    assert left() == {"held"}
    del user
    assert cache.make_room(4 * size) is None
    assert left() == set()
    del kept
    gc.collect()
    assert cache.make_room(5 * size) is None
    assert caches(folder) == []


def test_opening_a_cache_is_using_it(images, folder, cached):
    os.utime(cached, (0, 0))
    opened(images, folder)
    assert cached.stat().st_mtime > 1e9


def test_pixels_stay_when_their_file_is_replaced_or_removed(images, folder, cached):
    decoded = opened(images, folder)
    (folder / "new").write_bytes(b"other")
    os.replace(folder / "new", cached)
    assert_holds(decoded, images)
    cached.unlink()
    assert_holds(decoded, images)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("what", ["fsync", "write", "disk_usage", "no folder"])
def test_without_room_training_goes_on_without_a_cache(images, folder, monkeypatch, what):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    message = "the disk is full"
    if what == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif what == "write":
        monkeypatch.setattr("kerastricks.data.decoding.decoded_cache.write_decoded", full)
    elif what == "disk_usage":
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 0))
        message = r"0\.00 GB are needed and the disk has 0\.00 GB"
    else:
        folder.write_text("in the way")
        message = "File exists"
    with pytest.warns(UserWarning, match=rf"cache: no cache of decoded images, {message}: each is decoded") as warned:
        assert opened(images, folder) is None
    assert "\n" not in str(warned[0].message)
    assert what == "no folder" or everything(folder) == []


def test_ctrl_c_leaves_nothing(images, folder):
    seen = []

    @contextmanager
    def progress(description, total):
        def advance(done):
            seen.append(everything(folder))
            if len(seen) == 3:
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        opened(images, folder, progress=progress)
    assert [len(names) for names in seen] == [1, 1, 1]
    assert everything(folder) == []
