"""Fixtures and the hygiene every test relies on."""

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND") == "torch" and importlib.util.find_spec("torch"):
    import torch  # noqa: F401 - before TensorFlow: the other order has crashed

import keras
import numpy as np
import pytest
from PIL import Image

BACKEND = keras.backend.backend()
COLOURS = {"blue": (40, 60, 200), "green": (60, 180, 70), "red": (200, 50, 60)}


def pytest_configure(config):
    config.addinivalue_line("markers", "tensorflow_only: does not depend on the backend; runs on TensorFlow alone")


def pytest_collection_modifyitems(config, items):
    if BACKEND != "tensorflow":
        skip = [item for item in items if item.get_closest_marker("tensorflow_only")]
        config.hook.pytest_deselected(items=skip)
        items[:] = [item for item in items if item not in set(skip)]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def write_image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (24, 20), seed: int = 0) -> Path:
    """A noisy image of one colour, so that classes can be learned."""
    noise = np.random.default_rng(seed).integers(-40, 40, (size[1], size[0], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def image_folder(tmp_path):
    """CLASS/*.jpg: three classes of twelve."""
    root = tmp_path / "colours"
    for label, (name, colour) in enumerate(COLOURS.items()):
        for index in range(12):
            write_image(root / name / f"{index:02}.jpg", colour, seed=100 * label + index)
    return root


@pytest.fixture
def split_folder(tmp_path):
    """train/ validation/ test/ with three classes inside."""
    root = tmp_path / "split"
    for split, count in (("train", 10), ("validation", 3), ("test", 4)):
        for label, (name, colour) in enumerate(COLOURS.items()):
            for index in range(count):
                write_image(root / split / name / f"{index:02}.png", colour, seed=1000 * label + index + len(split))
    return root
