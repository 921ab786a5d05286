"""Fixtures and the hygiene every test relies on."""

import functools
import gc
import importlib.util
import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND") == "torch" and importlib.util.find_spec("torch"):
    import torch  # noqa: F401 - before TensorFlow: the other order has crashed

import keras
import numpy as np
import pytest
from PIL import Image
from warm_process import WarmProcess

from kerastricks.errors import ExportError

BACKEND = keras.backend.backend()
COLOURS = {"blue": (40, 60, 200), "green": (60, 180, 70), "red": (200, 50, 60)}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, and no others")


def pytest_configure(config):
    config.addinivalue_line("markers", "tensorflow_only: does not depend on the backend; runs on TensorFlow only")
    config.addinivalue_line(
        "markers",
        "slow(every_backend=False): costs many seconds; runs with --slow, on TensorFlow only unless every_backend=True",
    )
    config.addinivalue_line("markers", "reports: runs that the test finishes have their report.html")
    config.addinivalue_line(
        "markers", "fresh_processes: exports are written and verified in processes that import anew"
    )
    if BACKEND == "tensorflow" and not config.getoption("--slow"):
        import tensorflow as tf

        # A third of a test's time, for graphs that run once. Slow tests and processes of their own run as users do.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # Frameworks leave a million objects that never go: the collector need not look at them again after each test.
    # Traces leave thousands more, most of them in use as long as their test: it need not look every 700 objects.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


@functools.cache
def whole_file_is_tensorflow_only(path: Path) -> bool:
    return bool(re.search(r"^pytestmark = .*\btensorflow_only\b", path.read_text("utf-8"), re.MULTILINE))


def pytest_ignore_collect(collection_path, config):
    """Another backend does not import files of which it would run nothing."""
    if BACKEND != "tensorflow" and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        return whole_file_is_tensorflow_only(collection_path) or None
    return None


def is_run(item, slow: bool) -> bool:
    marker = item.get_closest_marker("slow")
    if slow != (marker is not None):
        return False
    if BACKEND == "tensorflow":
        return True
    return not item.get_closest_marker("tensorflow_only") and (not slow or marker.kwargs.get("every_backend", False))


def pytest_collection_modifyitems(config, items):
    slow = config.getoption("--slow")
    kept = [item for item in items if is_run(item, slow)]
    config.hook.pytest_deselected(items=[item for item in items if not is_run(item, slow)])
    items[:] = kept
    if slow:
        for item in kept:
            item.add_marker(pytest.mark.timeout(1800))


def tensorflow_case(*values, **options):
    """A case of `parametrize` that runs on TensorFlow only, where another case shows the same on every backend."""
    return pytest.param(*values, marks=pytest.mark.tensorflow_only, **options)


@pytest.fixture(scope="session")
def warm_process():
    """Is there when the first test needs it."""
    made = []

    def get():
        if not made:
            made.append(WarmProcess())
        return made[0]

    yield get
    for process in made:
        process.close()


@pytest.fixture(autouse=True)
def exports_from_a_warm_process(request, warm_process, monkeypatch):
    """Leaves out the import of TensorFlow where an export is written or verified in a process of its own."""
    if request.node.get_closest_marker("fresh_processes"):
        return

    def run_with_tensorflow(module, arguments):
        code, errors = warm_process().run(module, arguments)
        if code:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise ExportError(f"{arguments[0]}: {module.rsplit('.', 1)[-1]} failed in a fresh process: {last}")

    monkeypatch.setattr("kerastricks.serving.export.run_with_tensorflow", run_with_tensorflow)


@pytest.fixture(autouse=True)
def no_reports(request, monkeypatch):
    """Leaves out report.html of runs that a test finishes, half a second each; those of module fixtures have theirs."""
    if request.node.get_closest_marker("reports"):
        return
    monkeypatch.setattr("kerastricks.runs.finishing.write_run_report", lambda run, *given: run.report.touch())


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
