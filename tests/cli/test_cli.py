"""The command as a user drives it, in this process."""

import csv
import json

import keras
import numpy as np
import pytest
from conftest import write_image

import kerastricks
from kerastricks.cli import run

pytestmark = pytest.mark.tensorflow_only

QUICK = ("--epochs", "2", "--model", "plain_cnn(widths=(8,))", "--set", "batch_size=16")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "colours"
    for label, (name, colour) in enumerate({"blue": (40, 60, 200), "red": (200, 50, 60)}.items()):
        for index in range(30):
            write_image(root / name / f"{index:02}.jpg", colour, seed=100 * label + index)
    (root / "red" / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert run(["train", str(images), "--epochs", "8", *QUICK[2:], "--out", str(out), "--name", "first"]) == 0
    return out / "first"


def test_a_run_leaves_what_the_documentation_says(trained):
    files = {path.name for path in trained.iterdir()}
    assert files == {
        "1", "batch_loss.f32", "card.md", "config.json", "curves.png", "metrics.jsonl", "model.keras", "report.html",
        "skipped.jsonl", "summary.json",
    }  # fmt: skip
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["accuracy"] > 0.9
    assert summary["class_names"] == ["blue", "red"]
    assert {"balanced_accuracy", "log_loss", "recall", "confusion_matrix", "versions", "data"} <= set(summary)
    assert summary["data"]["fingerprint"]
    config = json.loads((trained / "config.json").read_text())["config"]
    assert config["epochs"] == 8
    assert config["precision"] != "auto"
    assert config["jit"] != "auto"
    skipped = [json.loads(line) for line in (trained / "skipped.jsonl").read_text().splitlines()]
    assert skipped == [{"split": "train", "class": "red", "file": "red/notes.txt", "reason": "not an image"}]


def test_the_saved_model_is_float32_and_takes_pixels(trained):
    model = keras.models.load_model(trained / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert model.input_shape == (None, 20, 24, 3) or model.input_shape[1:] == (64, 64, 3)
    red = np.broadcast_to(np.array([200, 50, 60], "float32"), (1, *model.input_shape[1:]))
    assert model.predict(red, verbose=0).argmax() == 1


def test_evaluate_on_the_same_data_repeats_the_summary(trained, images, capsys):
    assert run(["evaluate", str(trained), str(images), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    summary = json.loads((trained / "summary.json").read_text())
    assert found["accuracy"] == summary["accuracy"]
    assert found["log_loss"] == pytest.approx(summary["log_loss"], rel=1e-5)
    assert found["images"] == summary["images"]


def test_evaluate_matches_classes_by_name(trained, tmp_path, capsys):
    for index in range(3):
        write_image(tmp_path / "new" / "red" / f"{index}.png", (200, 50, 60), seed=index)
        write_image(tmp_path / "new" / "blue" / f"{index}.png", (40, 60, 200), seed=index)
    assert run(["evaluate", str(trained), str(tmp_path / "new")]) == 0
    assert "all images: 6 images" in capsys.readouterr().out
    (tmp_path / "new" / "blue").rename(tmp_path / "new" / "teal")
    assert run(["evaluate", str(trained), str(tmp_path / "new")]) == 2
    assert "'teal' is not one of the model's: blue, red" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_on_some_classes_is_evaluated_on_these_with_its_own_geometry(images, tmp_path, capsys):
    for index in range(12):
        write_image(tmp_path / "three" / "green" / f"{index}.jpg", (60, 180, 70), seed=index)
    for name in ("blue", "red"):
        (tmp_path / "three" / name).symlink_to(images / name)
    options = ["--classes", "red, blue", "--set", "crop_fraction=0.5", "--set", "interpolation=bicubic", *QUICK]
    assert run(["train", str(tmp_path / "three"), *options, "--out", str(tmp_path), "--name", "two"]) == 0
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["class_names"] == ["blue", "red"]
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "two"), str(tmp_path / "three"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "test (the images the run did not train on)"
    assert found["log_loss"] == pytest.approx(summary["log_loss"], rel=1e-5)
    assert found["classes_left_out"] == 1
    assert run(["evaluate", str(tmp_path / "two"), str(tmp_path / "three")]) == 0
    assert "1 class(es) left out that the run was not trained on" in capsys.readouterr().out
    (tmp_path / "three" / "blue").unlink()
    assert run(["evaluate", str(tmp_path / "two"), str(tmp_path / "three")]) == 2
    assert "'green' is not one of the model's" in capsys.readouterr().err


def test_an_unknown_class_is_one_line(images, tmp_path, capsys):
    assert run(["train", str(images), "--classes", "red, bleu", "--out", str(tmp_path)]) == 2
    assert "no class of colours is called 'bleu': did you mean blue?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_predict_files_and_folders(trained, images, tmp_path, capsys):
    assert run(["predict", str(trained), str(images / "red" / "00.jpg"), str(images / "blue" / "01.jpg")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["red", "blue"]
    target = tmp_path / "out.csv"
    assert run(["predict", str(trained), str(images), "--csv", str(target)]) == 0
    captured = capsys.readouterr()
    assert "notes.txt: left out: not an image" in captured.err
    rows = list(csv.DictReader(target.open()))
    assert len(rows) == 60
    assert set(rows[0]) == {"file", "label", "probability", "blue", "red"}
    assert np.mean([row["label"] == row["file"].split("/")[-2] for row in rows]) > 0.9


def test_predict_without_a_usable_file_fails(trained, images, capsys):
    assert run(["predict", str(trained), str(images / "red" / "notes.txt")]) == 1
    assert "error: none of 1 file(s) could be used" in capsys.readouterr().err


def test_predict_json(trained, images, capsys):
    assert run(["predict", str(trained), str(images / "red" / "00.jpg"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["label"] == "red"
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_a_taken_name_is_refused_and_a_free_number_is_found(trained, images, capsys):
    out = trained.parent
    assert run(["train", str(images), *QUICK, "--out", str(out), "--name", "first"]) == 2
    assert "exists already and nothing is overwritten" in capsys.readouterr().err
    (out / "plain_cnn-colours-1").mkdir()
    (out / "plain_cnn-colours-1" / "notes.txt").write_text("mine")  # an empty folder is taken over
    assert run(["train", str(images), *QUICK, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 6
    assert {path.name for path in out.iterdir()} == {"first", "plain_cnn-colours-1", "plain_cnn-colours-2"}


def test_resume_of_a_finished_run_says_so(trained, capsys):
    assert run(["train", "--resume", str(trained)]) == 0
    captured = capsys.readouterr()
    assert "finished already" in captured.err
    assert "test accuracy" in captured.out


def test_resume_with_another_configuration_is_refused(trained, capsys):
    assert run(["train", "--resume", str(trained), "--set", "learning_rate=0.5", "--epochs", "8"]) == 2
    assert "learning_rate: 0.2 in the run, 0.5 asked for" in capsys.readouterr().err


def _fail(*args, **kwargs):
    raise RuntimeError("stop here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "no/such/folder"], "no/such/folder: no such file or folder"),
        (["train", "digitz"], "did you mean digits?"),
        (["train"], "SOURCE is missing"),
        (["train", "digits", "--model", "resnet_21"], "did you mean resnet_"),
        (["train", "digits", "--augment", "flpi"], "no op is called 'flpi': did you mean flip?"),
        (["train", "digits", "--augment", "pad_crop(open('x'))"], "pixels must be an integer"),
        (["train", "digits", "--set", "lerning_rate=1"], "did you mean learning_rate?"),
        (["train", "digits", "--set", "epochs=many"], "epochs must be int or None. Received: epochs='many'"),
        (["train", "digits", "--model", "resnet_20(depht=8)"], "arguments of resnet_20"),
        (["train", "digits", "--resume", "x"], "exclude each other"),
        (["train", "digits", "--name", "a/b"], "plain name"),
        (["train", "digits", "--model", "plain_cnn(widths=3)"], "plain_cnn(widths=3)"),
        (["train", "digits", "--set", "optimizer=sgd(momentum=5)"], "sgd(momentum=5)"),
        (["train", "digits", "--set", "optimizer=sgd(learning_rate=5)"], "learning_rate cannot be set here"),
        (["train", "digits", "--seed", "99999999999"], "must be in [0, 2^31). Received: 99999999999"),
        (["train", "--resume", "nowhere"], "no run folder"),
        (["trian", "digits"], "did you mean train?"),
        (["models", "vggg"], "no model is called 'vggg'"),
        (["recipe", "show", "digitz"], "did you mean digits?"),
        (["recipe", "copy", "digits"], "Missing argument 'FOLDER'"),
        (["predict", "nowhere", "x.jpg"], "nowhere: no such run folder"),
        (["evaluate", "nowhere", "digits"], "no run folder"),
        (["train", "digits", "--frobnicate"], "No such option"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in "".join(lines)
    assert not list(tmp_path.glob("saved_models/*")), "a mistake leaves nothing behind"


def test_recipe_list_show_copy(capsys, tmp_path):
    assert run(["recipe", "list"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} >= {"digits", "cifar10", "folder"}
    assert run(["recipe", "show", "digits"]) == 0
    assert "CONFIG = {" in capsys.readouterr().out
    assert run(["recipe", "copy", "digits", str(tmp_path)]) == 0
    assert (tmp_path / "digits.py").exists()
    assert run(["recipe", "copy", "digits", str(tmp_path)]) == 2


def test_version_and_bare_command(capsys):
    assert run(["--version"]) == 0
    assert kerastricks.__version__ in capsys.readouterr().out
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_a_recipe_of_ones_own_with_its_own_network(images, tmp_path, capsys):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        '"""Mine.\n\nkerastricks train mine.py\n"""\nimport keras\nCONFIG = {"epochs": 1, "batch_size": 16}\n'
        "print('from the recipe')\n"
        "@keras.saving.register_keras_serializable(package='mine')\n"
        "class Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 2 * x\n"
        "def create_model(data, config):\n"
        "    first = [keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255), Twice(), keras.layers.Flatten()]\n"
        "    return keras.Sequential([*first, keras.layers.Dense(len(data.class_names))], name='flat')\n"
    )
    out = tmp_path / "runs"
    assert run(["train", str(recipe), "--set", f"data={images}", "--out", str(out), "--json"]) == 0
    json.loads(capsys.readouterr().out)  # the recipe's print is not in it
    folder = out / "mine-colours-1"
    assert [path.name for path in out.iterdir()] == ["mine-colours-1"]
    assert json.loads((folder / "summary.json").read_text())["model"] == "flat"
    # It ended in logits; what is saved gives probabilities, and draws nothing.
    model = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(model.predict(np.zeros((1, *model.input_shape[1:])), verbose=0).sum(), 1, atol=1e-5)
    assert not any("RandomFlip" in type(layer).__name__ for layer in model.layers)


def test_resume_finds_data_that_has_moved_and_refuses_other_data(images, tmp_path, monkeypatch, capsys):
    import shutil

    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(images, here)
    with monkeypatch.context() as broken:
        broken.setattr("kerastricks.serving.export.tf.saved_model.save", _fail)
        with pytest.raises(RuntimeError, match="stop here"):
            run(["train", str(here), *QUICK, "--out", str(tmp_path), "--name", "moved"])
    write_image(here / "red" / "new.jpg", (200, 50, 60))
    assert run(["train", "--resume", str(tmp_path / "moved")]) == 2
    message = capsys.readouterr().err
    assert "the data set is not the one the run began with" in message
    assert "class_counts" in message
    (here / "red" / "new.jpg").unlink()
    here.rename(there)
    assert run(["train", "--resume", str(tmp_path / "moved")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert run(["train", "--resume", str(tmp_path / "moved"), "--set", f"data={there}"]) == 0
    assert {path.name for path in (tmp_path / "moved").iterdir() if path.name.isdigit()} == {"1"}


def test_names_with_brackets_are_shown_as_they_are(trained, images, tmp_path, capsys):
    for name in ("blue", "red"):
        target = tmp_path / "[bold] new" / name / "[red]ü.jpg"
        target.parent.mkdir(parents=True)
        target.write_bytes((images / name / "00.jpg").read_bytes())
    assert run(["evaluate", str(trained), str(tmp_path / "[bold] new")]) == 0
    assert "[bold] new, all images: 2 images" in capsys.readouterr().out
    assert run(["predict", str(trained), str(tmp_path / "[bold] new")]) == 0
    assert "[red]ü.jpg" in capsys.readouterr().out


def test_evaluate_takes_a_single_class(trained, images, tmp_path, capsys):
    write_image(tmp_path / "one" / "red" / "1.png", (200, 50, 60))
    assert run(["evaluate", str(trained), str(tmp_path / "one"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recall"]["blue"] is None


def test_a_broken_recipe_names_its_line(tmp_path, capsys):
    recipe = tmp_path / "broken.py"
    recipe.write_text("CONFIG = {}\nx = 1 / 0\n")
    assert run(["train", str(recipe)]) == 2
    assert "broken.py:2: ZeroDivisionError" in capsys.readouterr().err


def test_a_full_disk_leaves_no_new_folder_or_says_how_to_go_on(tmp_path, capsys):
    from kerastricks.errors import WriteError
    from kerastricks.runs import RunFolder
    from kerastricks.runs.resumable import carry_out
    from kerastricks.runs.training_run import RESUMPTION

    def full():
        raise WriteError("config.json: cannot be written (the disk is full): make room and try again")

    def again():
        with RunFolder.begin(tmp_path, "mine", "nin", "cats") as begun:
            begun.write(begun.config, {"config": {}})
        return begun

    with pytest.raises(WriteError):
        carry_out(again(), full, RESUMPTION, resumed=False)
    assert not list(tmp_path.iterdir())  # nothing was trained
    for trained in ("metrics.jsonl", "checkpoint.npz"):
        folder = again()
        (folder.path / trained).write_text("")
        with pytest.raises(WriteError):
            carry_out(folder, full, RESUMPTION, resumed=False)
        assert f"resume with: kerastricks train --resume {folder.path}" in capsys.readouterr().out
        (folder.path / trained).unlink()
        with pytest.raises(WriteError):
            carry_out(folder, full, RESUMPTION, resumed=True)
        assert folder.config.exists()
        folder.config.unlink()  # an empty folder is taken over


def test_what_tensorflow_says_of_a_full_disk_is_a_line(monkeypatch, capsys):
    def full(*arguments, **options):
        raise RuntimeError("/data/shard; No space left on device")

    monkeypatch.setattr("kerastricks.recipes.names", full)
    assert run(["recipe", "list"]) == 1
    assert capsys.readouterr().err == "error: /data/shard; No space left on device\n"
