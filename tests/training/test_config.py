"""Config: one place for every field, refused with the way out."""

import dataclasses

import pytest

from kerastricks.data import Fitting
from kerastricks.errors import ConfigError, SpecError, UnknownNameError
from kerastricks.training import Config
from kerastricks.training.config import parse_assignment
from kerastricks.training.load_data import load_data

pytestmark = pytest.mark.tensorflow_only


def test_it_is_frozen_and_has_few_fields():
    assert len(dataclasses.fields(Config)) <= 23
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


def test_later_layers_win():
    config = Config.from_layers({"epochs": 3, "seed": 1}, {"epochs": 5})
    assert (config.epochs, config.seed, config.batch_size) == (5, 1, Config().batch_size)


def test_unknown_field_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="learning_rate"):
        Config.from_layers({"learningrate": 0.1})
    with pytest.raises(UnknownNameError, match="epochs"):
        parse_assignment("epoch=3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=0.05", ("learning_rate", 0.05)),
        ("epochs=None", ("epochs", None)),
        ("jit=true", ("jit", True)),
        ("augment=flip | pad_crop(4)", ("augment", "flip | pad_crop(4)")),
        ("augment=", ("augment", "")),
        ("data=images/cats", ("data", "images/cats")),
        ("optimizer=sgd(momentum=0.8)", ("optimizer", "sgd(momentum=0.8)")),
        ("crop_fraction=1", ("crop_fraction", 1)),
        ("classes=3, 8", ("classes", "3, 8")),
    ],
)
def test_assignments_are_read_as_literals_or_text(text, expected):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0), ("epochs", 0), ("learning_rate", 0.0), ("label_smoothing", 1.0), ("validation", 0.0),
        ("weight_decay", -1.0), ("precision", "half"), ("jit", "sometimes"), ("seed", -1), ("clip_norm", 0.0),
        ("epochs", 1.5), ("epochs", True), ("model", 3), ("learning_rate", "fast"), ("early_stopping_epochs", 0),
        ("crop_fraction", 0.0), ("crop_fraction", 1.5), ("interpolation", "nearest"), ("classes", "cat"),
        ("classes", ""), ("classes", "cat, cat"), ("classes", 3),
    ],
)  # fmt: skip
def test_illegal_values_name_the_field_and_what_was_received(field, value):
    with pytest.raises(ConfigError, match=rf"^{field} must be .*Received: {field}={value!r}$"):
        Config(**{field: value})


@pytest.mark.parametrize(
    ("classes", "names"),
    [(None, None), ("cat, dog", ["cat", "dog"]), (' cat ,"a, b",dog,', ["cat", "a, b", "dog"])],
)
def test_names_of_classes_are_separated_as_in_a_csv(classes, names):
    assert Config(classes=classes).class_names == names


def test_images_are_loaded_as_it_says(image_folder):
    config = Config(image_size=8, crop_fraction=0.5, interpolation="bicubic", classes="red, blue", augment="")
    found = load_data(image_folder, config)
    assert found.class_names == ("blue", "red")
    assert found.fitting == config.fitting == Fitting(0.5, "bicubic")


def test_specs_are_parsed_at_once():
    with pytest.raises(SpecError):
        Config(augment="flip |")
    with pytest.raises(SpecError):
        Config(model="resnet_20(__import__('os'))")


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="expected FIELD=VALUE"):
        parse_assignment("epochs")
