"""How whole images become images of one size, and that every part of the house does it alike."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerastricks import data
from kerastricks.data import Fitting, decode_image, fit_image
from kerastricks.data.sources.source import Files
from kerastricks.errors import DataError

pytestmark = pytest.mark.tensorflow_only

CUT = Fitting(crop_fraction=0.6, interpolation="bicubic")


def noise(height, width, low=0, high=256):
    return np.random.default_rng(height * 1000 + width).integers(low, high, (height, width, 3)).astype("uint8")


@pytest.fixture
def photos(tmp_path):
    """Two classes of ten noisy images, none of them square."""
    for index in range(20):
        path = tmp_path / "photos" / ("cat", "dog")[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(40 + index, 50)).save(path)
    return tmp_path / "photos"


def fitted(folder, name, fitting, size):
    contents = tf.constant((folder / name).read_bytes())
    return fit_image(decode_image(contents), size, size, 3, fitting).numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_fraction", [1.0, 0.875, 0.5])
@pytest.mark.parametrize("size", [(150, 200), (300, 211), (40, 52)])
def test_it_is_pillows_resize_of_the_centred_box(size, crop_fraction, interpolation):
    # Pillow rounds and clips between its two passes: so no values near 0 and 255, where bicubic overshoots.
    pixels = noise(*size, 80, 176)
    scale = min(size[0] / 56, size[1] / 48) * crop_fraction
    box = round(56 * scale), round(48 * scale)
    top, left = (size[0] - box[0]) // 2, (size[1] - box[1]) // 2
    cut = Image.fromarray(pixels).crop((left, top, left + box[1], top + box[0]))
    expected = np.asarray(cut.resize((48, 56), getattr(Image.Resampling, interpolation.upper())), int)
    found = fit_image(tf.constant(pixels), 56, 48, 3, Fitting(crop_fraction, interpolation)).numpy()
    assert np.abs(found - expected).max() <= 1


def test_bicubic_is_not_bilinear():
    pixels = tf.constant(noise(90, 90))
    found = [fit_image(pixels, 40, 40, 3, Fitting(1.0, kind)).numpy().astype(int) for kind in ("bilinear", "bicubic")]
    assert np.abs(found[0] - found[1]).max() > 5


def test_an_image_of_the_right_size_is_cut_only_where_a_part_is_asked_for():
    pixels = noise(24, 24)
    np.testing.assert_array_equal(fit_image(tf.constant(pixels), 24, 24, 3, Fitting(1.0, "bicubic")), pixels)
    cut = fit_image(tf.constant(pixels), 24, 24, 3, Fitting(0.5)).numpy()
    np.testing.assert_array_equal(cut, fit_image(tf.constant(pixels[6:18, 6:18]), 24, 24, 3))


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_all_whole_images_of_a_load_are_fitted_alike(photos, memory_bytes):
    loaded = data.load(
        photos,
        image_size=16,
        crop_fraction=CUT.crop_fraction,
        interpolation=CUT.interpolation,
        memory_bytes=memory_bytes,
        batch_size=4,
        validation=0.2,
        test=0.2,
    )
    assert loaded.fitting == CUT
    for split in ("validation", "test"):
        found = np.concatenate([images.numpy() for images, _ in getattr(loaded, split)])
        expected = [fitted(photos, name, CUT, 16) for name in loaded.files(split)]
        np.testing.assert_array_equal(found, expected)
    train = np.stack([fitted(photos, name, CUT, 16) for name in loaded.files("train")])
    np.testing.assert_allclose(loaded.mean, train.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(loaded.sample(), train)
    batches = np.concatenate([images.numpy() for images, _ in loaded.train])
    assert {image.tobytes() for image in batches} == {image.tobytes() for image in train}
    few = loaded.limited(5)
    np.testing.assert_array_equal(few.sample(), [fitted(photos, name, CUT, 16) for name in few.files("train")])


def test_shards_are_fitted_as_the_files_they_were_made_of(photos, tmp_path):
    options = {"image_size": 16, "crop_fraction": 0.6, "interpolation": "bicubic"}
    packed = data.pack(photos, tmp_path / "packed")["path"]
    first, second = (data.load(source, **options) for source in (photos, packed))
    np.testing.assert_array_equal(first.sample(), second.sample())


def test_a_leading_crop_of_the_originals_is_not_touched(photos):
    whole, cut = (
        data.load(photos, augment="random_resized_crop(0.3)", image_size=16, crop_fraction=fraction, batch_size=16)
        for fraction in (1.0, 0.5)
    )
    for (images, _), (others, _) in zip(whole.train, cut.train, strict=True):
        np.testing.assert_array_equal(images, others)
    assert not np.array_equal(whole.sample(), cut.sample())


def test_originals_of_the_right_size_are_kept_for_the_crop(tmp_path):
    framed = np.full((16, 16, 3), 255, "uint8")
    framed[3:13, 3:13] = 0
    for index in range(12):
        path = tmp_path / "framed" / ("a", "b")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(framed).save(path)
    loaded = data.load(tmp_path / "framed", augment="random_resized_crop(0.9)", crop_fraction=0.5, batch_size=8)
    assert isinstance(loaded.splits["train"].examples, Files)
    assert max(images.numpy().max() for images, _ in loaded.train) == 255
    assert max(images.numpy().max() for images, _ in loaded.test) == 0


@pytest.mark.parametrize("fields", [{"crop_fraction": 0.0}, {"crop_fraction": 1.1}, {"interpolation": "nearest"}])
def test_values_outside_their_range_are_refused(fields, photos):
    for attempt in (lambda: Fitting(**fields), lambda: data.load(photos, **fields)):
        with pytest.raises(DataError, match=rf"^{next(iter(fields))} must be .* Received: {next(iter(fields))}="):
            attempt()


def test_arrays_are_used_whole():
    x, y = np.zeros((40, 8, 8, 3), "uint8"), np.arange(40) % 2
    with pytest.raises(DataError, match=r"crop_fraction is for files\. Received: crop_fraction=0.5"):
        data.load((x, y), crop_fraction=0.5)


def test_names_of_files_are_kept_with_decoded_images(photos):
    kept, streamed = (data.load(photos, memory_bytes=memory_bytes) for memory_bytes in (1 << 30, 0))
    for split in ("train", "validation", "test"):
        assert kept.files(split) == streamed.files(split)
        classes = [kept.class_names[label] for label in kept.labels(split)]
        assert [name.split("/")[0] for name in kept.files(split)] == classes


def test_arrays_have_their_rows_for_names():
    x, y = np.arange(40, dtype="uint8")[:, None, None] * np.ones((1, 8, 8), "uint8"), np.arange(40) % 2
    loaded = data.load((x, y))
    for split in ("train", "validation", "test"):
        pixels = loaded.splits[split].examples.images[:, 0, 0, 0]
        assert loaded.files(split) == [str(value) for value in pixels]
