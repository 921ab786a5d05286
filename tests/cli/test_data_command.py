"""`kerastricks data`: text, JSON, page, table, cleaned table, interruption, refusals."""

import csv
import json

import pytest
from html_page import Page
from planted_images import write_planted

from kerastricks.cli import run
from kerastricks.data_check.measures import measure_contents

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted") / "images"
    return root, write_planted(root)


def test_text_names_the_first_files(planted, capsys):
    root, faults = planted
    assert run(["data", str(root), "--limit", "1"]) == 0
    text = capsys.readouterr().out
    assert "42 files looked at" in text
    assert "unreadable or truncated files: 1" in text
    assert all(next(iter(groups))[0] in text for groups in faults.values())


def test_json_page_and_tables(planted, tmp_path, capsys):
    root, faults = planted
    page, table = tmp_path / "data.html", tmp_path / "findings.csv"
    arguments = ["data", str(root), "--json", "-o", str(page), "--csv", str(table)]
    assert run(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["counts"] == {kind: len(groups) for kind, groups in faults.items()}
    assert Page(page).count("img") > 20
    with table.open() as file:
        assert {row["kind"] for row in csv.DictReader(file)} == set(faults)
    assert run(arguments) == 2  # nothing is overwritten
    assert "exists already" in capsys.readouterr().err


def test_fix_writes_a_table_that_can_be_checked(planted, tmp_path, capsys):
    root, _ = planted
    assert run(["data", str(root), "--fix", "move", str(tmp_path / "cleaned")]) == 0
    assert "taken out" in capsys.readouterr().err
    assert (tmp_path / "cleaned/removed.csv").exists()
    assert run(["data", str(tmp_path / "cleaned/clean.csv"), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert set(counts) <= {"lonely_class", "dark", "bright", "blurred", "tiny", "odd_shape"}
    assert run(["data", str(root), "--fix", "drop", str(tmp_path / "cleaned")]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere/at/all"], "no such file or folder"),
        (["no_such_set"], "no data set, recipe or file is called"),
        (["digits", "--fix", "burn", "x"], "--fix"),
        (["digits", "--state", "README.md"], "no state that"),
        (["digits", "-o", "page.pdf"], "must be a .html"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("no state")
    assert run(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_ctrl_c_keeps_what_was_done_and_resumes(planted, tmp_path, capsys, monkeypatch):
    root, _ = planted
    monkeypatch.chdir(tmp_path)
    calls = []

    def measure(contents, max_pixels):
        calls.append(None)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return measure_contents(contents, max_pixels)

    assert run(["data", str(root), "--json"]) == 0
    whole = capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr("kerastricks.data_check.pass_over_images.measure_contents", measure)
        assert run(["data", str(root)]) == 130
    assert "9 of 42 images were looked at; resume with --state images.check" in capsys.readouterr().err
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr("kerastricks.data_check.pass_over_images.measure_contents", measure)
        assert run(["data", str(root), "--state", "images.check"]) == 130
    assert "18 of 42" in capsys.readouterr().err
    assert run(["data", str(root), "--state", "images.check", "--json"]) == 0
    assert capsys.readouterr().out == whole
