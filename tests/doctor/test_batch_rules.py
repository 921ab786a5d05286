"""When a batch is called too small."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kerastricks.doctor import TrainingLog, batch_rules, diagnosis
from kerastricks.doctor.additive import AdditiveTable
from kerastricks.doctor.batch_rules import batch_evidence, batch_finding, probability_too_small
from kerastricks.doctor.diagnosis import EXPLAINED
from kerastricks.doctor.finding import Finding
from kerastricks.doctor.measures import measure

pytestmark = pytest.mark.tensorflow_only


def noisy_log(batch_size: int | None = 2, width: float = 0.5) -> TrainingLog:
    nothing = np.full(10, math.nan)
    noise = np.random.default_rng(0).normal(size=600)
    return TrainingLog(
        epochs=np.arange(1.0, 11),
        loss=np.ones(10),
        val_loss=np.ones(10),
        accuracy=nothing,
        val_accuracy=nothing,
        learning_rate=np.full(10, 0.1),
        steps=np.arange(1.0, 601),
        step_loss=1 + width * noise,
        batch_size=batch_size,
    )


def test_evidence_is_what_the_rate_table_says_and_the_batch():
    found = batch_evidence(noisy_log(8), np.array([0.1, 0.2, 0.4, 0.3]))
    np.testing.assert_allclose(found, [math.log(0.701 / 0.301), math.log(0.301 / 0.701), 3.0])
    assert math.isnan(batch_evidence(noisy_log(None), np.full(4, 0.25))[-1])


def test_the_probability_is_a_logistic_regression(monkeypatch):
    fitted = {
        "batch": {"intercept": 1.0, "weights": [1.0, -2.0, -0.5]},
        "batch_unknown": {"intercept": 0.5, "weights": [1.0, -2.0]},
    }
    monkeypatch.setattr(batch_rules, "tables_record", lambda: fitted)
    for evidence, score in (([2.0, 0.5, 3.0], 0.5), ([2.0, 0.5, math.nan], 1.5)):
        assert probability_too_small(np.array(evidence)) == pytest.approx(1 / (1 + math.exp(-score)))


def test_the_same_rate_is_likelier_too_high_for_a_smaller_batch():
    probabilities = np.array([0.05, 0.25, 0.65, 0.05])
    found = [probability_too_small(batch_evidence(noisy_log(size), probabilities)) for size in (2, 8, 32, 128)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.5 > found[-1]


@pytest.mark.parametrize(("size", "change"), [(2, {"batch_size": 8.0}), (None, {"batch_size_factor": 4.0})])
def test_a_larger_batch_is_advised_with_its_size(monkeypatch, size, change):
    log = noisy_log(size)
    monkeypatch.setattr(batch_rules, "probability_too_small", lambda evidence: 0.7)
    monkeypatch.setattr(batch_rules, "table_for", lambda values: AdditiveTable(np.log([0.1, 0.1, 0.6, 0.2]), {}))
    found = batch_finding(log, measure(log))
    assert found.change == change
    assert found.confidence == 0.7
    assert "(80% sure)" in found.evidence
    assert "the band of the batch loss is 0.5" in found.evidence
    monkeypatch.setattr(batch_rules, "probability_too_small", lambda evidence: 0.49)
    assert batch_finding(log, measure(log)) is None


def test_without_the_batch_and_its_band_nothing_is_said(monkeypatch):
    monkeypatch.setattr(batch_rules, "probability_too_small", lambda evidence: 0.7)
    epochs_alone = {"steps": np.empty(0), "step_loss": np.empty(0)}
    for size, said in ((None, False), (8, True)):
        log = replace(noisy_log(size), **epochs_alone)
        found = batch_finding(log, measure(log))
        assert (found is not None) == said
        if found:
            assert "band" not in found.evidence


def test_a_diagnosis_has_it(monkeypatch):
    found = Finding(code="batch_too_small", evidence="", advice="", confidence=0.7)
    monkeypatch.setattr(diagnosis, "batch_finding", lambda log, measures: found)
    loss = 0.2 + 2.1 * np.exp(-np.arange(10) / 2.0)
    given = diagnosis.diagnose(replace(noisy_log(), loss=loss, val_loss=loss, step_loss=np.repeat(loss, 60)))
    assert given.find("batch_too_small") is found


def test_of_a_rate_too_high_for_any_batch_the_batch_is_not_to_blame():
    explained = {code for code, others in EXPLAINED.items() if "batch_too_small" in others}
    assert explained == {"nan", "diverged", "class_collapse", "not_learning", "lr_much_too_high", "lr_too_low"}
