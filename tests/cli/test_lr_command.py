"""kerastricks lr, as a user types it."""

import json

import numpy as np
import pytest
from conftest import write_image
from PIL import Image

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

SMALL = (
    "--model",
    "plain_cnn(widths=(4,))",
    "--set",
    "epochs=1",
    "--sweeps",
    "2",
    "--steps",
    "30",
    "--bounds",
    "1e-3,10",
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_digits_get_a_rate_a_picture_and_the_line_to_use(capsys, here):
    assert run(["lr", "digits", *SMALL]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("loss at rates 0.001 to 10")
    assert lines[1].startswith("learning rate ")
    rate = lines[1].split()[2]
    assert float(rate) > 0.001
    assert "picture       lr.png" in lines
    assert lines[-1] == (
        "use it        kerastricks train digits --model 'plain_cnn(widths=(4,))' --set epochs=1 "
        f"--set learning_rate={rate}"
    )
    with Image.open(here / "lr.png") as picture:
        assert picture.format == "PNG"
    assert "2 sweeps of 30 steps" in shown.err


def test_json_has_all_of_it_and_no_picture_is_overwritten(capsys, here):
    (here / "lr.png").write_bytes(b"mine")
    assert run(["lr", "digits", *SMALL, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["picture"] == "lr-2.png"
    assert record["interval"][0] < record["suggestion"] < record["interval"][1]
    assert len(record["rates"]) == 30
    assert len(record["losses"]) == 2
    assert record["command"].endswith(f"learning_rate={record['suggestion']:.2g}")
    assert (here / "lr.png").read_bytes() == b"mine"


def test_a_curve_without_an_answer_says_why_and_is_no_failure(capsys):
    arguments = ["--bounds", "1e-9,1e-8", "--out", "flat.png"]
    assert run(["lr", "digits", *SMALL[:-2], *arguments]) == 0
    shown = capsys.readouterr().out
    assert "cannot tell: flat" in shown
    assert "use it" not in shown


def test_a_model_that_diverges_at_every_rate_is_a_mistake(capsys, here):
    code = run(
        [
            "lr",
            "digits",
            "--model",
            "mlp(depth=2, width=16)",
            *SMALL[2:-2],
            "--bounds",
            "1e6,1e9",
            "--set",
            "clip_norm=None",
        ]
    )
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert error.startswith("error: diverged at once: ")
    assert not list(here.iterdir())


def test_the_rate_is_meant_for_the_base_batch(capsys):
    flags = ["--batch-size", "64", "--set", "scale_lr=linear", "--set", "base_batch=32", "--json"]
    assert run(["lr", "digits", *SMALL, *flags]) == 0
    scaled = json.loads(capsys.readouterr().out)
    assert run(["lr", "digits", *SMALL[:-2], "--bounds", "2e-3,20", "--batch-size", "64", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(scaled["rates"], np.array(plain["rates"]) / 2, rtol=1e-9)
    assert scaled["suggestion"] == pytest.approx(plain["suggestion"] / 2, rel=1e-3)


def test_a_recipe_of_one_s_own_makes_the_model(capsys, here):
    (here / "mine.py").write_text(
        '"""Mine.\n\nkerastricks train mine.py\n"""\n\nimport kerastricks\n\n'
        'CONFIG = {"data": "digits", "batch_size": 32}\n\n\n'
        "def create_model(data, config):\n"
        '    return kerastricks.models.create("mlp(depth=1, width=12)", data.image_shape, 10)\n'
    )
    assert run(["lr", "mine.py", "--sweeps", "1", "--steps", "20"]) == 0
    shown = capsys.readouterr()
    assert "mlp, sgd" in shown.err
    assert "batches of 32" in shown.err


def test_ctrl_c_leaves_nothing(capsys, here, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerastricks.range_test.lr_range_test.sweep", interrupted)
    assert run(["lr", "digits", *SMALL]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitss"], "no data set, recipe or file is called 'digitss'"),
        (["digits", "--model", "resnet_21"], "no model is called 'resnet_21'"),
        (["digits", "--bounds", "1"], "--bounds must be two numbers"),
        (["digits", "--bounds", "1,0.1"], "--bounds must hold 0 < LOW < HIGH"),
        (["digits", "--bounds", "nan,1"], "--bounds must hold 0 < LOW < HIGH"),
        (["digits", "--steps", "3"], "--steps"),
        (["digits", "--sweeps", "0"], "--sweeps"),
        (["digits", "--out", "lr.gif"], "must be a .png"),
        (["digits", "--out", "no/such/folder/lr.png"], "is not there: make it first"),
        (["digits", "--set", "learningrate=1"], "did you mean learning_rate"),
        (["digits", "--set", "optimizer=sdg"], "no optimizer is called 'sdg'"),
    ],
)
def test_mistakes_are_one_line(capsys, here, arguments, message):
    assert run(["lr", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(here.iterdir())


def test_what_does_not_fit_the_minutes_is_cut_and_said(capsys, monkeypatch, tmp_path):
    from kerastricks.training import SizeTiming, size_timing

    folder = tmp_path / "colours"
    for index in range(24):
        for name, colour in (("red", (200, 50, 60)), ("blue", (40, 60, 200))):
            write_image(folder / name / f"{index}.png", colour, (48, 48), seed=index)
    monkeypatch.setattr(
        size_timing, "size_timer", lambda *given: lambda size: SizeTiming(size, 0.5 if size == 48 else 0.2, 0.0, 5.0)
    )
    options = ["--model", "plain_cnn(widths=(4,))", "--batch-size", "8", "--minutes", "1", "--json"]
    assert run(["lr", str(folder), *options]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["image_size"] == 32
    assert len(record["losses"]) == 3
    assert len(record["rates"]) == 60
    assert "would take about 4.2 minutes, and there are 1" in record["cut"]
    assert "32 pixels in place of 48: the rate is for that size" in shown.err
    assert record["command"] is None or "image_size=32" in record["command"]


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "1e308"])
def test_minutes_of_a_range_test_are_above_zero_and_at_most_a_year(capsys, minutes):
    assert run(["lr", "digits", "--minutes", minutes]) == 2
    assert "'--minutes': must be in (0, 525,600]" in capsys.readouterr().err


def test_long_work_tells_where_it_is_without_a_terminal(capsys, monkeypatch):
    from kerastricks.cli import screen

    now = [0.0]
    monkeypatch.setattr("kerastricks.progress.time.monotonic", lambda: now[0])
    with screen.bar("decoding", 1000) as advance:
        for _ in range(100):
            now[0] += 0.5
            advance(10)
    assert capsys.readouterr().err.splitlines() == [
        f"decoding: {done} of 1,000, 0:{left} left" for done, left in ((200, 40), (400, 30), (600, 20), (800, 10))
    ]
