"""Windows of files against slices of the decoded image, and the resizing against its formula."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from fuzz_decoders import crops, look, mutants, seeds
from PIL import Image

from kerastricks.data import decode_image
from kerastricks.data.decoding.decode import to_luma
from kerastricks.data.decoding.decode_crop import decode_crop, resize_window
from kerastricks.data.decoding.exif import exif_orientation, is_upright_jpeg

pytestmark = pytest.mark.tensorflow_only

HEIGHT, WIDTH = 70, 91
EDGE_LEVELS = 12  # of colour that changes by at most 6 levels a pixel


def pixels(channels=3):
    """Smooth, with another slope in each channel, so that every orientation and channel looks different."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 2, y * 3, 250 - x - y, 255 - x][:channels], -1).astype("uint8")


def encode(image, image_format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo(mode="RGB", **options):
    return encode(Image.fromarray(pixels()).convert(mode), quality=92, **options)


def turned(orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return photo(exif=exif, **options)


def with_comment(**options):
    plain = photo(**options)
    return plain[:20] + b"\xff\xfe" + struct.pack(">H", 11) + b"a comment" + plain[20:]


def random_windows(height, width, count=8):
    generator = np.random.default_rng(3)
    for _ in range(count):
        h, w = int(generator.integers(1, height + 1)), int(generator.integers(1, width + 1))
        yield int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1)), h, w


def cropped(contents, window, channels=3, **options):
    """At the window's own size, where resizing changes nothing."""
    return decode_crop(tf.constant(contents), lambda height, width: window, *window[2:], channels, **options).numpy()


def part(image, window):
    top, left, height, width = window
    return np.asarray(image)[top : top + height, left : left + width]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize(("mode", "progressive"), [("RGB", False), ("RGB", True), ("CMYK", False)])
