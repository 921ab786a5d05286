"""What a training log says: each finding from a curve that has it, and none where it has not."""

import json
import math

import numpy as np
import pytest

from kerastricks.doctor import TrainingLog, diagnose, read_log
from kerastricks.doctor.diagnosis import EXPLAINED
from kerastricks.doctor.failure_rules import find_divergence
from kerastricks.doctor.finding import KINDS, SEVERITIES, Finding

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


def test_a_loss_far_away_is_sure_in_half_the_steps():
    flat = np.full(100, 2.3)
    delays = []
    for level in (3.46, 100.0):  # it never fell: it is blown, not lost
        found = find_divergence(np.concatenate([flat, np.full(100, level)]), per_step=True)
        assert found is not None
        delays.append(found.seen - found.began)
    assert delays[0] == 25
    assert delays[1] == 13


def test_where_a_loss_began_is_its_first_value_if_it_falls_or_rises_at_once():
    at_once = np.concatenate([np.linspace(2.3, 0.3, 10), np.full(100, 2.0)])  # 1.5 times the mean of the first ten
    assert find_divergence(at_once, per_step=True) is None
    assert find_divergence(np.concatenate([[2.3], np.full(100, 50.0)]), per_step=True) is not None


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
    assert found.findings[0].severity == "critical"
    thrown = flat.copy()
    thrown[1] = 9.0  # as by a rate that is much too high
    of_rate = diagnose(log_of(thrown, flat, val_accuracy=random.normal(0.1, 0.01, 12), classes=10)).find("not_learning")
    assert of_rate is None or of_rate.severity == "note"


def test_a_gap_that_grows_is_overfitting_once_the_validation_loss_stands():
    training = falling(40, 0.02, 3)
    standing = np.concatenate([falling(20, 0.8, 8), np.linspace(0.8, 0.825, 20)])
    found = diagnose(log_of(training, standing)).find("overfitting")
    assert found is not None
    assert "gap" in found.evidence
    still = np.concatenate([falling(20, 0.8, 8), np.linspace(0.8, 0.7, 20)])
    assert "overfitting" not in codes(log_of(training, still))


def test_a_loss_that_stands_is_a_plateau_unless_the_rate_was_lowered():
    loss = falling(40, 0.2, 20)
    assert "plateau" in codes(log_of(loss, loss + 0.05, learning_rate=np.full(40, 0.01)))
    assert "plateau" not in codes(log_of(loss, loss + 0.05, learning_rate=np.geomspace(0.1, 0.001, 40)))


def test_a_loss_that_falls_to_the_end_was_stopped_early_unless_its_schedule_has_ended():
    loss = falling(40, 0.2, 2.5)
    constant = diagnose(log_of(loss, loss + 0.05, learning_rate=np.full(40, 0.01))).find("stopped_early")
    assert constant is not None
    assert constant.change == {"epochs": 60.0}
    ended = np.linspace(0.1, 0.0, 41)[:-1] ** 2 + 1e-6
    assert "stopped_early" not in codes(log_of(loss, loss + 0.05, learning_rate=ended))


def test_underfitting_ends_high_flat_and_without_a_gap():
    loss = falling(40, 1.2, 20)
    assert "underfitting" in codes(log_of(loss, loss * 1.02, accuracy=np.full(40, 0.55), classes=10))
    assert "underfitting" not in codes(log_of(falling(40, 0.01, 20), falling(40, 0.02, 20), classes=10))
    line = np.linspace(2.3, 1.2, 40)  # it still falls: it is not the network that ends it
    assert "underfitting" not in codes(log_of(line, line * 1.02, accuracy=np.full(40, 0.55), classes=10))


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
    late = np.concatenate([np.linspace(2.3, 0.3, 30), np.full(20, 0.3)])
    assert "trained_too_long" not in codes(log_of(late, late * 1.1, learning_rate=np.geomspace(0.1, 0.0001, 50)))


def test_too_little_is_said():
    assert codes(log_of([2.3], [2.2])) == ["cannot_tell"]
    assert codes(log_of([2.3, 1.0, 0.5], [2.2, 1.1, 0.7])) == ["cannot_tell"]


def test_without_validation_it_says_what_cannot_be_seen():
    with_validation = codes(log_of(falling(20, 0.01), falling(20, 0.02), learning_rate=np.full(20, np.nan)))
    assert "healthy" in with_validation
    found = diagnose(log_of(falling(20, 0.01)))
    assert found.find("healthy") is None
    assert "--columns val_loss=NAME" in found.find("cannot_tell").advice


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


def test_what_is_not_sure_is_a_note_and_explains_nothing():
    validation = np.concatenate([falling(10, 0.8), np.linspace(0.81, 1.4, 20)])
    log = log_of(falling(30, 0.02), validation)

    def collapse(confidence):
        return Finding(code="class_collapse", evidence="of the network", advice="", confidence=confidence)

    assert collapse(1.0).severity == "critical"
    assert collapse(0.5).severity == "note"
    assert Finding(code="healthy", evidence="", advice="", confidence=0.1).severity == "good"
    assert [one.code for one in diagnose(log, [collapse(1.0)]).findings] == ["class_collapse"]
    assert {"class_collapse", "overfitting"} <= {one.code for one in diagnose(log, [collapse(0.5)]).findings}


def test_the_plot_marks_the_epochs_of_each_finding(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("kerastricks.doctor.plot.save_figure", lambda figure, target: figures.append(figure))
    validation = np.concatenate([falling(10, 0.8), np.linspace(0.81, 1.4, 20)])
    found = diagnose(log_of(falling(30, 0.02), validation))
    found.plot(tmp_path / "plot.png")
    axes = figures[0].subfigs[0].axes[0]
    spans = [(one.get_x(), one.get_x() + one.get_width()) for one in axes.patches]
    assert spans == [one.span for one in found.findings if one.span is not None and one.severity != "good"]
    words = " ".join(text.get_text() for text in figures[0].subfigs[1].texts)
    assert " ".join(found.findings[0].evidence.split()[:5]) in words


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


@pytest.mark.parametrize("loss", [0.0, 1e-320, 1e308])
@pytest.mark.filterwarnings("error")
def test_no_number_of_a_log_warns(loss):
    diagnosis = diagnose(read_log({"loss": [loss] * 10, "val_loss": [loss] * 10}))
    assert str(diagnosis)
    json.dumps(diagnosis.to_json(), allow_nan=False)
