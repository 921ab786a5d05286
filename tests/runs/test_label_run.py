"""The check of labels as a job: planted wrong files are named, no label is seen before it is checked, it is resumed."""

import csv
import importlib
import json
import shutil
import signal

import keras
import numpy as np
import pytest
from conftest import COLOURS, write_image

from kerastricks import runs
from kerastricks.errors import ConfigError, Interrupted, RunFolderError, UnknownNameError, UsageError

pytestmark = pytest.mark.tensorflow_only
JOB = importlib.import_module("kerastricks.runs.label_run")
FIELDS = {"model": "mlp(depth=1, width=16)", "epochs": 8, "batch_size": 4, "learning_rate": 0.05}
FIELDS |= {"label_smoothing": 0.0, "augment": "", "precision": "float32", "jit": False}
WRONG = {"blue/red-0.png": ("blue", "red"), "green/blue-0.png": ("green", "blue")}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of sixteen; one file of "blue" is red, and one of "green" is blue."""
    root = tmp_path_factory.mktemp("labels") / "colours"
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(15):
            write_image(root / name / f"{index:02}.png", colour, (8, 8), seed=100 * number + index)
    for number, (file, (_, looks)) in enumerate(WRONG.items()):
        write_image(root / file, COLOURS[looks], (8, 8), seed=1000 + number)
    return root


@pytest.fixture(scope="module")
def checked(images, tmp_path_factory):
    """A finished check: its folder, report and what was said."""
    folder, said = tmp_path_factory.mktemp("checked") / "check", []
    report = runs.find_wrong_labels(images, folder=folder, folds=2, say=said.append, **FIELDS)
    return folder, report, said


def test_files_with_wrong_labels_are_named(checked):
    folder, report, said = checked
    assert {one.name: (one.given, one.likely) for one in report.suspects} == WRONG
    assert report.images == 47
    assert report.estimated_share == pytest.approx(2 / 47, abs=1 / 47)
    assert said[0] == f"folder: {folder}"
    folds = [line for line in said if line.startswith("fold ")]  # on a busy machine with lines of progress between
    assert [line.partition(" on held-out labels, ")[0][:23] for line in folds] == [
        "fold 1 of 2: accuracy 9",
        "fold 2 of 2: accuracy 9",
    ]
    assert ["ETA" in line for line in folds] == [True, False]


def test_the_folder_has_list_report_and_predictions_and_no_checkpoint(checked):
    folder, report, _ = checked
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "skipped.jsonl", "suspects.csv", "labels.json", "fold_1.npy", "fold_2.npy"}
    assert json.loads((folder / "labels.json").read_text()) == report.to_json()
    with open(folder / "suspects.csv", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [one.name for one in report.suspects]
    rows = [np.load(folder / f"fold_{number}.npy") for number in (1, 2)]
    assert sum(len(part) for part in rows) == 47  # each image once, test images too
    assert np.allclose(np.concatenate(rows).sum(axis=1), 1, atol=1e-5)


def test_a_file_whose_name_is_no_utf_8_is_a_suspect_like_any_other(tmp_path):
    probabilities = np.where(np.eye(2)[[0] * 10 + [1] * 10] > 0, 0.9, 0.1)
    names = [f"{n}\udcff.png" for n in range(20)]
    report = JOB.check_labels([0] * 9 + [1] * 11, probabilities, class_names=("cat", "dog"), names=names)
    JOB._write_suspects(tmp_path / "suspects.csv", report)
    assert (tmp_path / "suspects.csv").read_text(encoding="utf-8").splitlines()[1].startswith("9\\udcff.png,dog,cat,")


def test_no_network_is_trained_on_what_it_predicts(images, tmp_path, monkeypatch):
    """Folders of splits: names of train/ and validation/ are held out, those of test/ are in no fold."""
    seen, predicted = [], []

    def fit(model, part, config, **more):
        seen.append(set(part.files("train")))

    def predict(model, batches, *given):
        names = list(batches.examples.names)
        predicted.append(names)
        labels = batches.examples.labels
        return np.eye(3, dtype="float32")[labels] * 0.7 + 0.1

    monkeypatch.setattr(JOB, "fit", fit)
    monkeypatch.setattr(JOB, "predict", predict)
    report = runs.find_wrong_labels(images, folder=tmp_path / "check", folds=3, say=lambda line: None, **FIELDS)
    assert len(seen) == 3
    held = [set(part) | set(test) for part, test in zip(predicted[::2], predicted[1::2], strict=True)]
    assert sum(len(part) for part in held) == len(set().union(*held)) == 47
    assert all(not trained & part for trained, part in zip(seen, held, strict=True))
    tested = set().union(*predicted[1::2])
    assert all(not trained & tested for trained in seen)
    # Each label is compared with its own row: all agree.
    assert report.accuracy == 1


class StopAtTheThirdEpoch(keras.callbacks.Callback):
    """Ctrl-C at its end."""

    is_saved = False

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_check_resumed_is_that_without_interruption(checked, tmp_path, monkeypatch):
    folder, said = tmp_path / "check", []
    shutil.copytree(checked[0], folder)
    for name in ("fold_2.npy", "labels.json", "suspects.csv"):  # as if the second fold had not been trained
        (folder / name).unlink()
    monkeypatch.setattr(JOB, "new_model", counted(JOB.new_model, models := []))
    fit = JOB.fit
    with monkeypatch.context() as patch:
        patch.setattr(JOB, "fit", lambda *given, **more: fit(*given, **with_stop(more)))
        with pytest.raises(Interrupted, match=r"kerastricks\.runs\.find_wrong_labels\(resume='.*check'\) resumes it"):
            runs.find_wrong_labels(resume=folder, say=said.append)
    assert said[-1] == f"interrupted; resume with: kerastricks check labels --resume {folder}"
    assert (folder / "fold_2" / "checkpoint.npz").exists()
    with pytest.raises(RunFolderError, match="was begun by kerastricks check labels: resume with kerastricks check la"):
        runs.train(resume=folder)
    with pytest.raises(UsageError, match="resume goes without source and settings"):
        runs.find_wrong_labels(resume=folder, epochs=3)
    report = runs.find_wrong_labels(resume=folder, say=said.append)
    assert report == checked[1]
    assert len(models) == 2  # the first fold is not trained again
    assert {path.name for path in folder.iterdir()} == {path.name for path in checked[0].iterdir()}


def with_stop(more):
    return {**more, "callbacks": [*more["callbacks"], StopAtTheThirdEpoch()]}


def counted(function, calls):
    def call(*given, **more):
        calls.append(given)
        return function(*given, **more)

    return call


def test_a_resumed_check_has_the_data_it_began_with(checked, images, tmp_path):
    folder, _, _ = checked
    other = tmp_path / "colours"
    for name, colour in COLOURS.items():
        for index in range(12):
            write_image(other / name / f"{index:02}.png", colour, (8, 8), seed=index)
    before = (folder / "config.json").read_text()
    with pytest.raises(RunFolderError, match="the data set is not the one the run began with"):
        runs.find_wrong_labels(resume=folder, data=str(other), say=lambda line: None)
    (folder / "config.json").write_text(before)


def test_arrays_have_rows_for_names(tmp_path, monkeypatch):
    monkeypatch.setattr(JOB, "fit", lambda *given, **more: None)
    monkeypatch.setattr(
        JOB, "predict", lambda model, batches, *given: np.eye(10, dtype="float32")[batches.examples.labels] * 0.9 + 0.01
    )
    found = []
    monkeypatch.setattr(JOB, "check_labels", counted(JOB.check_labels, found))
    runs.find_wrong_labels("digits", folder=tmp_path / "check", say=lambda line: None, model="mlp(depth=1, width=4)")
    (labels, _, _, names) = found[0]
    from sklearn.datasets import load_digits

    assert sorted(map(int, names)) == list(range(1797))
    assert np.array_equal(labels, load_digits().target[[int(name) for name in names]])


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"folds": 1}, ConfigError, "folds must be 2 to 100. Received: folds=1"),
        ({"average": "swa"}, ConfigError, "average='swa' decides by the labels that are held out"),
        ({"early_stopping_epochs": 3}, ConfigError, "early_stopping_epochs=3 decides by the labels"),
        ({"schedule": "plateau(factor=2)"}, ConfigError, r"schedule='plateau\(factor=2\)' decides by the labels"),
        ({"bagging": True}, ConfigError, "copies of an image into several folds"),
        ({"minutes": 3}, ConfigError, "choose epochs instead"),
        ({"model": "mpl"}, UnknownNameError, "did you mean mlp"),
        ({"folds": 40, "epochs": 1}, UsageError, "needed for 40 folds: add images, or take fewer folds"),
    ],
)
def test_what_cannot_be_checked_is_refused_and_leaves_no_folder(images, tmp_path, fields, kind, message):
    with pytest.raises(kind, match=message):
        runs.find_wrong_labels(images, folder=tmp_path / "check", say=lambda line: None, **fields)
    assert not list(tmp_path.iterdir())


def test_folders_that_are_taken_or_no_checks(checked, images, tmp_path):
    folder, _, _ = checked
    with pytest.raises(RunFolderError, match=f"choose another --folder, or resume with .* --resume {folder}"):
        runs.find_wrong_labels(images, folder=folder)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"is a file, no folder\): choose another --folder"):
        runs.find_wrong_labels(images, folder=tmp_path / "file" / "check")
    with pytest.raises(ConfigError, match="data is missing"):
        runs.find_wrong_labels()
    (tmp_path / "config.json").write_text(json.dumps({"config": {"data": "digits"}, "resolved": False}))
    with pytest.raises(RunFolderError, match="is no check of labels: resume with kerastricks train --resume"):
        runs.find_wrong_labels(resume=tmp_path)


@pytest.mark.slow
def test_most_planted_errors_of_the_digits_are_found(tmp_path):
    """5 % of the labels changed at random; the bounds are below all of three seeds that were measured."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, random = load_digits(), np.random.default_rng(0)
    wrong = random.choice(1797, 90, replace=False)
    labels = digits.target.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, 10, 90)) % 10
    for index, (label, pixels) in enumerate(zip(labels, digits.images, strict=True)):
        path = tmp_path / "images" / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(path)
    quiet = {"folder": tmp_path / "check", "say": lambda line: None}
    report = runs.find_wrong_labels("digits", data=str(tmp_path / "images"), **quiet)
    found = [int(one.name.split("/")[1].removesuffix(".png")) for one in report.suspects]
    hits = len(set(found) & set(wrong.tolist()))
    assert hits / len(found) > 0.8
    assert hits / 90 > 0.7
    assert set(found[: len(found) // 2]) <= set(wrong.tolist())
    assert report.estimated_share == pytest.approx(0.05, abs=0.015)
