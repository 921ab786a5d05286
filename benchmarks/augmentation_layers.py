"""The augmentation layers beside their peers: same images, in turn; compiled by XLA, and as a graph in tf.data.

Peers marked "per batch" draw once for the whole batch. Those marked "per image" are mapped over single images, which
is the only way to have a draw of one's own with them; they run in tf.data alone.

python benchmarks/augmentation_layers.py [SIDE ...]
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from table import measure, show

from kerastricks.layers import FancyPCA, RandomCrop, RandomHSV, RandomResizedCrop

SECONDS = 0.4  # of one measurement
BATCH = {32: 256, 224: 32}


def cropped(image, side, padding):
    padded = tf.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    return tf.cast(tf.image.random_crop(padded, (side, side, 3)), tf.float32)


def coloured(image):
    image = tf.image.random_hue(tf.cast(image, tf.float32) / 255, 0.1)
    return 255 * tf.image.random_brightness(tf.image.random_saturation(image, 0.7, 1.4), 0.1)


def resized(image, side, antialias):
    start, size, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(image), tf.zeros((1, 0, 4)), area_range=(0.08, 1.0), use_image_if_no_bounding_boxes=True
    )
    return tf.image.resize(tf.slice(image, start, size), (side, side), antialias=antialias)


def layers(side):
    """Title to rows: a layer on batches, or a function on single images."""
    padding = side // 8
    keras_hue = [keras.layers.RandomHue(0.1, (0, 255)), keras.layers.RandomSaturation(0.5, (0, 255))]
    return {
        "fancy PCA": {
            "kerastricks FancyPCA": FancyPCA(0.1),
            "Keras RandomBrightness (one shift, no colour)": keras.layers.RandomBrightness(0.1),
        },
        "HSV jitter": {
            "kerastricks RandomHSV": RandomHSV(),
            "Keras RandomHue + RandomSaturation": lambda images, training: keras_hue[1](
                keras_hue[0](images, training=training), training=training
            ),
            "Keras RandomColorJitter": keras.layers.RandomColorJitter(
                (0, 255), brightness_factor=0.1, contrast_factor=0.3, saturation_factor=0.5, hue_factor=0.1
            ),
            "tf.image, per image": coloured,
        },
        "random crop, padded by an eighth": {
            "kerastricks RandomCrop": RandomCrop(side, side, padding=padding),
            "Keras ZeroPadding2D + RandomCrop, per batch": keras.Sequential(
                [keras.layers.ZeroPadding2D(padding), keras.layers.RandomCrop(side, side)]
            ),
            "tf.image, per image": lambda image: cropped(image, side, padding),
        },
        "random resized crop": {
            "kerastricks RandomResizedCrop": RandomResizedCrop(side, side),
            "kerastricks RandomResizedCrop, nearest": RandomResizedCrop(side, side, interpolation="nearest"),
            "Keras RandomZoom (no aspect of its own, no antialiasing)": keras.layers.RandomZoom((-0.7, 0)),
            "tf.image, per image": lambda image: resized(image, side, False),
            "tf.image, per image, antialiased": lambda image: resized(image, side, True),
        },
    }


def compiled(layer, images):
    """A function that returns images per second, or None where XLA does not take the layer."""
    step = tf.function(lambda x: tf.cast(layer(x, training=True), tf.float32), jit_compile=True)
    batch = tf.constant(images)
    try:
        step(batch).numpy()
    except tf.errors.OpError:
        return None

    def run():
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS:
            step(batch).numpy()
            count += len(images)
        return count / (time.perf_counter() - started)

    return run


def in_tf_data(layer, images, single):
    """A function that returns images per second of batches that are handed over."""
    data = tf.data.Dataset.from_tensors(images).repeat()
    if single:
        data = data.unbatch().map(layer, num_parallel_calls=tf.data.AUTOTUNE).batch(len(images))
    else:
        data = data.map(lambda x: layer(x, training=True), num_parallel_calls=tf.data.AUTOTUNE)
    batches = iter(data.prefetch(2))

    def run():
        next(batches)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS:
            next(batches)
            count += len(images)
        return count / (time.perf_counter() - started)

    run()
    return run


def main(sides):
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores")
    for side in sides:
        size = BATCH.get(side, 32)
        images = np.random.default_rng(0).integers(0, 256, (size, side, side, 3)).astype("uint8")
        for title, rows in layers(side).items():
            batched = {name: layer for name, layer in rows.items() if "per image" not in name}
            steps = {name: compiled(layer, images) for name, layer in batched.items()}
            refused = [name for name, step in steps.items() if step is None]
            show(
                f"{title}, {size} images of {side}x{side}, XLA",
                "images/s",
                measure({name: step for name, step in steps.items() if step}),
                next(iter(rows)),
            )
            for name in refused:
                print(f"\n{name}: XLA does not take it")
            stages = {name: in_tf_data(layer, images, "per image" in name) for name, layer in rows.items()}
            show(f"{title}, {size} images of {side}x{side}, in tf.data", "images/s", measure(stages), next(iter(rows)))


if __name__ == "__main__":
    main([int(side) for side in sys.argv[1:]] or [32, 224])
