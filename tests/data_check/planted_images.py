"""A folder of photograph-like images with planted faults."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


def picture(seed, side=96):
    """A picture with edges and colours of its own, sharp."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(generator.integers(60, 200, 3).tolist()))
    pixels = np.asarray(image).astype(float)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(14):
        y, x = generator.uniform(0, side, 2)
        high, wide = generator.uniform(0.05, 0.3, 2) * side
        inside = (np.abs(rows - y) < high) & (np.abs(columns - x) < wide)
        pixels[inside] = generator.integers(10, 195, 3)
    pixels += generator.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))


def encoded(image, kind="PNG", **options):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def variants(image):
    """Near duplicates of an image: name to bytes."""
    side = image.width
    cut = round(side * 0.05)
    return {
        "recompressed.jpg": encoded(image, "JPEG", quality=60),
        "smaller.png": encoded(image.resize((side * 2 // 3, side * 2 // 3), Image.Resampling.BICUBIC)),
        "cropped.png": encoded(image.crop((cut, 0, side, side - cut))),
        "brighter.png": encoded(ImageEnhance.Brightness(image).enhance(1.25)),
    }


def write_planted(root):
    """Writes two classes in two splits with one fault of each kind, and gives the file names of each kind."""
    files = {}
    for number in range(24):
        split, name = ("test" if number % 4 == 3 else "train"), ("cat", "dog")[number % 2]
        files[f"{split}/{name}/{number:02}.png"] = encoded(picture(number))
    black = Image.new("RGB", (96, 96))
    dark = ImageEnhance.Brightness(picture(100)).enhance(0.15)
    files |= {
        "train/cat/copy.png": files["train/cat/00.png"],
        "train/dog/conflict.png": files["train/cat/02.png"],
        "test/cat/leak.png": files["train/cat/04.png"],
        "train/cat/black.png": encoded(black),
        "train/cat/dark.png": encoded(dark),
        "train/cat/bright.png": encoded(Image.blend(picture(101), Image.new("RGB", (96, 96), "white"), 0.93)),
        "train/cat/blurred.png": encoded(picture(102).filter(ImageFilter.GaussianBlur(3))),
        "train/cat/tiny.png": encoded(picture(103, side=12)),
        "train/cat/wide.png": encoded(picture(104, side=400).crop((0, 0, 400, 40))),
        "train/cat/cut.jpg": encoded(picture(105), "JPEG")[:-700],
        "train/dog/note.txt": b"not an image",
        "train/cow/one.png": encoded(picture(106)),
    }
    files |= {f"train/cat/near-{name}": data for name, data in variants(picture(8)).items()}
    files["train/dog/near-conflict.jpg"] = encoded(picture(12), "JPEG", quality=70)
    files["test/dog/near-leak.jpg"] = encoded(picture(9), "JPEG", quality=70)
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return {
        "unreadable": {("train/cat/cut.jpg",)},
        "exact_leak": {("train/cat/04.png", "test/cat/leak.png")},
        "near_leak": {("train/dog/09.png", "test/dog/near-leak.jpg")},
        "exact_conflict": {("train/cat/02.png", "train/dog/conflict.png")},
        "near_conflict": {("train/cat/12.png", "train/dog/near-conflict.jpg")},
        "exact_duplicate": {("train/cat/00.png", "train/cat/copy.png")},
        "near_duplicate": {("train/cat/08.png", *(f"train/cat/near-{name}" for name in sorted(variants(picture(8)))))},
        "lonely_class": {("train/cow/one.png",)},
        "blank": {("train/cat/black.png",)},
        "dark": {("train/cat/dark.png",)},
        "bright": {("train/cat/bright.png",)},
        "blurred": {("train/cat/blurred.png",)},
        "tiny": {("train/cat/tiny.png",)},
        "odd_shape": {("train/cat/wide.png",)},
    }
