"""Config: one place for every field, refused with the way out."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest

from kerastricks.data import Fitting, load
from kerastricks.errors import ConfigError, SpecError, UnknownNameError, UsageError
from kerastricks.training import Config
from kerastricks.training.averaging import Average
from kerastricks.training.config import parse_assignment
from kerastricks.training.datasets import load_data
from kerastricks.training.resolved_config import ResolvedConfig, resolve

pytestmark = pytest.mark.tensorflow_only


def test_it_is_frozen_and_has_few_fields():
    assert len(dataclasses.fields(Config)) <= 33
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
        ("classes", ""), ("classes", "cat, cat"), ("classes", 3), ("scale_lr", "cubic"), ("base_batch", 0),
        ("split_seed", -1), ("split_seed", True), ("bagging", 1), ("average", 0.9), ("keep", 3),
    ],
)  # fmt: skip
def test_illegal_values_name_the_field_and_what_was_received(field, value):
    with pytest.raises(ConfigError, match=rf"^{field} must be .*Received: {field}={value!r}$"):
        Config(**{field: value})


FIELDS = [field.name for field in dataclasses.fields(Config)]
INFINITE = (float("nan"), float("inf"), float("-inf"))
HOSTILE_TEXTS = (
    "{[]: 1}", "{{}}", "9" * 5000, "0x" + "f" * 5000, "(" * 5000, "[" * 50_000, "-" * 50_000 + "1", "a\0b", "\udcff",
    "1e999", "nan", "a\nb", "-1", "9223372036854775808",
)  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_hostile_values_are_refused_in_every_field(name):
    for value in (*INFINITE, -1, 2**63, -(2**70), 16**5000, "a\0b", "\udcff"):
        with pytest.raises(UsageError) as error:
            Config(**{name: value})
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", FIELDS)
def test_hostile_assignments_are_refused_or_a_path(name):
    for text in HOSTILE_TEXTS:
        is_path = name == "data" and text not in ("a\0b", "\udcff", "1e999", "-1", "9223372036854775808")
        if is_path or (name, text) == ("model", "nan"):  # a name that the zoo does not have
            assert getattr(Config(**dict([parse_assignment(f"{name}={text}")])), name) == text
            continue
        with pytest.raises(UsageError) as error:
            Config(**dict([parse_assignment(f"{name}={text}")]))
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400


def test_an_image_and_a_batch_have_a_size_that_a_machine_can_hold():
    assert Config(image_size=8192, batch_size=32).image_size == 8192
    with pytest.raises(ConfigError, match=r"^image_size must be 1 to 8,192 or None. Received: image_size=8193$"):
        Config(image_size=8193)
    with pytest.raises(ConfigError, match=r"batch_size must be 1 to 1,000,000. Received: batch_size=1000001"):
        Config(batch_size=1_000_001)
    with pytest.raises(ConfigError, match=r"batch_size x image_size\^2 must be at most 2\^31 pixels.*batch_size=128"):
        Config(image_size=8192)


def test_names_of_classes_stand_in_one_line():
    with pytest.raises(ConfigError, match=r"^classes must be names with commas between, in one line"):
        Config(classes="cat\ndog, bird")


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
        Config(model="resnet_20(__import__('os').name)")


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="expected FIELD=VALUE"):
        parse_assignment("epochs")


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ("linaer", UnknownNameError, "no schedule is called 'linaer': did you mean linear"),
        ("linear(warmpu=0.1)", SpecError, r"linear has no argument 'warmpu': did you mean warmup\?"),
        ("linear(warmup=2.0)", ConfigError, "warmup must be a fraction of all steps"),
        ("one_cycle(0.1)", SpecError, r"the peak is learning_rate here.*set learning_rate"),
        ("plateau(min_rate=0.5)", ConfigError, "min_rate must be 0 or more, and below 0.2"),
    ],
)
def test_a_schedule_is_checked_before_anything_slow(schedule, error, message):
    with pytest.raises(error, match=message):
        Config(schedule=schedule)


def test_the_peak_rate_follows_the_batch_size_and_what_is_recorded_does_not():
    config = Config(learning_rate=0.1, batch_size=512, scale_lr="linear", base_batch=128)
    assert config.peak_rate == pytest.approx(0.4)
    again = Config.from_layers(config.as_dict())
    assert (again.learning_rate, again.peak_rate) == (0.1, config.peak_rate)
    assert Config(learning_rate=0.1, batch_size=512).peak_rate == 0.1


def test_it_is_imported_and_checked_without_keras():
    code = (
        "import sys; from kerastricks.training.config import Config; Config(schedule='one_cycle(warmup=0.1)');"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"average": "median"}, UnknownNameError, "no average is called 'median'"),
        ({"average": "swa(start=1.0)"}, ConfigError, r"average: start must be in \[0, 1\). Received: start=1.0"),
        ({"average": "ema(decay=-1)"}, ConfigError, r"average: decay must be in \[0, 1\)"),
        ({"average": "ema(momentum=0.9)"}, SpecError, "decay"),
        ({"average": "swa", "optimizer": "sgd(use_ema=True)"}, ConfigError, "both ask for an average of weights"),
        ({"average": "swa", "early_stopping_epochs": 3}, ConfigError, 'average must be "" with early_stopping_epochs'),
        ({"keep": "best(3)"}, UnknownNameError, "no way to keep weights is called 'best'"),
        ({"keep": "top(0)"}, ConfigError, r"keep: top\(count\) takes a whole number, 1 or more. Received: 0"),
        ({"keep": "last"}, SpecError, "count"),
    ],
)
def test_averages_and_kept_weights_are_checked_before_anything_runs(fields, error, message):
    with pytest.raises(error, match=message):
        Config(**fields)


def test_splits_have_the_seed_of_the_training_unless_they_have_their_own():
    assert (Config(seed=3).seed_of_splits, Config(seed=3, split_seed=0).seed_of_splits) == (3, 0)


def test_what_is_resolved_has_nothing_left_to_decide():
    images = np.zeros((8, 8, 8, 3), "uint8")
    data = load((images, np.arange(8) % 2), augment="flip", batch_size=2, validation=0.25, test=0.25)
    config = Config(seed=3)
    resolved = resolve(config, data)
    assert isinstance(resolved, Config)
    assert (resolved.augment, resolved.image_size, resolved.batch_size, resolved.epochs) == ("flip", 8, 2, 60)
    assert "auto" not in resolved.as_dict().values()
    assert resolve(resolved, data) == resolved
    assert Config(**resolved.as_dict()).as_dict() == resolved.as_dict()
    assert list(resolved.as_dict()) == list(config.as_dict())
    types = {field.name: field.type for field in dataclasses.fields(ResolvedConfig)}
    assert (types["epochs"], types["precision"], types["jit"]) == (int, str, bool)
    with pytest.raises(ConfigError, match=r'precision must be decided here.* precision="auto"'):
        resolved.replace(precision="auto")
    with pytest.raises(ConfigError, match="epochs must be int"):
        resolved.replace(epochs=None)


def test_a_copy_with_other_values_keeps_what_was_parsed():
    config = Config(average="swa", schedule="one_cycle")
    other = config.replace(average="", epochs=3)
    assert other == Config(schedule="one_cycle", epochs=3)
    assert other.specs.schedule is config.specs.schedule
    assert (config.specs.average, other.specs.average) == (Average("swa", 0.75), None)
    assert "specs" not in repr(config)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(UnknownNameError, match="epochs"):
        config.replace(epoch=3)
    with pytest.raises(ConfigError, match="epochs must be"):
        config.replace(epochs=0)
