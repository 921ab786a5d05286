"""Decoding and fitting against Pillow and NumPy."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from fuzz_decoders import (
    animated,
    gif_on_a_canvas,
    look,
    masked_bmp,
    mutants,
    png_with_text,
    rle_bmp,
    seeds,
    top_down_bmp,
)
from image_bytes import (
    HEIGHT,
    JPEG_LEVELS,
    WIDTH,
    decoded,
    encode,
    jpeg,
    largest_difference,
    noisy_pixels,
    over_white,
    pillow_rgb,
    smooth_pixels,
)
from PIL import Image

from kerastricks import data
from kerastricks.data import decode_image, fit_image
from kerastricks.data.decoding.decode import refuse_large, with_alpha_flag
from kerastricks.data.sources.headers import read_header

pytestmark = pytest.mark.tensorflow_only


# Pillow's decoder is libjpeg-turbo as TensorFlow's is: the accurate DCT and the smooth upsampling of colour are defined
# to the bit. The fast DCT would be off by up to 8 levels here.
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("progressive", [False, True])
def test_rgb_jpeg_is_pillows_to_the_bit(subsampling, quality, progressive):
    noise = np.random.default_rng(5).normal(0, 20, (2 * HEIGHT - 1, WIDTH + 3, 3))
    pixels = np.clip(smooth_pixels(2 * HEIGHT - 1, WIDTH + 3) + noise, 0, 255).astype("uint8")
    contents = encode(
        Image.fromarray(pixels), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
    )
    np.testing.assert_array_equal(decoded(contents), pillow_rgb(contents))


def test_grey_jpeg_becomes_three_equal_channels():
    contents = encode(Image.fromarray(smooth_pixels()[..., 0]), "JPEG", quality=95)
    result = decoded(contents)
    assert (result == result[..., :1]).all()
    np.testing.assert_array_equal(result, pillow_rgb(contents))


def test_cmyk_jpeg_agrees_with_pillow():
    contents = encode(Image.fromarray(smooth_pixels()).convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(contents)).mode == "CMYK"
    assert largest_difference(decoded(contents), pillow_rgb(contents)) <= JPEG_LEVELS


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "WEBP"])
def test_lossless_rgb_is_exact(image_format):
    options = {"lossless": True} if image_format == "WEBP" else {}
    pixels = noisy_pixels()
    np.testing.assert_array_equal(decoded(encode(Image.fromarray(pixels), image_format, **options)), pixels)


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_other_modes_agree_with_pillow(image_format, mode):
    contents = encode(Image.fromarray(smooth_pixels()).convert(mode), image_format)
    np.testing.assert_array_equal(decoded(contents), pillow_rgb(contents))


@pytest.mark.parametrize("colours", [2, 4, 16])
def test_png_with_a_small_palette_agrees_with_pillow(colours):
    contents = encode(Image.fromarray(smooth_pixels()).quantize(colours), "PNG")
    np.testing.assert_array_equal(decoded(contents), pillow_rgb(contents))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png_of_few_bits_agrees_with_pillow(bits):
    rows = (np.arange(64).reshape(4, 16) % 2**bits).astype("uint8")
    packed = np.packbits(np.unpackbits(rows[..., None], axis=2)[..., -bits:].reshape(4, -1), axis=1)
    raw = np.pad(packed, [(0, 0), (1, 0)]).tobytes()  # filter byte 0 before each row
    header = struct.pack(">IIBBBBB", 16, 4, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    contents = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    np.testing.assert_array_equal(decoded(contents), pillow_rgb(contents))


def test_gif_gives_its_first_frame():
    frames = [Image.fromarray(np.full((8, 8, 3), level, "uint8")) for level in (10, 200)]
    contents = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(contents)).n_frames == 2
    np.testing.assert_array_equal(decoded(contents), np.full((8, 8, 3), 10))


def test_16_bit_png_is_reduced_to_its_high_byte():
    deep = np.random.default_rng(0).integers(0, 65536, (12, 9)).astype("uint16")
    result = decoded(encode(Image.fromarray(deep), "PNG"))
    assert largest_difference(result, np.repeat((deep / 257.0)[..., None], 3, -1)) <= 1


def test_rgba_png_is_laid_over_white():
    rgba = noisy_pixels(4)
    assert largest_difference(decoded(encode(Image.fromarray(rgba), "PNG")), over_white(rgba)) <= 1


def test_grey_png_with_alpha_is_laid_over_white():
    grey_alpha = noisy_pixels(2)
    rgba = np.concatenate([np.repeat(grey_alpha[..., :1], 3, -1), grey_alpha[..., 1:]], -1)
    assert largest_difference(decoded(encode(Image.fromarray(grey_alpha), "PNG")), over_white(rgba)) <= 1


def test_palette_png_with_a_transparent_colour_is_laid_over_white():
    image = Image.fromarray(smooth_pixels()).convert("P")
    contents = encode(image, "PNG", transparency=image.getpixel((0, 0)))
    rgba = np.array(Image.open(io.BytesIO(contents)).convert("RGBA"))
    assert (rgba[..., 3] == 0).any()
    assert largest_difference(decoded(contents), over_white(rgba)) <= 1


def test_rgba_webp_is_laid_over_white():
    rgba = noisy_pixels(4)
    contents = encode(Image.fromarray(rgba), "WEBP", lossless=True, exact=True)
    assert largest_difference(decoded(contents), over_white(rgba)) <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animated_webp_gives_its_first_frame(mode):
    pixels = noisy_pixels(len(mode))
    others = [Image.fromarray(255 - pixels), Image.fromarray(pixels[::-1])]
    contents = encode(Image.fromarray(pixels), "WEBP", save_all=True, append_images=others, lossless=True, exact=True)
    assert contents[20] & 0x02
    expected = pixels if mode == "RGB" else over_white(pixels)
    assert largest_difference(decoded(contents), expected) <= (0 if mode == "RGB" else 1)
    assert read_header(contents, 10**6) == (HEIGHT, WIDTH, False)


def test_no_flags_of_a_webp_reach_the_decoder_that_writes_too_much():
    contents = animated("WEBP", lossless=True)
    for flags in range(0, 256, 2):
        flagged = contents[:20] + bytes([flags]) + contents[21:]
        safe = with_alpha_flag(flagged)
        assert safe[:20] + safe[21:] == contents[:20] + contents[21:]
        assert not safe[20] & 0x02 or safe[20] & 0x10
        try:
            result = decoded(flagged)
        except tf.errors.InvalidArgumentError:
            assert flags not in (0x02, 0x12)  # others promise chunks that are missing
        else:
            assert flags & 0x02
            np.testing.assert_array_equal(result, decoded(contents))


def test_a_still_webp_that_calls_itself_animated_is_refused():
    contents = bytearray(encode(Image.fromarray(noisy_pixels(4)), "WEBP", quality=80))
    assert contents[12:16] == b"VP8X"
    contents[20] = 0x02
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(bytes(contents))


def test_a_gif_has_the_size_of_its_canvas_and_its_frame_in_its_place():
    contents = gif_on_a_canvas(canvas=(48, 32), place=(5, 4))
    whole = gif_on_a_canvas(canvas=(24, 16), place=(0, 0))
    expected = np.zeros((32, 48, 3), "uint8")
    expected[4:20, 5:29] = pillow_rgb(whole)
    np.testing.assert_array_equal(decoded(contents), expected)
    assert read_header(contents, 10**6)[:2] == (32, 48)


def test_a_frame_enlarges_a_canvas_that_is_too_small():
    contents = gif_on_a_canvas(canvas=(4, 4), place=(2, 1))
    assert decoded(contents).shape == (17, 26, 3)
    assert read_header(contents, 10**6)[:2] == (17, 26)


def test_what_comes_after_a_gifs_first_frame_is_not_unpacked():
    contents = animated("GIF")
    np.testing.assert_array_equal(decoded(contents[:-40]), decoded(contents))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_a_bmp_agrees_with_pillow(mode):
    contents = encode(Image.fromarray(smooth_pixels()).convert(mode), "BMP")
    np.testing.assert_array_equal(decoded(contents), pillow_rgb(contents))
    np.testing.assert_array_equal(decoded(contents + bytes(2)), pillow_rgb(contents))  # as some programs write it
    assert read_header(contents, 10**6) == (HEIGHT, WIDTH, mode == "L")


@pytest.mark.parametrize("make", [top_down_bmp, masked_bmp])
def test_a_bmp_of_a_rare_kind_agrees_with_pillow(make):
    np.testing.assert_array_equal(decoded(make()), pillow_rgb(make()))


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (encode(Image.fromarray(smooth_pixels()).convert("1"), "BMP"), "1-bit BMP is not supported: convert it to PNG"),
        (rle_bmp(), "8-bit BMP with RLE is not supported: convert it to PNG"),
        (masked_bmp((0xFF, 0xFF00, 0xFF0000)), "32-bit BMP with bit masks is not supported: convert it to PNG"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC is not supported: convert it to JPEG or PNG"),
        (b"\xff\x0a" + bytes(40), "JPEG XL is not supported: convert it to JPEG or PNG"),
        (encode(Image.fromarray(smooth_pixels()), "TIFF"), "TIFF is not supported: convert it to JPEG or PNG"),
    ],
    ids=["1 bit", "RLE", "masks", "HEIC", "JPEG XL", "TIFF"],
)
def test_a_kind_that_is_not_supported_is_refused_alike_with_its_name(contents, reason):
    with pytest.raises(ValueError, match=reason):
        read_header(contents, 10**6)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(contents)


def test_a_jpeg_with_a_second_picture_is_a_jpeg():
    first, second = smooth_pixels(), smooth_pixels()[::-1]
    contents = encode(Image.fromarray(first), "MPO", save_all=True, append_images=[Image.fromarray(second)], quality=95)
    assert Image.open(io.BytesIO(contents)).format == "MPO"
    assert largest_difference(decoded(contents), pillow_rgb(contents)) <= JPEG_LEVELS
    assert read_header(contents, 10**6) == (HEIGHT, WIDTH, False)


def test_a_png_with_a_long_text_is_read():
    contents = png_with_text(2_000_000)
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(contents))
    assert decoded(contents).shape == (16, 24, 3)
    assert read_header(contents, 10**6)[:2] == (16, 24)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_bomb_is_refused_by_its_header(image_format):
    options = {"save_all": True, "append_images": [Image.new("RGB", (60, 50), 9)]} if image_format == "WEBP" else {}
    contents = tf.constant(encode(Image.new("RGB", (60, 50)), image_format, **options))
    assert refuse_large(contents, 3000) == contents
    with pytest.raises(tf.errors.InvalidArgumentError, match="decompression bomb: more than 2999 pixels"):
        refuse_large(contents, 2999)


@pytest.mark.parametrize("image_format", seeds())
def test_headers_and_pixels_of_damaged_files_agree(image_format):
    """`fuzz_decoders.py` as a script does it with 20,000 of each format, in processes of their own."""
    contents = [*seeds()[image_format], *mutants(image_format, 0, 150)]
    headers, sizes = look(contents)
    assert not [n for n, size in sizes.items() if size != tuple(headers.sizes[n])]
    assert len(headers.skipped) + len(sizes) <= len(contents)
    assert sizes or image_format == "tiff"


@pytest.mark.parametrize("contents", [b"", b"text", jpeg()[:600], b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_whole_image_raise_invalid_argument(contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(contents)


def test_grey_pixels_keep_their_value_as_luma():
    ramp = np.arange(256, dtype="uint8").reshape(16, 16)
    result = fit_image(tf.constant(np.repeat(ramp[..., None], 3, -1)), 16, 16, 1)
    np.testing.assert_array_equal(result[..., 0], ramp)


def test_colours_become_bt601_luma():
    pixels = noisy_pixels()
    result = fit_image(tf.constant(pixels), HEIGHT, WIDTH, 1).numpy()[..., 0]
    np.testing.assert_array_equal(result, np.round(pixels @ np.array([0.299, 0.587, 0.114])))


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "streamed"])
def test_load_sees_the_pixels_that_decode_gives(tmp_path, memory_bytes):
    photo = Image.fromarray(smooth_pixels())
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = {
        "cmyk.jpg": encode(photo.convert("CMYK"), "JPEG"),
        "grey.jpg": encode(photo.convert("L"), "JPEG"),
        "rgba.png": encode(Image.fromarray(noisy_pixels(4)), "PNG"),
        "turned.jpg": encode(photo, "JPEG", exif=exif),
    }
    for split in ("train", "val", "test"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for name, raw in contents.items():
                (tmp_path / split / label / name).write_bytes(raw)
    loaded = data.load(tmp_path, image_size=24, memory_bytes=memory_bytes)
    reference = [fit_image(decode_image(tf.constant(contents[name])), 24, 24, 3).numpy() for name in sorted(contents)]
    images, _ = next(iter(loaded.test))
    np.testing.assert_array_equal(images, reference * 2)


def test_a_jpeg_of_hundreds_of_scans_is_refused_alike():
    contents = encode(Image.fromarray(smooth_pixels()), "JPEG", progressive=True)
    last = contents[contents.rindex(b"\xff\xc4") : -2]  # a few bytes, and the time of the whole picture
    many = contents[:-2] + last * 500 + contents[-2:]
    assert decoded(many).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match="500 scans or more is not supported"):
        read_header(many, 10**6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="500 scans or more"):
        refuse_large(tf.constant(many))
    assert refuse_large(tf.constant(contents)) == contents


def test_a_gif_of_millions_of_extensions_is_refused_alike():
    contents = encode(Image.fromarray(smooth_pixels()).convert("P"), "GIF")
    palette = 13 + (3 << (contents[10] & 7) + 1)
    some, many = (contents[:palette] + b"\x21\xfe\1x\0" * count + contents[palette:] for count in (900, 1_000_000))
    np.testing.assert_array_equal(decoded(some), pillow_rgb(contents))
    assert read_header(some, 10**6)[:2] == (HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="more than 1000 extensions is not supported"):
        read_header(many, 10**6)
    started = time.perf_counter()
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(many)
    assert time.perf_counter() - started < 15  # minutes, if each were looked at
