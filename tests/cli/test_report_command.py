"""kerastricks report, in this process."""

import json
import shutil
from pathlib import Path

import pytest

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

FIXTURES = Path(__file__).parent.parent / "compatibility" / "fixtures"


@pytest.fixture
def finished(tmp_path):
    """A run of version 0.1.0, whose images are elsewhere now."""
    return Path(shutil.copytree(FIXTURES / "runs" / "finished", tmp_path / "finished"))


def test_the_page_goes_into_the_folder_of_its_run(finished, capsys):
    assert run(["report", str(finished), "--data", str(FIXTURES / "images")]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert str(finished / "report.html") in shown.replace("\n", "")
    assert 'id="confusions"' in (finished / "report.html").read_text()


def test_json_is_the_figures_and_writes_no_page(finished, tmp_path, capsys):
    assert run(["report", str(finished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["page"] is None
    assert found["runs"][0]["run"] == "finished"
    assert found["runs"][0]["calibration"] is None
    assert not (finished / "report.html").exists()
    assert run(["report", str(finished), "--json", "-o", str(tmp_path / "page.html")]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()


def test_mistakes_are_one_line(finished, tmp_path, capsys):
    other = shutil.copytree(finished, tmp_path / "other")
    (tmp_path / "old.html").write_text("old")
    for arguments, message in (
        ([str(finished), str(other)], "name a file with -o"),
        ([str(tmp_path)], "no run folder"),
        ([str(finished), "-o", str(tmp_path / "old.html")], "exists already"),
        ([str(finished), "-o", str(tmp_path / "page.txt")], "must be a .html"),
    ):
        assert run(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("error:") == 1
    (other / "summary.json").unlink()
    assert run(["report", str(finished), str(other), "-o", str(tmp_path / "page.html")]) == 2
    assert "the run is not finished" in capsys.readouterr().err
