"""The additive score of the learning rate's states."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from kerastricks.doctor import TrainingLog, additive, rate_rules
from kerastricks.doctor.additive import AdditiveTable, Ranges, read_table
from kerastricks.doctor.measures import measure
from kerastricks.doctor.rate_rules import STATES, rate_finding, rate_values

pytestmark = pytest.mark.tensorflow_only

ROOT = Path(__file__).parents[2]


def log_at(rate: float | None, optimizer: str | None = "sgd") -> TrainingLog:
    epochs = np.arange(1.0, 11)
    loss = 0.3 + 2.0 * np.exp(-epochs / 2)
    return TrainingLog(
        epochs=epochs,
        loss=loss,
        val_loss=loss + 0.1,
        accuracy=np.full(10, np.nan),
        val_accuracy=np.full(10, np.nan),
        learning_rate=np.full(10, math.nan if rate is None else rate),
        optimizer=optimizer,
    )


def test_probabilities_are_the_softmax_of_the_sums():
    table = AdditiveTable(
        np.array([0.5, 0.0, 0.0, 0.0]),
        {
            "a": Ranges(np.array([1.0, 2.0]), np.array([[0, 0, 0, 1.0], [0, 2.0, 0, 0], [3.0, 0, 0, 0]])),
            "b": Ranges(np.array([0.0]), np.array([[0, 0, 1.0, 0], [0, 0, -1.0, 0]])),
        },
    )
    for values, sums in (
        ({"a": 0.9, "b": -1.0}, [0.5, 0, 1, 1]),
        ({"a": 1.0, "b": 0.0}, [0.5, 2, -1, 0]),  # a range holds its lower edge
        ({"a": 5.0}, [3.5, 0, 0, 0]),
        ({"a": math.nan, "b": 1.0}, [0.5, 0, -1, 0]),
    ):
        powers = np.exp(sums)
        np.testing.assert_allclose(table.probabilities(values), powers / powers.sum())


def test_the_table_is_that_of_the_corpus():
    record = json.loads((ROOT / "kerastricks" / "doctor" / "tables.json").read_text())
    corpus = (ROOT / "benchmarks" / "doctor" / "corpus.npz").read_bytes()
    assert record["version"] == hashlib.sha256(corpus).hexdigest()[:12]
    for name, states, given in (
        ("rate_of_optimizer", len(STATES), {"relative_rate"}),
        ("rate", len(STATES), set()),
    ):
        table = read_table(name)
        assert {"relative_rate"} & set(table.measures) == given
        for ranges in table.measures.values():
            assert ranges.scores.shape == (len(ranges.edges) + 1, states)
            assert (np.diff(ranges.edges) > 0).all()


def test_every_measure_that_can_be_evidence_is_said_with_its_value():
    found = rate_values(log_at(0.1), measure(log_at(0.1)))
    for name in additive.SAID:
        assert name in found
        assert "{" not in additive.say(name, 0.25)


@pytest.mark.parametrize(
    ("state", "relative", "factor"),
    [
        ("good", 0.0, 1.0),
        ("too_low", -0.5, 10.0),
        ("too_low", -4.0, 1e4),  # the way to the usual rate, if it is longer
        ("too_low", math.nan, 10.0),
        ("too_high", 3.0, 0.3333),
        ("much_too_high", 0.5, 0.0333),
        ("much_too_high", 3.0, 1e-3),
    ],
)
def test_the_factor_of_the_rate(state, relative, factor):
    assert rate_rules._factor(state, relative) == pytest.approx(factor)


def test_the_rate_is_beside_the_usual_one_of_its_optimizer():
    for optimizer, usual in (("sgd", 0.03), ("adamw", 0.001), ("lion", 0.0003)):
        log = log_at(10 * usual, optimizer)
        assert rate_values(log, measure(log))["relative_rate"] == pytest.approx(1.0)
    for log in (log_at(None), log_at(0.1, None)):
        assert math.isnan(rate_values(log, measure(log))["relative_rate"])


def test_no_state_is_found_where_none_is_likelier_than_not(monkeypatch):
    log = log_at(0.1)
    for first, code in ((0.9, None), (1.2, "lr_too_low")):
        table = AdditiveTable(np.array([first, 0.0, 0.0, 0.0]), {})
        monkeypatch.setattr(rate_rules, "read_table", lambda name, table=table: table)
        found = rate_finding(log, measure(log))
        assert (found and found.code) == code


def test_the_evidence_is_the_measures_that_speak_most_for_the_state(monkeypatch):
    log = log_at(0.1)

    def adds(score):
        return Ranges(np.array([]), np.array([[score, 0.0, 0.0, 0.0]]))

    scores = {"early": 0.1, "end": 3.0, "quarter": 1.0, "half": 2.0, "val_best": -5.0, "gap": 9.0}
    table = AdditiveTable(np.zeros(4), {name: adds(score) for name, score in scores.items()})
    monkeypatch.setattr(rate_rules, "read_table", lambda name: table)
    found = rate_finding(log, measure(log))
    assert list(found.figures) == ["end", "half", "quarter"]  # the gap is no evidence of a rate


def test_a_rate_far_above_and_far_below_is_found_with_a_value():
    """Curves of trainings: at a rate a thousand times too low nothing moves."""
    slow = log_at(3e-5)
    slow = TrainingLog(**{**slow.__dict__, "loss": np.linspace(2.4, 2.3, 10), "val_loss": np.linspace(2.4, 2.3, 10)})
    found = rate_finding(slow, measure(slow))
    assert found.code == "lr_too_low"
    assert found.change == {"learning_rate": pytest.approx(0.03)}
    assert "multiply the learning rate by 1000: 3e-05 -> 0.03" in found.advice
