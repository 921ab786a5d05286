"""The figures of a run as types."""

import json

import pytest
from made_figures import made_finding, made_run

pytestmark = pytest.mark.tensorflow_only


def test_json_has_scores_confusions_and_pictures_by_name():
    run = made_run(classes=3)
    found = json.loads(json.dumps(run.to_json()))
    assert found["scores"]["accuracy"] == run.scores["accuracy"]
    assert found["scores"]["calibration_error"] == run.calibration.error
    assert sum(found["images"].values()) == 400
    first = found["confusions"][0]
    assert run.counts([0, 1, 2]).max() >= first["images"]
    assert {first["true"], first["predicted"]} < {"class 0", "class 1", "class 2"}
    assert found["mistakes"][0] == {
        "file": "a/1.png", "true": "class 0", "predicted": "class 1", "probability": 0.9, "true_probability": 0.05,
    }  # fmt: skip


def test_what_is_not_known_is_null():
    found = made_run(calibration=None).to_json()
    assert found["calibration"] is None
    assert found["scores"]["calibration_error"] is None


def test_counts_of_some_classes_are_that_part_of_the_matrix():
    run = made_run(classes=5)
    whole = run.counts(range(5))
    assert whole.sum() == 400
    assert (run.counts([3, 1]) == whole[[3, 1]][:, [3, 1]]).all()


def test_json_has_the_findings_as_the_doctor_writes_them():
    finding = made_finding()
    assert made_run(findings=(finding,)).to_json()["findings"] == [finding.to_json()]
