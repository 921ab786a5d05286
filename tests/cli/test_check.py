"""kerastricks check, as a user types it."""

import json
import subprocess
import sys
import zipfile

import keras
import pytest

from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

SMALL = "mlp(depth=3, width=16)"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file with two dead units of eight, for 8x8 grey images and ten classes."""
    hidden = keras.layers.Dense(8, "relu", name="hidden")
    layers = [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), hidden]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    hidden.bias.assign([-100.0] * 2 + [1.0] * 6)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


def found(capsys, *arguments):
    assert run(["check", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_init_shows_what_an_initializer_does(capsys):
    ratios = {}
    for initializer in ("xavier_normal", "he_normal"):
        report = found(capsys, "init", "mlp(depth=12)", "digits", "--initializer", initializer, "--images", "64")
        assert report["images"] == 64
        assert len([row for row in report["layers"] if row["kind"] == "kernel"]) == 13
        ratios[initializer] = report["forward_ratio"]
    assert ratios["xavier_normal"] < 0.01 < 0.1 < ratios["he_normal"] < 10


def test_the_seed_decides(capsys):
    reports = [found(capsys, "init", SMALL, "--images", "32", "--seed", seed) for seed in ("1", "1", "2")]
    assert reports[0] == reports[1] != reports[2]


def test_the_activation_is_chosen_and_the_plot_written(capsys, tmp_path):
    plot = tmp_path / "signal.png"
    assert run(["check", "init", SMALL, "--activation", "leaky_relu(0.5)", "--images", "16", "--plot", str(plot)]) == 0
    text = capsys.readouterr().out
    assert "leaky_relu" in text
    assert "forward signal: " in text
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_lsuv_starts_from_the_data(capsys):
    report = found(capsys, "init", SMALL, "--initializer", "lsuv", "--images", "1000")
    hidden = [row["variance"] for row in report["layers"] if row["kind"] == "kernel"][:-1]
    assert all(0.7 < variance < 1.4 for variance in hidden)


def test_units_shows_the_symmetry_of_zeros(capsys):
    report = found(capsys, "units", SMALL, "--initializer", "zeros", "--steps", "5", "--images", "32")
    assert report["steps"] == 5
    assert [row["distinct_outputs_after"] for row in report["layers"]][:3] == [1, 1, 1]


def test_activation_of_a_model_file(capsys, saved):
    report = found(capsys, "activation", str(saved), "digits", "--images", "100")
    assert report["images"] == 100
    assert report["layers"][0]["dead"] == 2
    assert run(["check", "activation", str(saved), "--images", "20"]) == 0
    assert "2 of 8 in hidden:relu" in capsys.readouterr().out


def test_model_of_a_file_and_of_the_zoo(capsys, saved):
    report = found(capsys, "model", str(saved))
    assert report["healthy"] is True
    assert report["trained"] == "8 numbers of 8 in hidden/bias have left their start"
    assert found(capsys, "model", SMALL, "--image-size", "8")["inputs"] == ["8x8x3"]
    assert run(["check", "model", str(saved)]) == 0
    assert "ok       healthy\n" in capsys.readouterr().out


def test_batch_measures_the_noise_scale_at_the_sizes_asked_for(capsys, tmp_path):
    plot = tmp_path / "batch.png"
    sizes = ["--small", "4", "--large", "32", "--repeats", "5", "--plot", str(plot)]
    report = found(capsys, "batch", SMALL, "digits", *sizes)
    assert (report["small"], report["large"], report["repeats"]) == (4, 32, 5)
    assert report["images"] == 1439
    assert report["noise_scale"] > 0
    assert not report["overlap"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_batch_refuses_data_of_other_classes(capsys, saved, image_folder):
    assert run(["check", "batch", str(saved), str(image_folder)]) == 2
    assert "has other classes than the model" in capsys.readouterr().err


def test_a_model_with_a_fault_is_no_failure(capsys, tmp_path):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax", bias_regularizer="l2")]
    folder = tmp_path / "run"
    folder.mkdir()
    keras.Sequential(layers).save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps({"config": {"data": "digits"}}))
    (folder / "summary.json").write_text(json.dumps({"accuracy": 1.0, "class_names": ["a", "b"]}))
    report = found(capsys, "model", str(folder / "model.keras"))
    assert [(one["code"], one["severity"]) for one in report["findings"]] == [
        ("regularized_bias", "warning"),
        ("input_not_scaled", "note"),
    ]
    report = found(capsys, "model", str(folder))  # is fed pixels from 0 to 255
    assert [one["severity"] for one in report["findings"]] == ["warning", "warning"]


def test_a_run_folder_brings_its_own_data(capsys, saved, image_folder, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    model = keras.Sequential([keras.Input((20, 24, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps({"config": {"data": str(image_folder)}}))
    summary = {"accuracy": 1.0, "class_names": ["blue", "green", "red"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert run(["check", "init", str(folder)]) == 0
    written = capsys.readouterr()
    assert "36 images" in written.out
    assert "other classes" not in written.err
    (folder / "summary.json").write_text(json.dumps({**summary, "class_names": ["blue", "green", "teal"]}))
    assert run(["check", "init", str(folder)]) == 0
    assert "other classes than the model's: where labels count they are drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "mpl"], "no model is called 'mpl': did you mean mlp"),
        (["init", SMALL, "digit"], "did you mean digits"),
        (["init", SMALL, "--initializer", "he_norml", "--images", "8"], "did you mean he_normal"),
        (["init", SMALL, "--activation", "rellu", "--images", "8"], "did you mean relu"),
        (["init", "mlp(initializer='zeros')", "--initializer", "zeros"], "sets it already"),
        (["units", "missing.keras"], "missing.keras: no such file"),
        (["init", "--plot", "signal.pdf"], "must be a .png"),
        (["init", "--plot", "missing/signal.png"], "is not there: make it first"),
        (["init", "--images", "1"], "--images"),
        (["model", "missing.keras"], "missing.keras: no such file"),
        (["model", "mpl"], "no model is called 'mpl': did you mean mlp"),
        (["batch", SMALL, "--small", "16", "--large", "40"], "--large must be a multiple of --small"),
        (["batch", SMALL, "--repeats", "1"], "--repeats"),
        (["batch", SMALL, "--images", "64"], "images must be 256 or more, a large batch"),
        (["activation"], "MODEL"),
        (["activations"], "activations"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys):
    assert run(["check", *arguments]) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ")
    assert message in text
    assert "\n" not in text


class Unknown(keras.layers.Layer):
    """Not registered: a process that loads it does not find it."""

    def call(self, x):
        return x


class BatchedMembers(Unknown):
    """Named as a layer that earlier versions had."""


def test_mistakes_with_files(capsys, saved, tmp_path, monkeypatch):
    (tmp_path / "bad.keras").write_text("no model")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as other:
        other.writestr("readme.txt", "no model")
    for layer in (Unknown(), BatchedMembers()):
        model = keras.Sequential([keras.Input((8, 8, 1)), layer, keras.layers.Dense(2)])
        model.save(tmp_path / f"{type(layer).__name__}.keras")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    cases = [
        ([str(tmp_path / "bad.keras")], "bad.keras: is not a Keras model (not a zip archive)"),
        ([str(tmp_path / "other.keras")], "other.keras: is not a Keras model (no config.json inside)"),
        ([str(tmp_path / "Unknown.keras")], "holds 'Unknown', which is no class or function of Keras or kerastricks"),
        (
            [str(tmp_path / "BatchedMembers.keras")],
            "holds 'BatchedMembers', which was removed: make the ensemble again",
        ),
        (["--plot", str(tmp_path / "signal.png")], "cannot be written to"),
        ([str(tmp_path)], "no run folder"),
        ([str(saved), "digits", "--initializer", "zeros"], "--initializer is for models of the zoo"),
    ]
    for arguments, message in cases:
        assert run(["check", "init", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["init", "--help"],
        ["labels", "--help"],
        ["labels", "digit"],
        ["init", "mpl"],
        ["units", "missing.keras"],
    ],
)
def test_help_and_mistakes_load_no_framework(arguments):
    code = f"import sys, kerastricks.cli as cli; cli.run(['check', *{arguments}]); "
    code += "print({'tensorflow', 'keras', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")
