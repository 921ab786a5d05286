"""kerastricks models and kerastricks check shapes, as a user types them."""

import json

import keras
import pytest

from kerastricks.cli import run, screen
from kerastricks.models import CATALOG

pytestmark = pytest.mark.tensorflow_only


def test_list_fits_and_shows_all(capsys, monkeypatch):
    # Not by COLUMNS, which counts when the screen is made: another test may have made it.
    monkeypatch.setattr(screen.output, "_width", 100)
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line.split()[0]: line for line in lines if line.split()}
    assert set(CATALOG) <= set(rows), "one line each"
    assert all(text in rows["resnet_50"] for text in ("25.6 M", "4.33 G", "224", "He et al. 2016"))
    assert "imagenet" in rows["efficientnet_lite0"]
    assert lines.index(rows["resnet_20"]) < lines.index(rows["resnet_110"])
    assert "EfficientNetV2B0" in " ".join(lines)


@pytest.mark.parametrize("arguments", [["vgg_1"], ["list", "vgg_1"], ["--json", "vgg_1"]])
def test_filter(arguments, capsys):
    assert run(["models", *arguments]) == 0
    out = capsys.readouterr().out
    assert "vgg_16" in out
    assert "resnet" not in out
    assert "VGG16" not in out


def test_filter_finds_applications(capsys):
    assert run(["models", "efficientnetv2b"]) == 0
    out = capsys.readouterr().out
    assert "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3" in out
    assert "VGG16" not in out


def test_list_as_json(capsys):
    assert run(["models", "resnet_5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == {"resnet_50", "resnet_56"}
    assert rows["resnet_56"]["parameters"] == 853_018
    assert rows["resnet_56"]["flops"] == 125_485_696
    assert rows["resnet_50"]["input_size"] == 224


def test_show(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["models", "show", "resnet_20(width=4)"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    for text in (
        "32x32x3 in, 10 classes out",
        "7 conv 3x3",
        "16x16x8",
        "total",
        "stride (minor)",
        "fine: 32x32 pixels",
    ):
        assert text in out


def test_show_as_json_for_other_images_and_classes(capsys):
    assert run(["models", "show", "plain_cnn", "--image-size", "28", "--classes", "3", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["input"], record["classes"]) == ("28x28x3", 3)
    assert record["parameters"] == sum(stage["parameters"] for stage in record["stages"])
    assert record["paper"] == "Simonyan et al. 2015"
    assert record["shapes"]["model"] == "plain_cnn"


def test_show_an_application(capsys):
    assert run(["models", "show", "applications/MobileNetV3Small", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["input"], record["classes"]) == ("224x224x3", 1000)


def test_check_shapes_of_a_name_and_of_a_file(capsys, tmp_path):
    assert run(["check", "shapes", "plain_cnn(widths=(8, 8))", "--image-size", "30"]) == 0
    assert "15 pixels are not divisible by 2" in capsys.readouterr().out
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 5, padding="same")]).save(path)
    assert run(["check", "shapes", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["about"] == "filter"
    assert run(["check", "shapes", str(path), "--image-size", "30"]) == 2
    assert "--image-size is for models of the zoo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "zzz"], "no model is called 'zzz': there are "),
        (["models", "show", "resnet_21"], "did you mean resnet_"),
        (["models", "show", "applications/ResNet5"], "did you mean applications/ResNet50"),
        (["models", "show"], "Missing argument 'NAME'"),
        (["models", "show", "resnet_20", "--classes", "1"], "--classes"),
        (["models", "show", "airbench", "--image-size", "4"], "has room for n"),
        (["models", "show", "resnet_20(depth=9)"], "depth must be 6n + 2"),
        (["check", "shapes", "resnet_21"], "did you mean resnet_"),
        (["check", "shapes", "missing.keras"], "no such file"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys):
    assert run(arguments) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ")
    assert message in text
    assert "\n" not in text
