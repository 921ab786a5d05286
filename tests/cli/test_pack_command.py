"""`kerastricks pack`, and training, scoring and comparing from tables and shards."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import write_image

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

QUICK = ("--epochs", "1", "--model", "plain_cnn(widths=(8,))", "--set", "batch_size=16")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same images as a folder, a table and shards."""
    root = tmp_path_factory.mktemp("sources")
    rows = ["file,label"]
    for label, (name, colour) in enumerate({"blue": (40, 60, 200), "red": (200, 50, 60)}.items()):
        for index in range(20):
            write_image(root / "colours" / name / f"{index:02}.png", colour, seed=100 * label + index)
            rows.append(f"colours/{name}/{index:02}.png,{name}")
    (root / "colours.csv").write_text("\n".join(rows))
    assert run(["pack", str(root / "colours"), str(root / "packed")]) == 0
    return root


@pytest.mark.parametrize("name", ["colours.csv", "packed"])
def test_train_and_evaluate_from_a_table_and_from_shards(sources, tmp_path, capsys, name):
    source = str(sources / name)
    assert run(["train", source, *QUICK, "--out", str(tmp_path), "--name", "first", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert run(["evaluate", str(tmp_path / "first"), source, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "test (the images the run did not train on)"
    assert (found["images"], found["accuracy"]) == (summary["images"], summary["accuracy"])


def test_compare_takes_shards(sources, tmp_path, capsys):
    arguments = ["compare", "activations", str(sources / "packed"), "--arms", "relu | tanh", "--seeds", "2"]
    more = ["--epochs", "1", "--model", "mlp(depth=1)", "--limit", "16", "--out", str(tmp_path), "--json"]
    assert run([*arguments, *more]) == 0
    assert len(json.loads(capsys.readouterr().out)["arms"]) == 2


def test_pack_says_what_it_wrote(sources, tmp_path, capsys):
    (sources / "colours" / "red" / "notes.txt").write_text("no image")
    assert run(["pack", str(sources / "colours"), str(tmp_path / "a"), "--shard-mb", "0.02"]) == 0
    captured = capsys.readouterr()
    assert "2 classes; images: train 40; shards: train " in captured.out
    assert "left out: red/notes.txt (not an image)" in captured.err
    assert run(["pack", str(sources / "colours"), str(tmp_path / "b"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["shards"]) == ({"train": 40}, {"train": 1})
    assert summary["skipped"][0]["file"] == "red/notes.txt"
    (sources / "colours" / "red" / "notes.txt").unlink()


def test_pack_refuses_in_one_line(sources, tmp_path, capsys):
    for arguments, message in (
        ([str(sources / "colours"), str(sources / "packed")], "packed: exists already: name another folder, or delete"),
        ([str(tmp_path / "nowhere"), str(tmp_path / "out")], "nowhere: no such file or folder"),
        ([str(sources / "colours"), str(tmp_path / "x" / "out")], "no such folder: make it first"),
        (["digitz", str(tmp_path / "out")], "did you mean digits?"),
    ):
        assert run(["pack", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.slow  # tests/data/sources/test_pack.py stops it in its process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_pack_leaves_nothing(tmp_path, number, code):
    # Slowed down, so that the signal lands in the middle. A job in the background begins with SIGINT ignored.
    slow = """
import importlib, signal, sys, time
from kerastricks.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
module = importlib.import_module("kerastricks.data.sources.packing")
real = module._encoded
module._encoded = lambda *a: (time.sleep(0.05), real(*a))[1]
main(sys.argv[1:])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "pack", "digits", str(tmp_path / "packed"), "--shard-mb", "0.01"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    for _ in range(1200):
        if list(tmp_path.glob(".tmp-begun-*/train-00002")):
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []
