"""Exports of runs: where they are, on which images they are compared, and when they are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import nearest_mean, write_run

import kerastricks
from kerastricks.errors import ConfigError, DataError, ExportError, RunFolderError
from kerastricks.runs import exporting
from kerastricks.runs.evaluation import evaluate
from kerastricks.runs.record import RunRecord
from kerastricks.serving.comparison import Comparison
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only

FIXTURES = Path(__file__).parent.parent / "compatibility" / "fixtures"


@pytest.fixture(scope="module")
def data():
    return load_data("digits", Config(data="digits", split_seed=0))


@pytest.fixture(scope="module")
def written(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("exported") / "run"
    run = write_run(folder, nearest_mean(data, 0), data)
    record = json.loads(run.summary.read_text())
    full = json.loads((FIXTURES / "runs" / "finished" / "summary.json").read_text())
    run.write(run.summary, full | record)
    return folder


@pytest.fixture
def run(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def compared(**differences):
    """In place of a comparison in a fresh process: both give uniform probabilities, but for these."""

    def compare(model_path, exported, images, fitting):
        assert exported.exists()
        right = np.full((len(images), 10), 0.1, "float32")
        wrong = right.copy()
        for row, value in differences.items():
            wrong[int(row.removeprefix("row"))] += np.float32(value) * (np.arange(10) == 3)
        return Comparison(right, wrong, 2.0, 1.0, 0)

    return compare


def test_each_format_has_numbered_folders_of_its_own(run, data):
    onnx = kerastricks.runs.export(run, "onnx")
    assert onnx.path == run / "onnx" / "1" / "model.onnx"
    assert (onnx.split, onnx.images) == ("test (the images the run did not train on)", len(data.labels("test")))
    assert onnx.largest_difference < 1e-5
    assert onnx.label_agreement == 1.0
    expected = evaluate(run, "digits").accuracy
    assert onnx.accuracy == onnx.keras_accuracy == pytest.approx(expected)
    assert onnx.size_bytes == onnx.path.stat().st_size
    int8 = kerastricks.runs.export(RunRecord.open(run), "litert", "int8", seed=1)
    assert int8.path == run / "litert" / "1" / "model.tflite"
    assert (int8.calibration_images, int8.float_tensors) == (256, 0)
    assert int8.accuracy == pytest.approx(expected, abs=0.03)
    assert 0 < int8.largest_difference < 0.5  # its logits are steep
    record = json.loads(json.dumps(int8.to_json()))
    assert record["path"] == str(int8.path)
    assert record["quantize"] == "int8"
    assert not list(run.rglob(".tmp-*"))


def test_a_savedmodel_is_the_next_version_with_its_signatures_compared(run):
    (run / "4").mkdir()
    found = kerastricks.runs.export(run)
    assert found.path == run / "5"
    assert found.largest_difference < 1e-5
    assert found.size_bytes > (run / "5" / "saved_model.pb").stat().st_size


def test_a_run_of_an_early_version_is_exported_with_its_images_elsewhere(tmp_path):
    run = shutil.copytree(FIXTURES / "runs" / "finished", tmp_path / "finished")
    with pytest.raises(DataError, match="give --data where they are now"):
        kerastricks.runs.export(run, "litert")
    found = kerastricks.runs.export(run, "litert", data=FIXTURES / "images")
    assert found.path == run / "litert" / "1" / "model.tflite"
    assert found.label_agreement == 1.0


def test_a_float_export_that_differs_is_refused_and_leaves_nothing(run, monkeypatch):
    before = sorted(run.rglob("*"))
    monkeypatch.setattr(exporting, "compare_export", compared(row3=0.002))
    for format in ("saved_model", "onnx", "litert"):
        with pytest.raises(ExportError, match=r"differs from the Keras model by 0.002, and may by 0.001"):
            kerastricks.runs.export(run, format)
    assert sorted(run.rglob("*")) == before


def test_a_quantised_export_is_refused_only_where_it_gives_no_probabilities(run, monkeypatch):
    monkeypatch.setattr(exporting, "compare_export", compared(row0=0.5, row1=0.5))
    found = kerastricks.runs.export(run, "litert", "dynamic")
    assert found.largest_difference == pytest.approx(0.5)
    assert found.label_agreement == pytest.approx(1 - 2 / found.images)
    monkeypatch.setattr(exporting, "compare_export", compared(row0=np.nan))
    with pytest.raises(ExportError, match="not finite"):
        kerastricks.runs.export(run, "litert", "dynamic")
    assert [path.name for path in (run / "litert").iterdir()] == ["1"]


def test_what_cannot_be_is_refused_before_anything_is_read(run, tmp_path):
    with pytest.raises(ConfigError, match=r"quantize=int8 is for the format litert only\. Received: format=onnx"):
        kerastricks.runs.export(tmp_path / "nowhere", "onnx", "int8")
    with pytest.raises(ConfigError, match="format must be one of saved_model, onnx, litert"):
        kerastricks.runs.export(tmp_path / "nowhere", "coreml")
    with pytest.raises(RunFolderError, match="no run folder"):
        kerastricks.runs.export(tmp_path / "nowhere")
    (run / "summary.json").unlink()
    with pytest.raises(RunFolderError, match="the run is not finished"):
        kerastricks.runs.export(run)


def test_many_images_are_sampled_by_the_seed(run, monkeypatch):
    monkeypatch.setattr(exporting, "_COMPARED_BYTES", 50 * 64)
    seen = []

    def compare(model_path, exported, images, fitting):
        seen.append(images)
        return compared()(model_path, exported, images, fitting)

    monkeypatch.setattr(exporting, "compare_export", compare)
    for seed in (0, 0, 1):
        assert kerastricks.runs.export(run, "saved_model", seed=seed).images == 50
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_calibration_images_are_equally_many_of_each_class():
    labels = np.array([0] * 90 + [1] * 9 + [2] * 1)
    chosen = exporting.balanced_sample(labels, 21, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [11, 9, 1]
    assert len(np.unique(chosen)) == 21
    assert (np.diff(chosen) > 0).all()
    assert not np.array_equal(chosen, exporting.balanced_sample(labels, 21, seed=1))
    assert exporting.balanced_sample(labels, 1000, seed=0).tolist() == list(range(100))


@pytest.mark.slow  # tests/serving/test_converting.py has ensembles as models
def test_an_ensemble_of_runs_is_exported_as_a_single_run(tmp_path, data, monkeypatch):
    monkeypatch.setattr("kerastricks.ensemble.cost._ROUNDS", 1)
    monkeypatch.setattr("kerastricks.ensemble.cost._ONCE_S", 0.0)
    runs = [write_run(tmp_path / f"r{seed}", nearest_mean(data, seed, noise=0.6), data, seed).path for seed in range(2)]
    combined = kerastricks.runs.ensemble(runs, out=tmp_path / "out", say=lambda line: None)
    found = kerastricks.runs.export(combined, "onnx")
    assert found.path == combined.path / "onnx" / "1" / "model.onnx"
    assert found.largest_difference < 1e-5
    assert found.accuracy == pytest.approx(combined.summary.accuracy)
