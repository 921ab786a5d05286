"""Reports in summary.json as types: those of today and of early versions come back as they were."""

import json
from pathlib import Path

import pytest

from kerastricks.metrics import Estimate
from kerastricks.runs import DistillationReport, EnsembleReport, FinetuningReport, RunRecord, Summary
from kerastricks.runs.card import card

pytestmark = pytest.mark.tensorflow_only
RUNS = Path(__file__).parent.parent / "compatibility" / "fixtures" / "runs"
SCORES = {"accuracy": 0.5, "balanced_accuracy": 0.4, "log_loss": 1.0}
DISTILLATION = {
    "teacher": "teacher/model.keras", "teacher_digest": "0", "temperature": 4.0, "hard_weight": 0.1,
    "teacher_test": SCORES, "student_test": {**SCORES, "log_loss": 2.0},
    "teacher_parameters": 100, "student_parameters": 10,
}  # fmt: skip
STAGE = {
    "name": "head", "epochs": 0, "seconds": 0.1, "parameters": 21, "validation_accuracy": 1.0, "best_epoch": 0,
}  # fmt: skip
LEVEL = {
    "layer": "pool", "features": 6, "probe_accuracy": [0.9, 0.8, 1.0], "probe_log_loss": 0.1,
    "centroid_accuracy": [0.8, 0.7, 0.9], "logme": None,
}  # fmt: skip
FINETUNING = {
    "backbone": "net", "weights": "imagenet",
    "plan": {
        "plan": "linear", "given": True, "table": "earlier", "data": "little", "domain": "different",
        "reasons": ["few images"], "would_change": ["more images: all"],
    },
    "measurement": {
        "images_per_class": {"a": 10}, "images_used": {"train": 10}, "levels": [LEVEL],
        "pixels": {**LEVEL, "layer": "pixels", "logme": [1.0, 0.5, 1.5]},
        "error_share": 0.0, "log_loss_share": 0.1, "seconds": 0.5,
    },
    "stages": [STAGE], "kept": "linear", "validation_accuracy": 1.0,
    "linear_probe_validation_accuracy": 0.9, "fell_back_to_linear_probe": False,
    "compared": {"small": {"validation_accuracy": 0.5, "stages": [STAGE]}},
    "budget_seconds": 300.0,
    "tried": [{
        "plan": "linear", "rung": "probe", "validation_accuracy": [0.9, 0.8, 1.0], "validation_log_loss": 0.1,
        "images_compared": 9, "seconds": 0.2, "epochs": 0, "steps": 0, "images": 0,
    }],
    "verdicts": {"small": "given up"}, "seconds": 1.5,
}  # fmt: skip


def as_text(record):
    return json.dumps(record, indent=2)


def test_a_distillation_comes_back_as_it_was():
    report = DistillationReport.from_json(DISTILLATION)
    assert report.student_test.log_loss == 2.0
    assert as_text(report.to_json()) == as_text(DISTILLATION)


def test_a_finetuning_comes_back_as_it_was():
    report = FinetuningReport.from_json(FINETUNING)
    assert (report.choice.strategy, report.tried[0].strategy, report.stages[0].parameters) == ("linear", "linear", 21)
    assert report.measurement.levels[0].probe_accuracy == (0.9, 0.8, 1.0)
    assert report.compared["small"].stages == report.stages
    without_budget = {**FINETUNING, "budget_seconds": None, "tried": [], "verdicts": {}}  # epochs decided
    for record in (FINETUNING, without_budget):
        assert as_text(FinetuningReport.from_json(record).to_json()) == as_text(record)


def test_a_finetuning_of_before_there_were_budgets_is_read_and_described():
    early = {name: FINETUNING[name] for name in FINETUNING if name not in ("budget_seconds", "tried", "verdicts")}
    report = FinetuningReport.from_json(early)
    assert (report.budget_seconds, report.tried, report.verdicts) == (None, None, None)
    assert as_text(report.to_json()) == as_text(early)
    summary = {**json.loads((RUNS / "finished" / "summary.json").read_text()), "finetuning": early}
    text = card("run", Summary.from_json(summary), {"seed": 0})
    assert "plan **linear** (given)" in text
    assert "Chosen by validation" not in text


def test_an_ensemble_of_before_temperatures_were_an_option_is_read():
    """Its members were compared at their own temperature."""
    today = json.loads((RUNS / "ensemble" / "summary.json").read_text())["ensemble"]
    report = EnsembleReport.from_json(today)
    assert (report.temperatures, report.at_own_temperature) == (False, False)
    early = {name: value for name, value in today.items() if name != "temperatures"}
    report = EnsembleReport.from_json(early)
    assert (report.temperatures, report.at_own_temperature) == (None, True)
    assert as_text(report.to_json()) == as_text(early)


def test_an_ensemble_has_types_at_every_depth():
    report = RunRecord.open(RUNS / "ensemble").summary.ensemble
    assert report.members[0].test.log_loss == pytest.approx(0.7608, abs=1e-4)
    assert isinstance(report.gain_over_best, Estimate)
    assert str(report.gain_over_best) == "-0.072 (-0.104 to -0.039)"
    assert report.candidates[0].log_loss.value == pytest.approx(0.6059, abs=1e-4)
    assert report.disagreements == ((0.0, 0.1667), (0.1667, 0.0))
    assert "method **mean**" in card("run", RunRecord.open(RUNS / "ensemble").summary, {"seed": 0})