def test_a_window_of_a_jpeg_is_that_part_of_the_decoded_image(subsampling, mode, progressive):
    contents = photo(mode, subsampling=subsampling, progressive=progressive)
    whole = decode_image(tf.constant(contents))
    for window in random_windows(HEIGHT, WIDTH):
        result, reference = cropped(contents, window), part(whole, window)
        np.testing.assert_array_equal(result[:, 1:-1], reference[:, 1:-1])
        # Colour of half the resolution is interpolated from columns that are outside.
        np.testing.assert_allclose(result, reference, rtol=0, atol=0 if subsampling == "4:4:4" else EDGE_LEVELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_window_of_a_turned_jpeg_is_of_the_upright_image(orientation):
    contents = turned(orientation, subsampling="4:4:4")
    whole = decode_image(tf.constant(contents))
    assert whole.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    for window in random_windows(*whole.shape[:2], count=3):
        np.testing.assert_array_equal(cropped(contents, window), part(whole, window))


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "WEBP", "GIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_of_another_format_is_that_part_of_the_decoded_image(image_format, channels):
    contents = encode(Image.fromarray(pixels()), image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    whole = decode_image(tf.constant(contents))
    if image_format != "GIF":
        np.testing.assert_array_equal(whole, pixels())
    for window in random_windows(HEIGHT, WIDTH, count=3):
        reference = part(whole if channels == 3 else to_luma(whole), window)
        np.testing.assert_array_equal(cropped(contents, window, channels), reference)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_luma_are_those_of_the_decoded_image(mode, channels):
    contents = photo(mode) if mode == "L" else photo(mode, subsampling="4:4:4")
    whole = decode_image(tf.constant(contents))
    for window in random_windows(HEIGHT, WIDTH, count=3):
        reference = part(whole if channels == 3 else to_luma(whole), window)
        np.testing.assert_array_equal(cropped(contents, window, channels), reference)


def test_the_window_is_chosen_by_the_upright_size():
    sizes = []

    def window_of(height, width):
        sizes.append((int(height), int(width)))
        return [0, 0, height, width]

    for contents in (photo(), turned(6), encode(Image.fromarray(pixels()), "PNG")):
        decode_crop(tf.constant(contents), window_of, 8, 8, 3)
    assert sizes == [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (HEIGHT, WIDTH)]


def bilinear(image, height, width):
    """A triangle about each new pixel's centre, one old pixel wide on each side, or one new where that is more."""

    def weights(size, new):
        distance = np.abs(np.arange(size) + 0.5 - (np.arange(new)[:, None] + 0.5) * size / new)
        triangle = np.maximum(0, 1 - distance / max(size / new, 1))
        return triangle / triangle.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("ij,jkc,lk->ilc", rows, image.astype(float), columns)


@pytest.mark.parametrize(
    "size",
    [(5, 7), (20, 31), (150, 140), (20, 140), (61, 49), (60, 50)],
    ids=["far smaller", "smaller", "larger", "lower and wider", "higher and narrower", "equal"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_bilinear_and_averages_where_it_shrinks(size, channels):
    image = np.random.default_rng(0).integers(0, 256, (60, 50, channels)).astype("uint8")
    reference = bilinear(image, *size)
    result = resize_window(tf.constant(image), *size)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, reference, rtol=0, atol=1e-3)
    rounded = resize_window(tf.constant(image), *size, rounded=True)
    assert rounded.dtype == tf.uint8
    assert np.abs(rounded.numpy() - reference).max() <= 0.501


def test_stripes_finer_than_the_result_become_their_mean():
    stripes = np.tile(np.uint8([0, 255]), (90, 45))[..., None].repeat(3, -1)
    for image in (stripes, stripes.transpose(1, 0, 2)):
        contents = tf.constant(encode(Image.fromarray(image), "PNG"))
        result = decode_crop(contents, lambda height, width: (0, 0, 90, 90), 12, 12, 3)
        np.testing.assert_allclose(result[1:-1, 1:-1], 127.5, atol=3)


def test_the_window_is_resized():
    window = (10, 20, 30, 40)
    contents = photo(subsampling="4:4:4")
    result = decode_crop(tf.constant(contents), lambda height, width: window, 24, 32, 3)
    reference = bilinear(part(decode_image(tf.constant(contents)), window), 24, 32)
    np.testing.assert_allclose(result, reference, rtol=0, atol=1e-3)


@pytest.mark.parametrize("upright_jpeg", [None, False, True, "tensor"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_data_set_gives_the_same_as_a_call(upright_jpeg, channels):
    exact = {"subsampling": "4:4:4"}  # without the difference in the first and last column
    contents = [photo(**exact), with_comment(**exact), turned(1, **exact)]
    windows = list(random_windows(HEIGHT, WIDTH, count=3))
    if upright_jpeg is not True:
        contents += [turned(8, **exact), encode(Image.fromarray(pixels()), "PNG"), photo("L")]
        windows += random_windows(WIDTH, WIDTH, count=1)
        windows += random_windows(HEIGHT, WIDTH, count=2)
        windows[3] = (5, 3, 60, 50)

    def crop(contents, window, is_upright):
        flag = is_upright if upright_jpeg == "tensor" else upright_jpeg
        return decode_crop(contents, lambda *size: window, 16, 20, channels, flag)

    flags = [is_upright_jpeg(raw) for raw in contents]
    dataset = tf.data.Dataset.from_tensor_slices((contents, windows, flags)).map(crop, num_parallel_calls=2)
    assert dataset.element_spec == tf.TensorSpec((16, 20, channels), tf.float32)
    for result, raw, window in zip(dataset, contents, windows, strict=True):
        np.testing.assert_array_equal(
            result, decode_crop(tf.constant(raw), lambda *size, window=window: window, 16, 20, channels)
        )


@pytest.mark.parametrize("upright_jpeg", [None, True])
@pytest.mark.parametrize("contents", [b"", b"text", photo()[:300], photo()[:-400]])
def test_what_is_no_whole_image_raises_as_decoding_does(contents, upright_jpeg):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(contents))
    with pytest.raises(tf.errors.InvalidArgumentError):
        cropped(contents, (HEIGHT - 2, 0, 2, 10), upright_jpeg=upright_jpeg)


def test_damaged_files_that_are_read_give_their_windows():
    """`fuzz_decoders.py` as a script does it with more files of every format, in processes of their own."""
    contents = [one for kind in ("jpeg", "mpo", "png", "gif") for one in (*seeds()[kind], *mutants(kind, 0, 40))]
    headers, sizes = look(contents)
    assert len(contents) / 4 < len(sizes) < len(contents)
    assert set(sizes) <= crops(contents, headers, changed=False)


@pytest.mark.parametrize("window", [(1, 0, HEIGHT, WIDTH), (0, 1, HEIGHT, WIDTH), (-1, 0, 8, 8), (0, -1, 8, 8)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_a_window_outside_of_the_image_raises(window, image_format):
    with pytest.raises(tf.errors.InvalidArgumentError):
        cropped(encode(Image.fromarray(pixels()), image_format), window)


def test_upright_jpegs_are_told_from_all_others():
    upright = [photo(), photo("L"), photo("CMYK"), with_comment(), turned(1), turned(1)[:200]]
    others = [turned(n) for n in range(2, 9)] + [encode(Image.fromarray(pixels()), "PNG"), b"", b"\xff"]
    assert [is_upright_jpeg(contents) for contents in upright + others] == [True] * 6 + [False] * 10


def test_orientation_is_0_for_what_is_no_jpeg():
    contents = [photo(), turned(3), turned(8), encode(Image.fromarray(pixels()), "PNG"), b"", b"\xff\xd8"]
    assert [int(exif_orientation(tf.constant(raw))) for raw in contents] == [1, 3, 8, 0, 0, 1]
