"""`kerastricks predict --url`: the same output as with a run folder."""

import csv
import json

import pytest
from answering_server import answering
from conftest import write_image

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg"):
        file = write_image(tmp_path / "images" / name, (99, 9, 9))
        file.write_bytes(file.read_bytes() + b"\0" * (file.stat().st_size % 2))
    (tmp_path / "images" / "notes.txt").write_text("hello")
    return tmp_path / "images"


def test_all_positionals_are_images(folder, tmp_path, capsys):
    with answering() as server:
        assert run(["predict", "--url", server.url, str(folder / "b.jpg"), str(folder)]) == 0
        captured = capsys.readouterr()
        assert [line.split()[1:] for line in captured.out.splitlines()] == [
            ["jpeg", "0.875"], ["png", "0.750"], ["jpeg", "0.875"]
        ]  # fmt: skip
        assert "notes.txt: left out: not an image" in captured.err
        assert "1 of 4 file(s) left out" in captured.err
        assert run(["predict", str(folder / "a.png"), "--url", server.url, "--csv", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv") as file:
        (row,) = csv.DictReader(file)
    assert row == {"file": str(folder / "a.png"), "label": "png", "probability": "0.75", "jpeg": "0.25", "png": "0.75"}


def test_json_and_a_token_from_a_file(folder, tmp_path, capsys):
    (tmp_path / "token").write_text("secret\n")
    with answering(token="secret") as server:
        line = ["predict", "--url", f"{server.url}/v1/models/digits", str(folder / "a.png"), "--json"]
        assert run(line) == 2
        assert "a token is needed: give its token" in capsys.readouterr().err
        assert run([*line, "--token-file", str(tmp_path / "token")]) == 0
    assert json.loads(capsys.readouterr().out)["probabilities"] == {"jpeg": 0.25, "png": 0.75}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "Missing argument 'RUN'"),
        (["folder"], "Missing argument 'IMAGES...'"),
        (["--url", "http://127.0.0.1:1"], "Missing argument 'IMAGES...'"),
        (["--url", "127.0.0.1:1", "x.png"], "x.png: no such file"),
        (["--url", "127.0.0.1:1", "a.png"], "must be http://HOST:PORT"),
        (["--token-file", "a.png", "folder", "a.png"], "needs --url"),
        (["--url", "http://h", "--token-file", "a.png", "a.png"], "one line of printable ASCII"),
        (["--url", "http://h", "--token-file", "empty", "a.png"], "one line of printable ASCII"),
    ],
)
def test_mistakes_are_one_line(line, message, tmp_path, monkeypatch, capsys):
    write_image(tmp_path / "a.png", (9, 9, 9))
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["predict", *line]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
