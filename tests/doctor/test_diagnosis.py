"""What a training log says: each finding from a curve that has it, and none where it has not."""

import json
import math

import numpy as np
import pytest

from kerastricks.doctor import TrainingLog, diagnose, read_log
from kerastricks.doctor.diagnosis import EXPLAINED
from kerastricks.doctor.failure_rules import find_divergence
from kerastricks.doctor.finding import KINDS, SEVERITIES

pytestmark = pytest.mark.tensorflow_only


def falling(epochs: int, floor: float = 0.2, speed: float = 6.0, start: float = 2.3) -> np.ndarray:
    """An exponential fall from `start` towards `floor`."""
    return floor + (start - floor) * np.exp(-speed * np.arange(epochs) / epochs)


def log_of(loss, val_loss=None, steps=None, **known) -> TrainingLog:
    nothing = np.full(len(loss), np.nan)
    given = {name: np.asarray(known.pop(name, nothing)) for name in ("accuracy", "val_accuracy", "learning_rate")}
    step_loss = np.empty(0) if steps is None else np.asarray(steps, np.float64)
    return TrainingLog(
        epochs=np.arange(1.0, len(loss) + 1),
        loss=np.asarray(loss, np.float64),
        val_loss=nothing if val_loss is None else np.asarray(val_loss, np.float64),
        steps=np.arange(1.0, len(step_loss) + 1),
        step_loss=step_loss,
        **given,
        **known,
    )


def codes(log: TrainingLog) -> list[str]:
    return [one.code for one in diagnose(log).findings]


def test_overfitting_since_the_minimum_of_the_validation_loss():
    validation = np.concatenate([falling(10, 0.8), np.linspace(0.81, 1.4, 20)])
    found = diagnose(log_of(falling(30, 0.02), validation))
    overfitting = found.find("overfitting")
    assert overfitting is not None
    assert overfitting.span == (overfitting.change["epochs"], 30.0)
    assert abs(overfitting.change["epochs"] - 10) <= 1
    assert not {"healthy", "stopped_early", "underfitting", "trained_too_long"} & {one.code for one in found.findings}
    assert "overfitting" not in codes(log_of(falling(30, 0.02), falling(30, 0.3)))


def test_noise_of_the_validation_loss_is_no_overfitting():
    random = np.random.default_rng(0)
    alarms = 0
    for epochs in (10, 30, 200):
        for _ in range(50):
            validation = falling(epochs, 0.5) * random.normal(1, 0.05, epochs)
            alarms += "overfitting" in codes(log_of(falling(epochs, 0.3), validation))
    assert alarms <= 6  # of 150


@pytest.mark.parametrize("index", [0, 1, 37])
def test_nan_and_where(index):
    steps = np.concatenate([np.linspace(2.3, 40.0, index), np.full(3, np.inf)])
    found = diagnose(log_of([np.inf], steps=steps, learning_rate=[0.3]))
    nan = found.find("nan")
    assert nan is not None
    assert found.findings[0] is nan
    if index == 0:
        assert "inputs and labels" in nan.advice
    else:
        assert f"step {index + 1} " in nan.evidence
    if index == 37:
        assert nan.change == {"learning_rate": 0.01}
        assert "0.3 -> 0.01" in nan.advice
    assert not {"healthy", "lr_good"} & {one.code for one in found.findings}


def test_a_divergence_is_seen_soon_and_only_from_what_came_before():
    random = np.random.default_rng(1)
    fine = falling(400) + random.normal(0, 0.1, 400)
    blown = np.concatenate([fine[:200], np.linspace(0.5, 60.0, 200)])
    fell_back = np.concatenate([fine[:200], np.full(200, 2.3) + random.normal(0, 0.1, 200)])
    assert find_divergence(fine, per_step=True) is None
    for losses in (blown, fell_back):
        whole = find_divergence(losses, per_step=True)
        assert whole is not None
        assert 195 <= whole.began < 230
        assert whole.seen - whole.began <= 60
        assert find_divergence(losses[: whole.seen + 1], per_step=True) == whole
        assert find_divergence(losses[: whole.seen], per_step=True) is None


