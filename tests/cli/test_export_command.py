"""kerastricks export, in this process; the export itself: tests/runs/test_exporting.py."""

import json
import shutil
from pathlib import Path

import pytest

from kerastricks.cli import run
from kerastricks.runs import exporting
from kerastricks.runs.exporting import ExportReport

pytestmark = pytest.mark.tensorflow_only

FIXTURES = Path(__file__).parent.parent / "compatibility" / "fixtures"


@pytest.fixture
def finished(tmp_path):
    """A run of version 0.1.0, whose images are elsewhere now."""
    return Path(shutil.copytree(FIXTURES / "runs" / "finished", tmp_path / "finished"))


@pytest.fixture
def given(monkeypatch):
    """What the command gives the job, which reports an export that lost much."""
    seen = {}

    def export(run, format, quantize, data, seed, progress):
        seen.update(run=run, format=format, quantize=quantize, data=data, seed=seed)
        path = run / format / "1" / "model"
        compared = {
            "images": 1200,
            "largest_difference": 0.31,
            "label_agreement": 0.9,
            "accuracy": 0.8,
            "keras_accuracy": 0.85,
        }
        measured = {"latency_ms": 0.5, "keras_latency_ms": 4.0, "size_bytes": 60_000, "keras_size_bytes": 1_234_567}
        return ExportReport(path, format, quantize, "photos", "test", **compared, **measured, calibration_images=256)

    monkeypatch.setattr(exporting, "export", export)
    return seen


def test_both_are_printed_beside_each_other(finished, given, capsys):
    line = ["export", str(finished), "--format", "litert", "--quantize", "int8", "--data", "here", "--seed", "3"]
    assert run(line) == 0
    assert given == {"run": finished, "format": "litert", "quantize": "int8", "data": "here", "seed": 3}
    shown = capsys.readouterr()
    assert "photos, test: 1,200 images, largest difference 0.31, labels agree for 90.00%" in shown.out
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines() if "%" in line}
    assert rows["Keras"] == ["85.00%", "4.00", "1.23", "MB"]
    assert rows["litert"] == ["80.00%", "0.50", "0.06", "MB"]
    assert str(finished / "litert" / "1" / "model") in shown.out
    assert "ranges of activations: 256 training images" in shown.err
    assert "warning: the labels differ for more than 5% of the images" in shown.err


def test_json_has_all_figures(finished, given, capsys):
    assert run(["export", str(finished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert given["format"] == found["format"] == "saved_model"
    assert found["quantize"] is None
    assert found["label_agreement"] == 0.9


@pytest.mark.slow
def test_an_export_is_written_and_named(finished, capsys):
    assert run(["export", str(finished), "--format", "onnx", "--data", str(FIXTURES / "images")]) == 0
    shown = capsys.readouterr().out
    assert "labels agree for 100.00%" in shown
    assert str(finished / "onnx" / "1" / "model.onnx") in shown.replace("\n", "")
    assert (finished / "onnx" / "1" / "model.onnx").is_file()


def test_mistakes_are_one_line(finished, tmp_path, capsys, monkeypatch):
    for arguments, message in (
        ([str(finished), "--format", "onnx", "--quantize", "int8"], "quantize=int8 is for the format litert only"),
        ([str(finished), "--format", "coreml"], "'coreml' is not one of"),
        ([str(tmp_path)], "no run folder"),
        (["s3://bucket/run"], "must be a local path"),
        ([str(finished)], "give --data where they are now"),
    ):
        assert run(["export", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("error:") == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["export", str(finished), "--format", "litert"]) == 2
    assert "ai-edge-litert is not installed: pip install 'kerastricks[export]'" in capsys.readouterr().err
