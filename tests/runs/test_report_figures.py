"""Which images a report shows, and that no picture is worth a failed run."""

import json

import numpy as np
import pytest
from made_runs import summary_of

from kerastricks.runs import report_figures
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.report_figures import TestPredictions, find_findings, run_figures, shown_fields

pytestmark = pytest.mark.tensorflow_only

NAMES = ["a", "b", "c"]


def figures(tmp_path, labels, probabilities, files=None):
    seen = TestPredictions(
        np.array(labels),
        np.array(probabilities, "float32"),
        files,
        lambda chosen: np.zeros((len(chosen), 8, 8, 1)),
        None,
    )
    summary = summary_of(
        class_names=NAMES, recall=dict.fromkeys(NAMES, 0.5), confusion_matrix=np.eye(3, dtype=int).tolist()
    )
    return run_figures(RunFolder(tmp_path), summary, {"epochs": 1, "model": "mlp"}, seen)


@pytest.fixture(autouse=True)
def flat_maps(monkeypatch):
    monkeypatch.setattr(report_figures, "grad_cam", lambda model, pixels, classes: np.zeros((len(pixels), 2, 2)))


def test_confident_mistakes_and_doubtful_hits_come_first(tmp_path):
    probabilities = [[0.9, 0.1, 0], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0, 0, 1]]
    found = figures(tmp_path, [1, 0, 0, 0, 2], probabilities, files=["0", "1", "2", "3", "4"])
    assert [(one.file, one.true, one.predicted) for one in found.mistakes] == [("0", "b", "a"), ("2", "a", "b")]
    assert [one.file for one in found.doubtful] == ["3", "1", "4"]
    assert found.mistakes[0].true_probability == pytest.approx(0.1)
    assert found.mistakes[0].heat is None  # nothing speaks for the class


@pytest.mark.parametrize("right", [True, False])
def test_only_hits_or_only_mistakes_are_no_error(tmp_path, right):
    found = figures(tmp_path, [0 if right else 1] * 20, [[0.6, 0.3, 0.1]] * 20)
    assert (len(found.mistakes), len(found.doubtful)) == ((0, 8) if right else (8, 0))
    assert (found.doubtful or found.mistakes)[0].file.startswith("image ")


def test_an_error_of_somebodys_layer_is_a_note(tmp_path, monkeypatch):
    def fails(*given):
        raise RuntimeError("no gradient\nhere")

    monkeypatch.setattr(report_figures, "grad_cam", fails)
    found = figures(tmp_path, [0], [[0.6, 0.3, 0.1]])
    assert found.picture_note == "Without Grad-CAM: RuntimeError: no gradient."
    assert len(found.doubtful) == 1


def run_with_metrics(tmp_path):
    run = RunFolder(tmp_path)
    lines = [{"epoch": epoch, "loss": 1 / epoch, "val_loss": 1 + 0.5 * epoch} for epoch in range(1, 9)]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.config.write_text("{}")
    return run


def test_a_run_is_diagnosed_by_its_logs(tmp_path):
    found, notes = find_findings(run_with_metrics(tmp_path), summary_of())
    assert "overfitting" in [one.code for one in found]
    assert notes == []


def test_what_has_no_curves_of_its_own_has_no_findings(tmp_path):
    assert find_findings(RunFolder(tmp_path), summary_of()) == ((), [])  # an ensemble
    run = run_with_metrics(tmp_path)
    found, notes = find_findings(run, summary_of(distillation={"teacher": "big"}))
    assert found == ()
    assert "that of a distillation" in notes[0]
    run.metrics.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    found, notes = find_findings(run, summary_of())
    assert found == ()
    assert "no column is a loss by its name" in notes[0]


def test_fields_are_those_that_decided_the_result():
    assert shown_fields({"epochs": 1, "model": "mlp"}, summary_of()) == {"epochs": 1, "model": "mlp"}