def test_a_spike_that_is_over_is_no_divergence():
    losses = falling(400)
    losses[100:190] = 9.0
    found = codes(log_of(falling(4), falling(4), steps=losses))
    assert "diverged" not in found
    losses[100:] = 9.0
    assert codes(log_of([2.0, 9.0, 9.0, 9.0], falling(4), steps=losses))[0] == "diverged"


def test_one_class_for_all_images_shows_in_an_accuracy_that_stays_to_the_last_digit():
    flat = np.full(10, 2.303)
    found = diagnose(log_of(flat, flat, val_accuracy=np.full(10, 0.1), classes=10))
    assert found.findings[0].code == "class_collapse"
    moved = np.full(10, 0.1) + 0.001 * np.arange(10)
    assert "class_collapse" not in codes(log_of(flat, flat, val_accuracy=moved, classes=10))


def test_a_loss_that_never_falls_leads_to_the_initial_weights():
    random = np.random.default_rng(2)
    flat = 2.3026 + random.normal(0, 0.002, 12)
    found = diagnose(log_of(flat, flat, val_accuracy=random.normal(0.1, 0.01, 12), classes=10))
    assert found.findings[0].code == "not_learning"
    assert "he_normal" in found.findings[0].advice


def test_underfitting_ends_high_flat_and_without_a_gap():
    loss = falling(40, 1.2, 20)
    assert "underfitting" in codes(log_of(loss, loss * 1.02, accuracy=np.full(40, 0.55), classes=10))
    assert "underfitting" not in codes(log_of(falling(40, 0.01, 20), falling(40, 0.02, 20), classes=10))


def test_validation_better_than_training():
    loss = falling(20, 0.5)
    assert "validation_better" in codes(log_of(loss, loss * 0.7))
    assert "validation_better" not in codes(log_of(loss, loss * 0.97))


def test_trained_too_long_says_from_where():
    loss = np.concatenate([falling(10, 0.3, 8), np.full(40, 0.3)])
    found = diagnose(log_of(loss, loss * 1.1, learning_rate=np.geomspace(0.1, 0.0001, 50))).find("trained_too_long")
    assert found is not None
    assert 6 <= found.span[0] <= 12
    assert found.change["epochs"] < 16


def test_too_little_is_said():
    assert codes(log_of([2.3], [2.2])) == ["cannot_tell"]
    assert codes(log_of([2.3, 1.0, 0.5], [2.2, 1.1, 0.7])) == ["cannot_tell"]


def test_without_validation_it_says_what_cannot_be_seen():
    found = diagnose(log_of(falling(20))).find("cannot_tell")
    assert found is None or "--columns val_loss=NAME" in found.advice


def test_advice_has_the_rate_of_the_log_or_a_factor():
    steps = np.concatenate([falling(100), np.full(100, 50.0)])
    known = diagnose(log_of([2.0, 50.0], steps=steps, learning_rate=[0.1, 0.3])).findings[0]
    unknown = diagnose(log_of([2.0, 50.0], steps=steps)).findings[0]
    assert known.change == {"learning_rate": 0.03}
    assert unknown.change == {"learning_rate_factor": 0.1}


def test_findings_are_ranked_and_every_code_is_known():
    validation = np.concatenate([falling(10, 0.8), np.linspace(0.81, 1.4, 20)])
    found = diagnose(log_of(falling(30, 0.02), validation))
    ranks = [one.rank for one in found.findings]
    assert ranks == sorted(ranks)
    assert {kind.severity for kind in KINDS.values()} == set(SEVERITIES)
    assert set(EXPLAINED) | set().union(*EXPLAINED.values()) <= set(KINDS)


def test_json_is_plain_and_text_has_evidence_advice_and_code():
    validation = np.concatenate([falling(10, 0.8), np.linspace(0.81, 1.4, 20)])
    found = diagnose(log_of(falling(30, 0.02), validation))
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["findings"][0]["code"] == found.findings[0].code
    assert all(value is None or math.isfinite(value) for value in record["measures"].values())
    text = str(found)
    for one in found.findings:
        assert one.evidence in text
        assert one.code in text


def test_a_history_of_anybody_is_diagnosed():
    history = {"loss": [2.3, 1.1, 0.6, 0.3, 0.1, 0.05], "val_loss": [2.2, 1.2, 0.9, 1.0, 1.3, 1.7]}
    assert diagnose(read_log(history)).findings[0].code == "overfitting"
