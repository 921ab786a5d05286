"""Peak memory of training from a streamed folder, at one and at ten times the images, beside Keras's own loader.

python benchmarks/stream_memory.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = 400  # per class and unit; two classes
OURS = """
import sys, keras, kerastricks
data = kerastricks.data.load(sys.argv[1], image_size=64, augment="flip | pad_crop(8)", batch_size=32, memory_bytes=0)
assert not data.in_memory
model = kerastricks.models.create("plain_cnn(widths=(8, 8))", data.image_shape, 2, mean=data.mean, std=data.std)
kerastricks.training.fit(model, data, kerastricks.training.Config(epochs=1))
"""
KERAS = """
import sys, keras
data = keras.utils.image_dataset_from_directory(sys.argv[1], image_size=(64, 64), batch_size=32)
inputs = keras.Input((64, 64, 3))
x = keras.layers.RandomFlip("horizontal")(keras.layers.Rescaling(1 / 255)(inputs))
x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(x))
model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(data, epochs=1, verbose=0)
"""


def write_images(folder, count):
    generator = np.random.default_rng(0)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            small = Image.fromarray(generator.integers(0, 256, (12, 16, 3)).astype("uint8"))
            small.resize((320, 240)).save(folder / label / f"{index:06}.jpg", quality=85)


def peak_megabytes(code, folder):
    """In a child of a child: the operating system's figure is the largest of all finished children."""
    probe = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], check=True,"
        "capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", probe, code, str(folder)], check=True, capture_output=True, text=True, env=environment
    )
    return int(done.stdout) / (1024**2 if sys.platform == "darwin" else 1024)  # kilobytes, on macOS bytes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        write_images(small, IMAGES)
        write_images(large, 10 * IMAGES)
        print(f"| peak MB | {2 * IMAGES} images | {20 * IMAGES} images | difference |\n|---|---|---|---|")
        for title, code in (("kerastricks, streamed", OURS), ("image_dataset_from_directory", KERAS)):
            one, ten = peak_megabytes(code, small), peak_megabytes(code, large)
            print(f"| {title} | {one:.0f} | {ten:.0f} | {ten - one:+.0f} |")
