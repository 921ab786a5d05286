"""kerastricks check labels, as a user types it."""

import csv
import json

import numpy as np
import pytest

from kerastricks.checks import check_labels
from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def job(monkeypatch):
    """What the job is called with; it finds three suspects."""
    probabilities = np.where(np.eye(2)[[0] * 12 + [1] * 10] > 0, 0.9, 0.1)
    names = [f"cat/{index:02}.jpg" for index in range(9)] + [f"dog/{index:02}.jpg" for index in range(13)]
    report = check_labels([0] * 9 + [1] * 13, probabilities, ("cat", "dog"), names)
    assert len(report.suspects) == 3
    calls = []

    def find(**given):
        calls.append(given)
        return report

    monkeypatch.setattr("kerastricks.runs.label_run.find_wrong_labels", find)
    return calls


def test_the_list_has_file_classes_and_probabilities(job, capsys, tmp_path):
    out, plot = tmp_path / "suspects.csv", tmp_path / "pairs.png"
    given = ["digits", "--folds", "3", "--epochs", "2", "--model", "mlp", "--set", "seed=4", "--folder", "there"]
    assert run(["check", "labels", *given, "--limit", "2", "--out", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "dog/00.jpg  dog    cat           0.1000         0.9000" in printed
    assert "dog/02.jpg" not in printed
    assert "... and 1 more" in printed
    assert printed.splitlines()[-1].startswith("next: look at each of them")
    with open(out, newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"dog/{index:02}.jpg" for index in range(3)]
    assert plot.read_bytes().startswith(b"\x89PNG")
    (called,) = job
    assert (called["folds"], str(called["folder"])) == (3, "there")
    assert (called["config"].data, called["config"].epochs, called["config"].seed) == ("digits", 2, 4)
    assert called["config"].model == "mlp"


def test_json_has_all_and_a_recipe_is_a_source(job, capsys):
    assert run(["check", "labels", "fashion_mnist", "--limit", "0", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["suspects"]) == 3
    assert job[0]["source"].name == "fashion_mnist"
    assert job[0]["folds"] is None


def test_resume_knows_how_it_began(job, capsys):
    assert run(["check", "labels", "--resume", "there"]) == 0
    assert {name: str(job[0][name]) for name in job[0] if name not in ("say", "progress")} == {"resume": "there"}
    capsys.readouterr()
    for more in (["digits"], ["--folds", "3"], ["--folder", "here"]):
        assert run(["check", "labels", *more, "--resume", "there"]) == 2
        assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DATA is missing"),
        (["digit"], "did you mean digits"),
        (["digits", "--model", "mpl"], "no model is called 'mpl': did you mean mlp"),
        (["digits", "--folds", "1"], "must be 2 to 100"),
        (["digits", "--epochs", "0"], "--epochs"),
        (["digits", "--out", "missing/suspects.csv"], "is not there: make it first"),
        (["digits", "--set", "colour=red"], "no field of the configuration is called 'colour'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys):
    assert run(["check", "labels", *arguments]) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ")
    assert message in text
    assert "\n" not in text


def test_without_cleanlab_nothing_is_begun(job, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "cleanlab", None)
    assert run(["check", "labels", "digits"]) == 2
    assert "pip install 'kerastricks[labels]'" in capsys.readouterr().err
    assert not job
    assert not list(tmp_path.iterdir())
