"""kerastricks schedule, as a user types it, and the flags of train that belong to it."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from kerastricks.cli import run, screen
from kerastricks.schedules.specs import CATALOG

pytestmark = pytest.mark.tensorflow_only


def test_list_has_a_line_for_each(capsys, monkeypatch):
    monkeypatch.setattr(screen.output, "_width", 80)
    assert run(["schedule"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name, entry in CATALOG.items():
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert entry.formula in line


def test_list_as_json(capsys):
    assert run(["schedule", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == set(CATALOG)
    assert rows["linear"]["arguments"] == {"warmup": 0.2, "final": 0.0}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_plot_fits_and_names_first_peak_and_last(width, capsys, monkeypatch):
    monkeypatch.setattr(screen.output, "_width", width)
    assert run(["schedule", "linear(0.1, warmup=0.2)", "--steps", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "first 0.004, peak 0.1 at step 200, last 0.000125 at step 999"
    assert 10 < max(map(len, lines[:-1])) <= width
    assert lines[0].startswith("0.1 ")
    assert any("\u2801" <= sign <= "\u28ff" for sign in lines[0])


def test_a_spec_without_a_peak_has_one_of_1(capsys):
    assert run(["schedule", "cosine", "--steps", "10"]) == 0
    assert "peak 1 at step 0" in capsys.readouterr().out


@pytest.mark.parametrize("steps", [1, 7, 1000, 123_456])
def test_json_has_at_most_1000_rates_and_the_peak_exactly(steps, capsys):
    assert run(["schedule", "linear(0.1, warmup=0.3)", "--steps", str(steps), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert min(steps, 999) <= len(found["steps"]) == len(found["rates"]) <= 1000
    assert (found["steps"][0], found["steps"][-1]) == (0, steps - 1)
    assert found["peak"] == 0.1
    assert found["peak_step"] == (round(0.3 * steps) if steps > 1 else 0)
    assert (found["first"], found["last"]) == (found["rates"][0], found["rates"][-1])


def test_pictures_of_one_and_of_all(tmp_path, capsys):
    for arguments in (["step"], []):
        out = tmp_path / f"{len(arguments)}.png"
        assert run(["schedule", *arguments, "--steps", "50", "--out", str(out)]) == 0
        assert str(out.name) in capsys.readouterr().err
        with Image.open(out) as picture:
            assert picture.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stepp"], "no schedule is called 'stepp': did you mean step"),
        (["step(warmpu=1)"], "did you mean warmup?"),
        (["step(0.1, at=(0.9, 0.5))"], "at must be fractions that rise"),
        (["linear("], "does not parse"),
        (["linear", "--steps", "0"], "must be 1 to 2,147,483,647. Received: 0"),
        (["cosine_restarts(cycles=20)", "--steps", "10"], "each cycle needs a step of its own"),
        (["linear", "--out", "missing/a.png"], "missing is not there: make it first"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["schedule", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


def test_help_and_list_import_no_tensorflow():
    code = (
        "import sys; from kerastricks.cli import run; run([*sys.argv[1:]]);"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'numpy')))"
    )
    for arguments in (["schedule", "--help"], ["schedule"], ["schedule", "stepp"]):
        assert (
            subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True).returncode == 0
        )


def test_train_scales_the_rate_once_and_says_so(image_folder, tmp_path, capsys):
    flags = ["--batch-size", "8", "--scale-lr", "linear", "--base-batch", "2", "--learning-rate", "0.01"]
    arguments = [
        "train",
        str(image_folder),
        "--epochs",
        "2",
        "--schedule",
        "plateau",
        "--model",
        "mlp(depth=1, width=4)",
    ]
    arguments += ["--set", "image_size=8", "--out", str(tmp_path), "--name", "run", *flags]
    assert run(arguments) == 0
    said = capsys.readouterr().err
    assert "peak learning rate 0.04: 0.01 for batches of 2, linear rule for 8, reached from 0.01 in " in said
    record = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (record["learning_rate"], record["scale_lr"], record["base_batch"]) == (0.01, "linear", 2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["learning_rate"] == pytest.approx(0.04)
    assert run(["train", "--resume", str(tmp_path / "run"), *flags]) == 0  # the same flags are no change
    assert run(["train", "--resume", str(tmp_path / "run"), "--scale-lr", "sqrt"]) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scale-lr", "cubic"], "scale_lr must be one of constant, linear, sqrt"),
        (["--base-batch", "0"], "must be 1 to 1,000,000. Received: 0"),
        (["--schedule", "one_cycle(0.1)"], "the peak is learning_rate here"),
        (["--schedule", "platau"], "did you mean plateau"),
    ],
)
def test_train_refuses_before_anything_slow(flags, message, capsys, tmp_path):
    assert run(["train", "digits", "--out", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
