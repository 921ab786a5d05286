"""The report of finished runs: its figures, and what is said where parts are missing."""

import json
import shutil

import keras
import pytest
from conftest import write_image
from html_page import Page

import kerastricks
from kerastricks.errors import RunFolderError, UsageError
from kerastricks.runs import finishing, report_job
from kerastricks.runs.folder import RunFolder
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "colours"
    for label, (name, colour) in enumerate({"blue": (120, 110, 140), "red": (140, 110, 120)}.items()):
        for index in range(30):
            write_image(root / name / f"{index:02}.png", colour, size=(8, 8), seed=100 * label + index)
    return root


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run of a small network that no training has made, finished without its export."""
    config = Config(data=str(images), seed=0, epochs=2, test=0.4)
    data = load_data(str(images), config)
    folder = tmp_path_factory.mktemp("runs") / "one"
    folder.mkdir()
    run = RunFolder(folder)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(2)(x)), name="net")
    run.write(run.config, {"config": config.as_dict(), "resolved": True, "data": data.describe()})
    lines = [{"epoch": epoch, "step": 4 * epoch, "loss": 1.0, "val_loss": 1.0, "seconds": 1.0} for epoch in (1, 2)]
    lines = [{**line, "accuracy": 0.5, "val_accuracy": 0.5, "learning_rate": 0.1} for line in lines]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.batch_loss.write_bytes(bytes(4 * 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "export_saved_model", lambda *args: folder / "1")
        finishing.finish(run, model, data, config)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_a_finished_run_has_its_report(finished):
    text = (finished / "report.html").read_text()
    for part in ('id="findings"', 'id="curves"', 'id="confusions"', 'id="mistakes"', "Grad-CAM", "data:image/"):
        assert part in text


def test_the_report_of_a_folder_is_that_of_its_end(run):
    at_the_end = (run / "report.html").read_text()
    found = kerastricks.runs.report([run])
    assert found.path == run / "report.html"
    own = found.path.read_text()
    assert own.replace("run", "one").count("<img") == at_the_end.count("<img")
    [figures] = found.runs
    assert figures.notes == ()
    summary = kerastricks.runs.RunRecord.open(run).summary
    assert figures.scores["accuracy"] == summary.accuracy
    assert sum(figures.calibration.images) == summary.images
    wrong = round((1 - summary.accuracy) * summary.images)
    assert len(figures.mistakes) == min(8, wrong)
    assert [one.probability for one in figures.mistakes] == sorted(
        (one.probability for one in figures.mistakes), reverse=True
    )
    assert all(one.true != one.predicted for one in figures.mistakes)
    assert all(one.file.endswith(".png") for one in (*figures.mistakes, *figures.doubtful))


def test_findings_are_those_of_the_doctor_unless_others_are_given(run):
    diagnosis = kerastricks.doctor.diagnose(kerastricks.doctor.read_log(run))
    found = kerastricks.runs.report([run])
    [figures] = found.runs
    assert figures.findings == diagnosis.findings
    assert found.to_json()["runs"][0]["findings"] == [one.to_json() for one in diagnosis.findings]
    text = found.path.read_text()
    assert diagnosis.findings[0].evidence in text
    [figures] = kerastricks.runs.report([run], findings=[()]).runs
    assert figures.findings == ()
    assert 'id="findings"' not in found.path.read_text()


def test_several_runs_need_a_name_for_the_page(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    with pytest.raises(UsageError, match="belongs to none of their folders: name a file"):
        kerastricks.runs.report([run, other])
    found = kerastricks.runs.report([run, other], tmp_path / "both.html")
    assert [one.name for one in found.runs] == ["run", "other"]
    assert "Scores of 2 runs" in "".join(Page(tmp_path / "both.html").text)


def test_runs_of_one_name_are_told_apart_by_their_paths(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "series" / "run")
    found = report_job.gather_figures(report_job.open_runs([run, other]))
    assert [one.name for one in found] == [str(run), str(other)]


def test_without_its_images_a_run_has_the_other_parts(run, images, tmp_path):
    record = json.loads((run / "config.json").read_text())
    record["config"]["data"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(record))
    found = kerastricks.runs.report([run])
    [figures] = found.runs
    assert figures.calibration is None
    assert figures.mistakes == ()
    assert "gone" in figures.notes[0]
    assert 'id="confusions"' in found.path.read_text()
    [figures] = kerastricks.runs.report([run], data=images).runs
    assert figures.notes == ()


def test_other_images_are_not_taken_for_its_own(run, tmp_path):
    for name in ("blue", "red"):
        for index in range(9):
            write_image(tmp_path / "other" / name / f"{index}.png", (40, 60, 200), size=(8, 8), seed=index)
    [figures] = kerastricks.runs.report([run], data=tmp_path / "other").runs
    assert figures.calibration is None
    assert "does not have the images" in figures.notes[0]


@pytest.mark.parametrize("name", ["metrics.jsonl", "batch_loss.f32", "model.keras"])
def test_a_missing_file_is_a_missing_part(run, name):
    (run / name).unlink()
    [figures] = kerastricks.runs.report([run]).runs
    assert (figures.calibration is None) == (name == "model.keras")


def test_damaged_logs_are_left_out(run):
    (run / "metrics.jsonl").write_text('{"epoch": 1')
    [figures] = kerastricks.runs.report([run]).runs
    assert figures.epochs == []
    assert figures.findings == ()
    assert figures.notes[-1].startswith("Findings are left out: ")


def test_a_network_without_feature_maps_has_pictures_without_maps(run, images):
    data = load_data(str(images), Config(data=str(images), test=0.4))
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs, name="flat").save(run / "model.keras")
    assert data.class_names == ("blue", "red")
    [figures] = kerastricks.runs.report([run]).runs
    assert figures.doubtful[0].heat is None
    assert "has no feature map" in figures.picture_note


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    with pytest.raises(RunFolderError, match="no run folder"):
        kerastricks.runs.report([tmp_path])
    with pytest.raises(UsageError, match="one or more runs"):
        kerastricks.runs.report([])
    with pytest.raises(UsageError, match="findings must be a list for each of 1 runs"):
        kerastricks.runs.report([run], findings=[])
    summary = json.loads((run / "summary.json").read_text())
    del summary["versions"]
    (run / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunFolderError, match="versions missing"):
        kerastricks.runs.report([run])
    (run / "summary.json").unlink()
    with pytest.raises(RunFolderError, match="the run is not finished"):
        kerastricks.runs.report([run])
