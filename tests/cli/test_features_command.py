"""kerastricks features, as a user types it."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastricks.cli import run
from kerastricks.features import Features

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(here):
    """A small network of images of 16 x 16, with a head."""
    layers = [
        keras.layers.Rescaling(1 / 255, name="scale"),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.ReLU(name="relu"),
        keras.layers.GlobalAveragePooling2D(name="pool"),
        keras.layers.Dense(3, activation="softmax", name="head"),
    ]
    keras.Sequential([keras.Input((16, 16, 3)), *layers]).save("model.keras")
    return "model.keras"


def test_the_layers_that_are_asked_for_are_written(model, image_folder, capsys):
    arguments = ["--model", model, "--layer", "relu", "--layer", "conv", "--out", "out", "--split", "test"]
    assert run(["features", str(image_folder), *arguments]) == 0
    shown = capsys.readouterr()
    assert "relu.npy  3 x 4" in shown.out.replace("\n", " ")
    assert "images of 16x16, whole, bilinear" in shown.err
    features = Features.open("out")
    assert (features.layers, features.splits) == (["relu", "conv"], ["test"])
    assert np.load("out/test/relu.npy", mmap_mode="r").shape == (3, 4)
    assert [name.split("/")[0] for name in features.files("test")] == ["blue", "green", "red"]


def test_json_seed_maps_and_fields(model, image_folder, capsys):
    options = [
        "--no-pool",
        "--layer",
        "relu",
        "--seed",
        "3",
        "--set",
        "crop_fraction=0.5",
        "--set",
        "classes=red, blue",
    ]
    assert run(["features", str(image_folder), "--model", model, "--out", "out", "--json", *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["layers"] == {"relu": [14, 14, 4]}
    assert (record["class_names"], record["crop_fraction"]) == (["blue", "red"], 0.5)
    again = Features.open("out")
    assert run(["features", str(image_folder), "--model", model, "--out", "other", *options[:3]]) == 0
    assert again.files("test") != Features.open("other").files("test")


def test_the_last_layer_before_the_head_is_the_default_and_arrays_are_resized(model, capsys):
    assert run(["features", "digits", "--model", model, "--out", "out", "--split", "validation"]) == 0
    assert "images of 8x8 resized to 16x16, whole" in capsys.readouterr().err
    features = Features.open("out")
    assert features.layers == ["pool"]
    assert features.of("validation", "pool").shape == (179, 4)


def test_layers_are_listed(model, capsys):
    assert run(["features", "digits", "--model", model, "--layer", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["scale", "conv", "relu", "pool"]
    assert run(["features", "digits", "--model", model, "--layer", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["layers"], found["top"]) == (names, "pool")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--layer", "con", "--out", "out"], "no layer of .* is called 'con': did you mean conv"),
        (["digits"], "--out is missing"),
        (["digits", "--out", "there"], "there: exists already"),
        (["digits", "--out", "none/out"], "none: no such folder"),
        (["digitz", "--out", "out"], "called 'digitz': did you mean digits"),
        (["digits", "--out", "out", "--set", "crop_fraction=2"], "crop_fraction must be in"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(arguments, message, model, here, capsys):
    (here / "there").mkdir()
    before = sorted(path.name for path in here.iterdir())
    assert run(["features", *arguments, "--model", model]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert sorted(path.name for path in here.iterdir()) == before


def test_mistakes_that_need_no_keras_do_not_import_it():
    code = (
        "import sys; from kerastricks.cli import run; run(['features', 'digits', '--model', 'm']);"
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
