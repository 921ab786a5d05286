"""kerastricks distill: the teacher's images and splits, its scores beside the student's, and what is refused."""

import importlib
import json
import shutil

import keras
import numpy as np
import pytest

from kerastricks.cli import run
from kerastricks.errors import Interrupted
from kerastricks.runs.distillation_run import TeacherFile
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only
FINISH, DISTILL = (importlib.import_module(f"kerastricks.runs.{name}") for name in ("finishing", "distillation_run"))
QUICK = ["--epochs", "2", "--set", "precision=float32", "--set", "jit=False"]
STUDENT = ["--model", "plain_cnn(widths=(4,))", *QUICK]


@pytest.fixture(autouse=True)
def no_export(monkeypatch):
    monkeypatch.setattr(FINISH, "export_saved_model", lambda *given: given[2] / "1")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run of seed 5 whose splits are those of seed 2."""
    out = tmp_path_factory.mktemp("teachers")
    patch = pytest.MonkeyPatch()
    patch.setattr(FINISH, "export_saved_model", lambda *given: given[2] / "1")
    with patch.context():
        seeds = ["--seed", "5", "--set", "split_seed=2", "--set", "test=0.3"]
        model = ["--model", "plain_cnn(widths=(8,))"]
        assert run(["train", "digits", *model, *QUICK, *seeds, "--out", str(out), "--name", "teacher"]) == 0
    patch.undo()
    return out / "teacher"


def distill(*arguments):
    return run(["distill", *map(str, arguments)])


def read(path):
    return json.loads(path.read_text())


def test_a_student_has_its_teachers_splits_and_is_measured_beside_it(teacher, tmp_path, capsys):
    assert distill(teacher, *STUDENT, "--out", tmp_path, "--name", "small", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    folder = tmp_path / "small"
    config = read(folder / "config.json")["config"]
    assert (config["data"], config["test"], config["split_seed"], config["seed"]) == ("digits", 0.3, 2, 0)
    assert config["label_smoothing"] == 0.0
    report = summary["distillation"]
    assert report["teacher"] == str(teacher / "model.keras")
    assert (report["temperature"], report["hard_weight"]) == (4.0, 0.1)
    of_the_teacher = read(teacher / "summary.json")
    for name in ("accuracy", "balanced_accuracy", "log_loss"):
        assert report["teacher_test"][name] == pytest.approx(of_the_teacher[name], rel=1e-5)
        assert report["student_test"][name] == pytest.approx(summary[name], rel=1e-5)
    assert report["student_parameters"] < report["teacher_parameters"] == of_the_teacher["parameters"]
    assert keras.models.load_model(folder / "model.keras").count_params() == report["student_parameters"]


def test_an_interrupted_distillation_goes_on_with_the_same_teacher_alone(teacher, tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.keras"
    own.write_bytes((teacher / "model.keras").read_bytes())
    fit = DISTILL.fit

    def stopped(*given, **more):
        raise Interrupted(2)

    monkeypatch.setattr(DISTILL, "fit", stopped)
    assert distill(own, "digits", *STUDENT, "--temperature", "2", "--out", tmp_path, "--name", "broken") == 130
    assert "kerastricks distill --resume" in capsys.readouterr().err
    monkeypatch.setattr(DISTILL, "fit", fit)
    broken = tmp_path / "broken"
    assert distill("--resume", broken, "--temperature", "3") == 2
    assert "a run is resumed as it began" in capsys.readouterr().err
    assert run(["train", "--resume", str(broken)]) == 2
    assert "kerastricks distill" in capsys.readouterr().err
    kept = own.read_bytes()
    own.write_bytes((teacher / "model.keras").read_bytes() + b"x")
    assert distill("--resume", broken) == 2
    assert "is not the teacher that" in capsys.readouterr().err
    own.write_bytes(kept)
    assert distill("--resume", broken) == 0
    assert read(broken / "summary.json")["distillation"]["temperature"] == 2.0
    assert "of the weights" in capsys.readouterr().out
    assert distill("--resume", broken) == 0
    assert "finished already" in capsys.readouterr().err


def test_classes_in_another_order_are_aligned_by_name(teacher):
    opened = TeacherFile.open(teacher)
    data = load_data("digits", Config(test=0.3, split_seed=2))
    images = next(iter(data.test))[0].numpy()
    plain = opened.model.predict_on_batch(images)
    turned = TeacherFile(opened.path, opened.model, opened.class_names[::-1], opened.fields)
    np.testing.assert_allclose(turned.aligned(data).predict_on_batch(images), plain[:, ::-1], rtol=1e-6)
    assert opened.aligned(data) is opened.model


def test_a_model_that_a_run_kept_has_the_splits_and_classes_of_its_run(teacher):
    kept = teacher / "members" / "01.keras"
    kept.parent.mkdir()
    shutil.copyfile(teacher / "model.keras", kept)
    found = TeacherFile.open(kept)
    assert (found.class_names, found.fields["split_seed"]) == (tuple("0123456789"), 2)


def test_a_teacher_that_cannot_teach_this_is_one_line(teacher, tmp_path, capsys):
    where = ["--out", tmp_path, "--name", "none"]
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes((teacher / "model.keras").read_bytes()[:-4000])
    logits = tmp_path / "alone.keras"
    keras.models.load_model(teacher / "model.keras").save(logits)
    large = tmp_path / "large.keras"
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(large)
    cases = [
        ([tmp_path / "nowhere"], "no such run folder or .keras file"),
        ([], "TEACHER is missing"),
        ([damaged, "digits"], "damaged.keras: is damaged (the zip archive is cut off)"),
        ([logits], "DATA is missing"),
        ([tmp_path], "no run folder"),
        ([large, "digits"], "arrays are used at their own size"),
        ([teacher, "--model", "plane_cnn"], "did you mean plain_cnn"),
        ([teacher, "--temperature", "0"], "must be in (0, 1,000]. Received: 0.0"),
        ([teacher, "--temperature", "inf"], "must be in (0, 1,000]. Received: inf"),
        ([teacher, "--hard-weight", "1.5"], "must be in [0, 1]. Received: 1.5"),
        ([teacher, "--classes", "1, 2"], "No such option"),
        ([teacher, *STUDENT, "--set", "classes=1, 2, 7"], "knows 0, 3, 4, 5, 6, 8, 9 besides"),
    ]
    for arguments, message in cases:
        assert distill(*arguments, *where) == 2, arguments
        error = capsys.readouterr().err
        assert message in error, (message, error)
        assert not (tmp_path / "none").exists(), arguments
