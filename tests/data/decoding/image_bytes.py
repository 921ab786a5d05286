"""Images and their files, made in memory."""

import io
import struct

import numpy as np
import tensorflow as tf
from PIL import Image

from kerastricks.data import decode_image

HEIGHT, WIDTH = 40, 56
JPEG_LEVELS = 0  # libjpeg-turbo is what both have
ORDERS = {"big": ">", "little": "<"}


def smooth_pixels(height=HEIGHT, width=WIDTH):
    """Red grows to the right, green downwards, without edges: every orientation looks different."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 250 - 2 * (x + y)], -1).astype("uint8")


def noisy_pixels(channels=3):
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, channels)).astype("uint8")


def encode(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def decoded(contents):
    return decode_image(tf.constant(contents)).numpy()


def pillow_rgb(contents):
    return np.array(Image.open(io.BytesIO(contents)).convert("RGB"))


def over_white(rgba):
    alpha = rgba[..., 3:].astype(float) / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def largest_difference(result, reference):
    assert result.shape == reference.shape
    return np.abs(result.astype(float) - reference.astype(float)).max()


def tiff(orientation, order, long=False):
    mark = ORDERS[order]
    header = {"big": b"MM", "little": b"II"}[order] + struct.pack(f"{mark}HI", 42, 8)
    # Two entries, so that the orientation is not simply the first: 0x010F (maker) and 0x0112.
    maker = struct.pack(f"{mark}HHI4s", 0x010F, 2, 4, b"abc\0")
    value = struct.pack(f"{mark}HHII" if long else f"{mark}HHIHH", 0x112, 4 if long else 3, 1, orientation, *[0][long:])
    return header + struct.pack(f"{mark}H", 2) + maker + value + bytes(4)


def app1(orientation, order, long=False):
    return segment(b"Exif\0\0" + tiff(orientation, order, long))


def segment(payload, marker=0xE1):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg():
    return encode(Image.fromarray(smooth_pixels()), "JPEG", quality=95)
