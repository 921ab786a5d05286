"""Images of four kinds, what a cache of them has to hold, and what is in its folder."""

import numpy as np
import tensorflow as tf
from PIL import Image

from kerastricks.data import decode_image
from kerastricks.data.decoding.decode import to_luma
from kerastricks.data.decoding.decoded_cache import open_decoded
from kerastricks.data.sources.folder import FolderReader
from kerastricks.data.sources.headers import read_headers
from kerastricks.data.sources.source import Files
from kerastricks.progress import silent

PLENTY = 1 << 40
NAMES = ["a/upright.jpg", "a/turned.jpg", "b/picture.png", "b/grey.jpg"]
MEMORY = {"cache_dir": None, "memory_bytes": PLENTY}


def write_images(root):
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, (height, width) in zip(NAMES, [(40, 50), (30, 44), (33, 21), (28, 28)], strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3)).astype("uint8"))
        if name.endswith(".png"):
            image.save(root / name)
        elif "grey" in name:
            image.convert("L").save(root / name)
        else:
            options = {"exif": exif} if "turned" in name else {}
            image.save(root / name, subsampling="4:4:4", quality=80, **options)


def looked_at(root, names=NAMES):
    """Files as they are known after their headers were read, and their checksums."""
    found = Files(names, np.zeros(len(names), np.int32), FolderReader(root))
    headers = read_headers(found, 10**8, "", silent)
    return Files(found.names, found.labels, found.reader, headers.sizes), headers.checksums


def opened(images, cache_dir=None, channels=3, memory_bytes=0, cache_bytes=PLENTY, progress=silent):
    files, checksums = images
    return open_decoded(files, channels, cache_dir, memory_bytes, cache_bytes, progress, checksums)


def caches(folder):
    return sorted(folder.glob("*.decoded"))


def everything(folder):
    return sorted(path.name for path in folder.rglob("*"))


def decoded_pixels(images, channels=3):
    files, _ = images
    for name in files.names:
        image = decode_image(tf.constant(files.reader.read(name)))
        yield (image if channels == 3 else to_luma(image)).numpy()


def assert_holds(decoded, images, channels=3):
    flat = np.concatenate([image.reshape(-1) for image in decoded_pixels(images, channels)])
    np.testing.assert_array_equal(decoded.pixels, flat)
