"""Damaged and hostile images for every decoder.

As a script: 20,000 mutants of each format go through `data.load`'s two looks, the random windows of a training, the
`serving_default` of a SavedModel and `predict`, in processes of their own. A crash, a hang, another size than the
header's or a path that reads what another one refuses is printed with the mutant's number.

    python tests/data/decoding/fuzz_decoders.py [--count 20000] [--formats jpeg,png] [--paths crop,predict]
"""

import argparse
import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS_WITHOUT_PROGRESS = 300
CHUNK = 1000
PATHS = ("crop", "served", "predict")  # what `data.load` does comes before all of them
SHAPE = (8, 8, 3)
MAX_PIXELS = 2_000_000  # below the default, which takes seconds and gigabytes for each damaged size below it


def picture(mode="RGB", size=(24, 16), seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 4)).astype("uint8")
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def animated(image_format, mode="RGB", **options):
    frames = [picture(mode, seed=seed) for seed in range(3)]
    return encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def png_with_text(size):
    png = encoded(picture(), "PNG")
    return png[:33] + png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(size))) + png[33:]


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif_on_a_canvas(canvas=(48, 32), place=(5, 4)):
    """A picture of 24 x 16 that does not fill its canvas."""
    gif = bytearray(encoded(picture("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", *canvas)
    start = gif.index(b"\x2c", 13 + 3 * 2 ** ((gif[10] & 7) + 1))
    gif[start + 1 : start + 5] = struct.pack("<HH", *place)
    return bytes(gif)


def top_down_bmp():
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[22:26] = struct.pack("<i", -16)
    return bytes(bmp)


def masked_bmp(masks=(0x00FF0000, 0x0000FF00, 0x000000FF)):
    pixels = np.array(picture("RGBA"))[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 24, 16, 1, 32, 3, len(pixels), 0, 0, 0, 0) + struct.pack("<III", *masks)
    return b"BM" + struct.pack("<IHHI", 66 + len(pixels), 0, 0, 66) + header + pixels


def rle_bmp():
    """8 bits, each row one run."""
    rows = b"".join(bytes([24, row, 0, 0]) for row in range(16)) + b"\0\1"
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, 24, 16, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(rows), 0, 0, 1078) + header + palette + rows


def seeds():
    """Small sound files of each format."""
    deep = Image.fromarray(np.arange(384, dtype="uint16").reshape(16, 24) * 170)
    return {
        "jpeg": [
            encoded(picture(), "JPEG"),
            encoded(picture("L"), "JPEG"),
            encoded(picture("CMYK"), "JPEG"),
            encoded(picture(), "JPEG", progressive=True),
            encoded(picture(), "JPEG", exif=exif(6), comment=b"words"),
        ],
        "png": [
            encoded(picture(), "PNG"),
            encoded(picture("RGBA"), "PNG"),
            encoded(picture("LA"), "PNG"),
            encoded(picture("P"), "PNG", transparency=3),
            encoded(picture("1"), "PNG"),
            encoded(deep, "PNG"),
            encoded(picture(), "PNG", exif=exif(6)),
            png_with_text(2000),
        ],
        "apng": [animated("PNG"), animated("PNG", "RGBA")],
        "gif": [encoded(picture("P"), "GIF"), animated("GIF"), gif_on_a_canvas(), encoded(picture("L"), "GIF")],
        "bmp": [
            *(encoded(picture(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")),
            top_down_bmp(),
            masked_bmp(),
            rle_bmp(),
        ],
        "webp": [
            encoded(picture(), "WEBP"),
            encoded(picture(), "WEBP", lossless=True),
            encoded(picture("RGBA"), "WEBP"),
            encoded(picture("RGBA"), "WEBP", lossless=True),
            encoded(picture(), "WEBP", exif=exif(6)),
        ],
        "animated webp": [animated("WEBP"), animated("WEBP", "RGBA"), animated("WEBP", lossless=True, exif=exif(3))],
        "mpo": [animated("MPO"), animated("MPO", exif=exif(8))],
        "tiff": [encoded(picture(), "TIFF"), animated("TIFF")],
    }


def mutants(image_format, start, count):
    """Damaged files of a format; number n is the same whatever the start."""
    sound = seeds()[image_format]
    for number in range(start, start + count):
        draw = np.random.default_rng([number, *image_format.encode()])
        yield _mutant(bytearray(sound[number % len(sound)]), sound, draw)


def _mutant(contents, sound, draw):
    fix = draw.random() < 0.6  # else a PNG's checksums end most of them at once
    for _ in range(draw.integers(1, 4)):
        # Half of all changes are in the first bytes, where the sizes are.
        place = int(draw.integers(0, min(64, len(contents)) if draw.random() < 0.5 else len(contents)))
        kind = draw.integers(0, 9)
        if kind <= 2:
            contents[place] = draw.integers(0, 256)
        elif kind == 3:
            contents[place] ^= 1 << int(draw.integers(0, 8))
        elif kind == 4:
            width = int(draw.choice([1, 2, 4]))
            extreme = draw.choice([0, 1, 0x7F, 0x80, 0xFF]) if width == 1 else draw.choice([0, 1, 9000, 0x7FFF, 0xFFFF])
            order = str(draw.choice(["little", "big"]))
            contents[place : place + width] = int(extreme).to_bytes(width, order)
        elif kind == 5:
            del contents[place : place + int(draw.integers(1, 40))]
        elif kind == 6:
            contents[place:place] = bytes(contents[place : place + int(draw.integers(1, 40))])
        elif kind == 7:
            other = sound[draw.integers(0, len(sound))]
            contents[place:] = other[place:]
        else:
            del contents[place:]
        if not contents:
            return b""
    return _with_checksums(bytes(contents)) if fix else bytes(contents)


def _with_checksums(contents):
    """A PNG whose chunks have the right CRC; anything else as it is."""
    if not contents.startswith(b"\x89PNG\r\n\x1a\n"):
        return contents
    out, position = bytearray(contents), 8
    while position + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, position)
        end = position + 8 + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[position + 4 : end]))
        position = end + 4
    return bytes(out)


class Held:
    """Files in memory, with the reader's interface."""

    path = Path("memory")

    def __init__(self, contents):
        self.contents = contents

    def read(self, name):
        return self.contents[int(name)]


def look(contents):
    """What `data.load` sees: the headers, and (height, width) of those that could be decoded, by index."""
    import tensorflow as tf

    from kerastricks.data.decoding.decode import decode_image, fit_image
    from kerastricks.data.sources.headers import read_headers
    from kerastricks.data.sources.source import Files
    from kerastricks.progress import silent

    files = Files([str(n) for n in range(len(contents))], np.zeros(len(contents), np.int32), Held(contents))
    headers = read_headers(files, MAX_PIXELS, "", silent)
    good = np.flatnonzero(headers.sizes[:, 0] > 0)

    def sizes(index, one):
        image = decode_image(one)
        with tf.control_dependencies([fit_image(image, *SHAPE)]):
            return index, tf.shape(image)[:2]

    pairs = tf.data.Dataset.from_tensor_slices((good, [contents[n] for n in good] or tf.constant([], tf.string)))
    decoded = pairs.map(tf.autograph.experimental.do_not_convert(sizes)).ignore_errors(log_warning=False)
    return headers, {int(index): tuple(size.tolist()) for index, size in decoded.as_numpy_iterator()}


def crops(contents, headers, changed=True):
    """Indices of the files that give a random window as a training takes it: decoded, and known for upright JPEGs.

    Where they may have `changed` since they were read, all are decoded, as they come and as upright JPEGs, the refused
    ones with a window of any size: nothing is asked of these but that they end. Bombs are left out: only the header
    keeps them from a training, and one that takes the place of a good file would be unpacked.
    """
    import tensorflow as tf

    from kerastricks.data.decoding.decode_crop import decode_crop

    draw = np.random.default_rng(len(contents))
    used = headers.sizes[:, 0] > 0
    sizes = np.where(used[:, None], headers.sizes, draw.integers(1, 64, headers.sizes.shape))
    ends = np.sort(draw.integers(0, sizes[:, None] + 1, (len(contents), 2, 2)), axis=1)
    ends[::4] = np.stack([np.zeros_like(sizes), sizes], axis=1)[::4]  # the picture as a whole
    top = np.minimum(ends[:, 0], sizes - 1)
    windows = np.concatenate([top, np.maximum(ends[:, 1] - top, 1)], axis=1).astype("int32")

    def tried(chosen, channels, upright):
        def crop(index, one, window, known):
            which = known if upright == "known" else upright
            return index, decode_crop(one, lambda *size: window, *SHAPE[:2], channels, which, rounded=True)

        rows = (chosen, [contents[n] for n in chosen] or tf.constant([], tf.string))
        data = tf.data.Dataset.from_tensor_slices((*rows, windows[chosen], headers.upright_jpeg[chosen]))
        found = data.map(tf.autograph.experimental.do_not_convert(crop)).ignore_errors(log_warning=False)
        return {int(index) for index, _ in found.as_numpy_iterator()}

    in_training = tried(np.flatnonzero(used), 3, "known")
    if changed:
        assert tried(np.flatnonzero(used), 1, "known") == in_training
        bombs = [n for n, reason in headers.skipped.items() if "bomb" in reason]
        for upright in (None, True):
            tried(np.setdiff1d(np.arange(len(contents)), bombs), 3, upright)
    return in_training


def predicted(contents, folder):
    """Indices of the files to which `ServedModel.predict` gives a class; every other one has its reason."""
    from kerastricks.serving.served_model import ServedModel

    files = [Path(folder) / f"{number}.image" for number in range(len(contents))]
    for file, one in zip(files, contents, strict=True):
        file.write_bytes(one)
    found = list(ServedModel(Path(folder) / "served").predict(files, MAX_PIXELS))
    assert all((one.label is None) == bool(one.error) for one in found)
    for file in files:
        file.unlink()
    return {number for number, one in enumerate(found) if one.label is not None}


def serving(folder):
    """The `serving_default` of a small SavedModel."""
    import keras
    import tensorflow as tf

    from kerastricks.data.decoding import decode
    from kerastricks.data.fitting import WHOLE
    from kerastricks.serving import export

    decode.refuse_large.__defaults__ = (MAX_PIXELS,)
    target = Path(folder) / "served"
    if not target.exists():
        model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
        model.save(Path(folder) / "model.keras")
        export.write(Path(folder) / "model.keras", ["cat", "dog"], target, WHOLE)
    loaded = tf.saved_model.load(str(target))

    def answers(contents):
        """Whether it answers; an InvalidArgumentError is the only other thing that may happen."""
        try:
            loaded.signatures["serving_default"](bytes=tf.constant([contents]))
        except tf.errors.InvalidArgumentError:
            return False
        return True

    return answers


def _child(image_format, start, count, folder, paths):
    """Writes where it is before each step, and what it found after each chunk."""
    answers = serving(folder)
    at, found = Path(folder) / "at", Path(folder) / "found"
    for first in range(start, start + count, CHUNK):
        number = min(CHUNK, start + count - first)
        contents = list(mutants(image_format, first, number))
        at.write_text(f"{first} {number} load")
        headers, decoded = look(contents)
        alike = {n for n, size in decoded.items() if size == tuple(headers.sizes[n].tolist())}
        wrong = [f"{first + n} load" for n in decoded.keys() - alike]
        read = {"decoded": set(decoded)}
        if "crop" in paths:
            at.write_text(f"{first} {number} crop")
            read["crop"] = crops(contents, headers)
            wrong += [f"{first + n} crop" for n in alike - read["crop"]]  # a training would end here
        if "served" in paths:
            read["served"] = set()
            with at.open("w") as file:
                for n, one in enumerate(contents):
                    file.seek(0)
                    file.write(f"{first + n} 1 served \n")
                    file.flush()
                    if answers(one):
                        read["served"].add(n)
            wrong += [f"{first + n} served" for n in read["served"] - alike]  # it answers to what training leaves out
        if "predict" in paths:
            at.write_text(f"{first} {number} predict")
            read["predict"] = predicted(contents, folder)
            wrong += [f"{first + n} predict" for n in read["predict"] ^ read.get("served", read["predict"])]
        with found.open("a") as file:
            file.write(json.dumps({"files": number, "wrong": wrong, **{path: len(of) for path, of in read.items()}}))
            file.write("\n")


def _fuzz(image_format, count, folder, paths):
    at, found = Path(folder) / "at", Path(folder) / "found"
    found.write_text("")
    start, crashes, seconds, peak = 0, [], time.perf_counter(), 0
    while start < count:
        command = [sys.executable, __file__, "--child", image_format, str(start), str(count - start), folder, paths]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, since = "", time.monotonic()
        while process.poll() is None:
            time.sleep(1)
            now = at.read_text() if at.exists() else ""
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > SECONDS_WITHOUT_PROGRESS:
                process.kill()
            with contextlib.suppress(OSError, IndexError):  # it has ended
                peak = max(peak, int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]))
        if process.returncode == 0:
            break
        crashes.append(f"exit {process.returncode} at {at.read_text().strip()}")
        start = int(at.read_text().split()[0]) // CHUNK * CHUNK + CHUNK
    rows = [json.loads(line) for line in found.read_text().splitlines()]
    wrong = [one for row in rows for one in row["wrong"]]
    counts = (
        f"{sum(row[path] for row in rows)} {path}" for path in ("files", "decoded", *PATHS) if path in (rows or [{}])[0]
    )
    print(
        f"{image_format}: {', '.join(counts)}, {len(wrong)} not alike {wrong[:9]}, {len(crashes)} crashes or hangs "
        f"{crashes[:3]}, {time.perf_counter() - seconds:.0f} s, peak {peak / 1e6:.2f} GB",
        flush=True,
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6].split(","))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--formats", default=",".join(seeds()))
    parser.add_argument("--paths", default=",".join(PATHS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for each in options.formats.split(","):
            _fuzz(each, options.count, scratch, options.paths)
