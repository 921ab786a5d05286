"""kerastricks doctor"""

import json

import pytest

from kerastricks.cli import run
from kerastricks.doctor import diagnose, read_log
from kerastricks.errors import UsageError

pytestmark = pytest.mark.tensorflow_only

ROWS = "epoch,train_ce,val_loss\n" + "".join(
    f"{epoch},{loss},{validation}\n"
    for epoch, (loss, validation) in enumerate(
        zip((2.3, 1.1, 0.6, 0.3, 0.1, 0.05), (2.2, 1.2, 0.9, 1.0, 1.3, 1.7), strict=True)
    )
)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(ROWS)
    return path


def test_it_prints_what_the_function_finds(log, capsys):
    assert run(["doctor", str(log), "--columns", "loss=train_ce", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(diagnose(read_log(log, columns={"loss": "train_ce"})).to_json()))
    assert run(["doctor", str(log), "--columns", 'loss="train_ce"']) == 0
    assert "[overfitting; " in capsys.readouterr().out


def test_the_plot_is_a_picture_with_room_for_all_findings(log, tmp_path, capsys):
    from PIL import Image

    assert run(["doctor", str(log), "--plot", str(tmp_path / "doctor.png")]) == 0
    with Image.open(tmp_path / "doctor.png") as picture:
        assert picture.width > 500
        assert picture.height > 350


def test_what_the_log_does_not_say_can_be_given(log, capsys):
    given = ["doctor", str(log), "--columns", "loss=train_ce", "--optimizer", "adam", "--classes", "10", "--json"]
    assert run(given) == 0
    assert json.loads(capsys.readouterr().out)["measures"]["chance"] == 0.1


def test_suspected_labels_join_the_findings(log, tmp_path, capsys):
    suspect = {"name": "cat/3.jpg", "given": "cat", "likely": "dog"}
    for name, suspects in (("some", [suspect]), ("none", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.json").write_text(json.dumps({"images": 50, "suspects": suspects}))
    given = ["doctor", str(log), "--json", "--labels"]
    codes = {}
    for name in ("some", "none"):
        assert run([*given, str(tmp_path / name)]) == 0
        codes[name] = [one["code"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert codes["some"] == [*codes["none"], "labels_suspected"]


def test_the_network_of_a_run_is_run_on_its_images(tmp_path, capsys, monkeypatch):
    import keras
    import numpy as np

    from kerastricks.cli import check

    hidden = keras.layers.Dense(8, "relu", bias_initializer=keras.initializers.Constant(-1000.0))
    head = keras.layers.Dense(2, "softmax")
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), hidden, head])

    class Subject:
        def __init__(self, name, images):
            assert name == str(tmp_path)
            self.config = {"batch_size": 32}

        def load(self):
            return model, np.ones((64, 4, 4, 1), "float32"), np.zeros(64, "int32")

    monkeypatch.setattr(check, "Subject", Subject)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2.3, "val_loss": 2.3}\n')
    assert run(["doctor", str(tmp_path), "--network", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "dead_units"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network"], "--network is for run folders"),
        (["--labels", "."], "kerastricks check labels DATA"),
        (["--columns", "loss=nothing"], "no column 'nothing'. Found: epoch, train_ce, val_loss"),
        (["--columns", "los=train_ce"], "'los' is not one of epoch, step"),
        (["--columns", "loss"], "QUANTITY=NAME"),
        (["--columns", "loss=a,loss=b"], "each quantity once"),
        (["--optimizer", "adam(0.1)"], "must be a name"),
        (["--classes", "1"], "--classes"),
        (["missing.csv"], "missing.csv"),
    ],
)
def test_mistakes_are_named_in_a_line(log, arguments, message, capsys):
    assert run(["doctor", str(log), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_columns_as_text():
    from kerastricks.doctor.columns import parse_columns

    assert parse_columns("loss=\"a, b\",val_loss=Test Robust Loss , epoch='e'") == {
        "loss": "a, b",
        "val_loss": "Test Robust Loss",
        "epoch": "e",
    }
    for wrong in ("", "loss=", "=a", "loss=a,,"):
        with pytest.raises(UsageError, match="QUANTITY=NAME"):
            parse_columns(wrong)
