"""Logs of every writer give one form."""

import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from kerastricks.doctor import read_log
from kerastricks.doctor.reading import read_label_findings
from kerastricks.doctor.training_log import smoothing_floor
from kerastricks.errors import UsageError

pytestmark = pytest.mark.tensorflow_only

RUN = Path(__file__).parents[1] / "compatibility" / "fixtures" / "runs" / "finished"
KERAS = "epoch,accuracy,loss,learning_rate,val_accuracy,val_loss\n0,0.1,2.3,0.1,0.1,2.3\n1,0.2,2.1,0.1,0.15,2.2\n"
ULTRALYTICS = (
    "                  epoch,          train/loss,  metrics/accuracy_top1,  metrics/accuracy_top5,  val/loss, lr/pg0\n"
    "                      1,    2.3,   .1,  .5,  2.3,  .1\n                      2,    2.1,  .15,  .6,  2.2,  .1\n"
)
TIMM = "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,2.3,2.3,10.0,50.0,0.1\n1,2.1,2.2,15.0,60.0,0.1\n"
FASTAI = "epoch,train_loss,valid_loss,accuracy,time\n0,2.3,2.3,.1,00:05\n1,2.1,2.2,.15,00:05\n"
LIGHTNING = (
    "epoch,lr-SGD,step,train_loss_epoch,train_loss_step,val_acc,val_loss\n,0.1,0,,,,\n0,,9,,2.4,,\n0,,19,,2.2,,\n"
    "0,,19,,,.1,2.3\n0,,19,2.3,,,\n,0.1,20,,,,\n1,,29,,2.2,,\n1,,39,,2.0,,\n1,,39,,,.15,2.2\n1,,39,2.1,,,\n"
)
TRAINER = json.dumps(
    {
        "log_history": [
            {"epoch": 0.5, "step": 5, "loss": 2.4, "learning_rate": 0.1, "grad_norm": 1.0},
            {"epoch": 1.0, "step": 10, "loss": 2.2, "learning_rate": 0.1},
            {"epoch": 1.0, "step": 10, "eval_loss": 2.3, "eval_accuracy": 0.1, "eval_runtime": 1.0},
            {"epoch": 1.5, "step": 15, "loss": 2.2, "learning_rate": 0.1},
            {"epoch": 2.0, "step": 20, "loss": 2.0, "learning_rate": 0.1},
            {"epoch": 2.0, "step": 20, "eval_loss": 2.2, "eval_accuracy": 0.15, "eval_runtime": 1.0},
            {"epoch": 2.0, "step": 20, "train_loss": 2.2, "train_runtime": 9.0},
        ]
    }
)
RECORDS = json.dumps(
    [
        {"epoch": 1, "loss": 2.3, "val_loss": 2.3, "val_acc": 0.1},
        {"epoch": 2, "loss": 2.1, "val_loss": 2.2, "val_acc": 0.15},
    ]
)
LINES = "\n".join(json.dumps(record) for record in json.loads(RECORDS))
LISTS = '{"loss": [2.3, 2.1], "val_loss": [2.3, 2.2], "val_accuracy": [0.1, 0.15]}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", KERAS),
        ("semicolons.csv", KERAS.replace(",", ";")),
        ("results.csv", ULTRALYTICS),
        ("summary.csv", TIMM),
        ("history.csv", FASTAI),
        ("metrics.csv", LIGHTNING),
        ("trainer_state.json", TRAINER),
        ("records.json", RECORDS),
        ("log.jsonl", LINES),
        ("history.json", LISTS),
    ],
)
def test_the_usual_writers_give_the_same_log(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    log = read_log(tmp_path / name)
    np.testing.assert_allclose(log.epochs, [1, 2])
    np.testing.assert_allclose(log.loss, [2.3, 2.1])
    np.testing.assert_allclose(log.val_loss, [2.3, 2.2])
    np.testing.assert_allclose(log.val_accuracy, [0.1, 0.15])
    assert np.isnan(log.accuracy).all() or log.accuracy.tolist() == [0.1, 0.2]
    assert np.isnan(log.learning_rate).all() or log.learning_rate.tolist() == [0.1, 0.1]


@pytest.mark.parametrize(("name", "text"), [("metrics.csv", LIGHTNING), ("trainer_state.json", TRAINER)])
def test_rows_of_steps_are_told_from_rows_of_epochs(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    log = read_log(tmp_path / name)
    np.testing.assert_allclose(log.step_loss, [2.4, 2.2, 2.2, 2.0])
    assert log.steps_per_epoch == pytest.approx(log.steps[-1] / 2)


def test_columns_can_be_named(tmp_path):
    (tmp_path / "log.csv").write_text("Epoch,Train Robust Loss,Test Robust Loss\n1,1.5,1.6\n2,1.4,1.7\n")
    with pytest.raises(
        UsageError, match=r"no column is a loss.*Found: Epoch, Train Robust.*Say which: --columns loss="
    ):
        read_log(tmp_path / "log.csv")
    log = read_log(tmp_path / "log.csv", columns={"loss": "Train Robust Loss", "val_loss": "Test Robust Loss"})
    assert log.loss.tolist() == [1.5, 1.4]
    assert log.val_loss.tolist() == [1.6, 1.7]
    with pytest.raises(UsageError, match=r"no column 'Loss'\. Found: Epoch"):
        read_log(tmp_path / "log.csv", columns={"loss": "Loss"})


def test_steps_and_epochs_in_two_files(tmp_path):
    (tmp_path / "epochs.csv").write_text(KERAS)
    (tmp_path / "steps.csv").write_text("step,loss\n" + "\n".join(f"{step},{2.4 - step / 100}" for step in range(40)))
    for first, second in (("epochs.csv", "steps.csv"), ("steps.csv", "epochs.csv")):
        log = read_log(tmp_path / first, tmp_path / second)
        assert len(log.step_loss) == 40
        assert log.val_loss.tolist() == [2.3, 2.2]


def test_a_loss_that_is_no_number_is_infinite_and_an_empty_cell_is_missing(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n1,2.3,\n2,nan,2.2\n3,NaN,inf\n")
    log = read_log(tmp_path / "log.csv")
    assert log.loss.tolist() == [2.3, math.inf, math.inf]
    assert np.isnan(log.val_loss[0])
    assert log.val_loss[1:].tolist() == [2.2, math.inf]
    assert read_log({"loss": [1.0, float("nan")]}).loss.tolist() == [1.0, math.inf]


def test_a_run_folder_has_its_batches_classes_and_batch_size():
    log = read_log(RUN)
    losses = np.fromfile(RUN / "batch_loss.f32", "<f4")
    np.testing.assert_allclose(log.step_loss, losses)
    assert log.steps.tolist() == list(range(1, len(losses) + 1))
    assert log.epochs.tolist() == [1, 2, 3]
    assert (log.classes, log.batch_size, log.name) == (3, 4, "finished")
    config = json.loads((RUN / "config.json").read_text())["config"]
    assert log.optimizer == config["optimizer"].partition("(")[0] == "sgd"
    assert log.floor == pytest.approx(smoothing_floor(config["label_smoothing"], 3))
    assert log.floor > 0


def test_a_run_that_diverged_ends_in_an_infinite_loss_and_lost_batches_are_missing(tmp_path):
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((RUN / name).read_bytes())
    np.array([2.0, np.nan, 3.0, np.nan], "<f4").tofile(tmp_path / "batch_loss.f32")
    np.testing.assert_array_equal(read_log(tmp_path).step_loss, [2.0, np.nan, 3.0, np.inf])


def test_percentages_are_shares(tmp_path):
    (tmp_path / "summary.csv").write_text(TIMM)
    assert read_log(tmp_path / "summary.csv").val_accuracy.tolist() == [0.1, 0.15]


def test_a_history_of_keras_is_read_as_it_is():
    history = keras.callbacks.History()
    history.history, history.epoch = {"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}, [4, 5]
    assert read_log(history).epochs.tolist() == [4, 5]
    assert read_log(history.history).epochs.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", "is empty"),
        ("log.csv", b"epoch,loss\n", "is empty: no row of a training"),
        ("log.json", b"[]", "is empty: no row of a training"),
        ("log.csv", b"epoch,time\n1,2\n", "no column is a loss by its name. Found: epoch, time"),
        ("history.pkl", b"\x80\x04", "a pickle or an archive can run code when it is read"),
        ("history", b"\x80\x04\x95", "a pickle or an archive can run code when it is read"),
        ("log.csv", b"epoch,loss\n1,2\n2,1\n1,2\n2,1\n", "2 runs in one file: epoch starts over in row 3"),
        ("log.csv", b"epoch,loss\n1,two\n2,1\n", "line 2 does not fit the header of 2 columns: '1,two'"),
        ("log.bin", b"\xff\xfe\x00\x01", "not valid UTF-8"),
        ("log.jsonl", b'{"loss": 1}\nhello\n{"loss": 2}\n', "line 2 is neither JSON nor a record"),
        ("log.json", b'{"loss": [1, ' + b"9" * 5000 + b"]}", "a number has too many digits"),
        ("log.json", b"[" * 100_000, "it is nested too deeply"),
        ("log.jsonl", b'{"loss": 1}\n{"loss": ' + b"[" * 100_000 + b"\n{}\n", "line 2 is no record"),
        ("log.json", b'{"loss": [[1], [2]]}', "[1] is no number"),
        ("log.json", b'{"loss": ["a", "b"]}', "could not convert string to float: 'a'"),
        ("log.csv", b"epoch,loss\n" + b"1,2\n" * 2000 + b"\xff,1\n", "not valid UTF-8"),
        ("log.csv", b"epoch,loss\n1," + b"x" * 200_000 + b"\n", "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_log(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no such file"):
        read_log(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(("name", "text"), [("log.csv", KERAS + "2,0.3,"), ("log.jsonl", LINES + '\n{"epoch": 3, "lo')])
def test_a_last_line_that_is_cut_off_is_left_out_and_said(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    log = read_log(tmp_path / name)
    assert log.loss.tolist() == [2.3, 2.1]
    assert "cut off" in log.notes[0]


def test_json_lines_are_gone_through_twice_and_say_which_line_is_wrong(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n\n{"step": 2, "loss": 1.5, "val_loss": 1.6}\n{"step": 3, "lo')
    log = read_log(path)
    assert log.step_loss.tolist() == [2.0]
    assert log.val_loss.tolist() == [1.6]
    assert log.notes == ("log.jsonl: the last line is cut off and was left out",)
    path.write_text('{"loss": 2.0}\n{"loss": 1.0\n{"loss": 0.5}\n')
    with pytest.raises(UsageError, match="line 2 is no record"):
        read_log(path)


def test_an_integer_beyond_every_float_is_an_infinite_loss(tmp_path):
    (tmp_path / "log.json").write_text('{"loss": [1, 2, ' + "9" * 400 + "]}")
    assert read_log(tmp_path / "log.json").loss.tolist() == [1, 2, math.inf]


@pytest.mark.parametrize("name", ["log.csv", "events.out.tfevents.1"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match="is no file: write the log to one"):
        read_log(tmp_path / name)


@pytest.mark.parametrize(
    "config",
    [
        "[1]", "3", '{"config": 3}', '{"config": [1], "data": 3}', '{"config": null, "data": null}', "[" * 100_000,
        '{"config": {"label_smoothing": "x", "batch_size": "y", "optimizer": 3}, "data": {"class_names": null}}',
        '{"config": {"label_smoothing": 2.0, "batch_size": -5}, "data": {"class_names": 3}}',
    ],
)  # fmt: skip
def test_a_run_whose_configuration_was_changed_by_hand_has_its_log(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "metrics.jsonl").write_text(LINES)
    np.ones(3, "<f4").tofile(tmp_path / "batch_loss.f32")
    log = read_log(tmp_path)
    assert (log.classes, log.batch_size, log.floor) == (None, None, 0.0)
    assert len(log.epochs) == 2


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="no run folder"):
        read_log(path)
    with pytest.raises(UsageError, match="/proc/self/mem: cannot be read"):
        read_log("/proc/self/mem")


@pytest.mark.parametrize(
    "content",
    ["3", "[1]", '"suspects"', '{"suspects": 3, "images": 1}', '{"suspects": [1], "images": 1}',
     '{"suspects": [{}], "images": 1}', '{"suspects": []}', '{"suspects": [], "images": "x"}', "[" * 100_000],
)  # fmt: skip
def test_a_check_of_labels_that_is_damaged_is_refused(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(UsageError, match="no finished check of labels"):
        read_label_findings(tmp_path)


def test_suspected_labels_become_a_finding(tmp_path):
    with pytest.raises(UsageError, match="kerastricks check labels"):
        read_label_findings(tmp_path)
    suspect = {"name": "a.png", "given": "cat", "likely": "dog"}
    for count in (0, 5):
        (tmp_path / "labels.json").write_text(json.dumps({"images": 50, "suspects": [suspect] * count}))
        found = read_label_findings(tmp_path)
        assert len(found) == (count > 0)
    assert found[0].code == "labels_suspected"
    assert "5 of 50 labels" in found[0].evidence
    assert "a.png (cat, looks like dog)" in found[0].evidence
    assert str(tmp_path / "suspects.csv") in found[0].advice
